// Rows stored at given places, against plain C: all bytes of y, what has no place, rows that share one.
#include "compiler/kernel/rows/store_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/kernel/harness.h"
#include "compiler/kernel/testing.h"

enum { LEAD = 3, N = 5, N_ROWS = 4, FAULT = 7 };

// Places of each tile; one beyond either end, and one twice.
static const int64_t PLACES[LEAD * N_ROWS] = {0, 4, 4, 2, 1, -1, 3, 0, 2, 5, INT64_MIN, 1};

static void check(const char *cpu, const store_rows_kernel *k, bool shared)
{
    size_t row = (size_t)k->row_bytes;
    unsigned char *rows = filled_memory(LEAD * N_ROWS * row, 0), *y = filled_memory(LEAD * N * row, 0xaa);
    unsigned char *want = filled_memory(LEAD * N * row, 0xaa);
    int32_t narrow[LEAD * N_ROWS];
    int64_t fault = 0, want_fault = 0;
    rng r = {3};
    for (size_t i = 0; i < LEAD * N_ROWS * row; i++) rows[i] = (unsigned char)random_bits(&r);
    for (int i = 0; i < LEAD * N_ROWS; i++) narrow[i] = PLACES[i] < -1 ? -9 : (int32_t)PLACES[i];
    for (int lead = 0; lead < LEAD; lead++)
        for (int w = 0; w < N_ROWS; w++) {
            int64_t place = PLACES[(shared ? 0 : lead * N_ROWS) + w];
            if (place < 0 || place >= N)
                want_fault = k->drops ? 0 : FAULT;
            else
                memcpy(want + (size_t)(lead * N + place) * row, rows + (size_t)(lead * N_ROWS + w) * row, row);
        }
    harness h;
    wf_error err = {0};
    kernel_fn f = NULL;
    if (harness_open(&h, cpu, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    const char *name = harness_add(&h, &STORE_ROWS_KERNEL, k);
    if (harness_compile(&h, &name, 1, &f, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    void *operands[] = {rows, k->wide ? (void *)(uintptr_t)PLACES : (void *)narrow, y, &fault};
    const int64_t sizes[] = {N_ROWS, N, shared ? 0 : N_ROWS, FAULT};
    f(operands, sizes, 0, 1);
    f(operands, sizes, 1, LEAD);
    assert_memory_equal(y, want, LEAD * N * row + 64);
    assert_int_equal(fault, want_fault);
    harness_close(&h);
    free(rows);
    free(y);
    free(want);
}

static void test_store_rows(void **state)
{
    (void)state;
    static const int64_t ROW_BYTES[] = {1, 2, 12, 64, 127, 300};
    for (int c = 0; c < N_TEST_CPUS; c++)
        for (size_t i = 0; i < sizeof ROW_BYTES / sizeof *ROW_BYTES; i++)
            for (int how = 0; how < 8; how++) {
                const store_rows_kernel k = {.row_bytes = ROW_BYTES[i], .wide = how & 1, .drops = how & 2};
                check(TEST_CPUS[c], &k, how & 4);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
