// What packing costs a weight, on one thread with everything in the caches: nanoseconds, for every type.
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "runtime/weight/pack_panel.h"

enum { COLS = 2048, ROUNDS = 300 };

static void measure(const weight_type *t, const unsigned char *in, unsigned char *out)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double start = clock_seconds();
        panel_pack(t->layout, t->tensor, in, weight_type_file_bytes(t, COLS), PANEL_ROWS, COLS, out);
        double spent = clock_seconds() - start;
        if (spent < best) best = spent;
    }
    printf("%-6s %.2f ns a weight\n", t->name, best * 1e9 / (PANEL_ROWS * COLS));
}

int main(void)
{
    size_t bytes = PANEL_ROWS * COLS * 4; // no type takes more, packed or not
    unsigned char *in = malloc(bytes), *out = malloc(bytes);
    if (!in || !out) return 1;
    for (size_t i = 0; i < bytes; i++) in[i] = (unsigned char)(i * 2654435761u >> 7);
    for (int layout = 0; layout < LAYOUT_COUNT; layout++) {
        const weight_type *t = weight_type_in((weight_layout)layout);
        if (t) measure(t, in, out);
    }
    free(in);
    free(out);
    return 0;
}
