// What packing costs a weight, on one thread with everything in the caches: nanoseconds, for every quantised type.
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "runtime/pack_panel.h"

enum { COLS = 2048, ROUNDS = 300 };

static void measure(weight_layout layout, const tensor_layout *type, const unsigned char *in, unsigned char *out)
{
    size_t row_bytes = COLS / type->block_values * type->block_bytes;
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double start = clock_seconds();
        panel_pack(layout, in, row_bytes, PANEL_ROWS, COLS, out);
        double spent = clock_seconds() - start;
        if (spent < best) best = spent;
    }
    printf("%-6s %.2f ns a weight\n", type->name, best * 1e9 / (PANEL_ROWS * COLS));
}

int main(void)
{
    static const struct {
        weight_layout layout;
        tensor_type type;
    } kinds[] = {{LAYOUT_Q8_0_X16, TENSOR_Q8_0}, {LAYOUT_Q4_0_X16, TENSOR_Q4_0}, {LAYOUT_Q4_1_X16, TENSOR_Q4_1},
                 {LAYOUT_Q5_0_X16, TENSOR_Q5_0}, {LAYOUT_Q5_1_X16, TENSOR_Q5_1}, {LAYOUT_Q4_K_X16, TENSOR_Q4_K},
                 {LAYOUT_Q5_K_X16, TENSOR_Q5_K}, {LAYOUT_Q6_K_X16, TENSOR_Q6_K}};
    size_t bytes = PANEL_ROWS * COLS * 2; // more than any of these types takes, packed or not
    unsigned char *in = malloc(bytes), *out = malloc(bytes);
    if (!in || !out) return 1;
    for (size_t i = 0; i < bytes; i++) in[i] = (unsigned char)(i * 2654435761u >> 7);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        measure(kinds[i].layout, tensor_type_layout(kinds[i].type), in, out);
    free(in);
    free(out);
    return 0;
}
