// Norm kernels against float64: both norms, both strategies, whole rows and parts, all types and options, hard and
// degenerate data; AVX2 code and the logic of AVX-512 code on any CPU.
#include "compiler/kernel/norm/norm_testing.h"

static void test_sizes(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 7, 8, 15, 16, 17, 31, 64, 576, 1536, 4096, 20000};
    norm norms[MAX_NORMS];
    int n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 4; kind++) {
            static const norm_strategy strategies[] = {NORM_BY_SIZE, NORM_BY_SIZE, NORM_TWO_PASS, NORM_ONLINE};
            norm_kernel k = {.cols = sizes[i], .eps = 1e-5, .gamma = true, .strategy = strategies[kind]};
            k.beta = kind > 0;
            norms[n++] = (norm){k, .layer = kind > 0};
        }
    check_norms(norms, n, N_CPUS);
}

static void test_types(void **state)
{
    (void)state;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    norm norms[MAX_NORMS];
    int n = 0;
    for (int x = 0; x < 3; x++)
        for (int y = 0; y < 3; y++)
            for (int kind = 0; kind < 3; kind++) {
                norm_kernel k = {.cols = 303, .eps = 1e-6, .gamma = true, .x = types[x], .y = types[y]};
                k.weight = types[(x + y) % 3];
                k.beta = kind > 0;
                k.strategy = kind == 2 ? NORM_ONLINE : NORM_BY_SIZE;
                norms[n++] = (norm){k, .layer = kind > 0};
            }
    check_norms(norms, n, 2);
}

// Subsets of gamma, beta, residual, plus one and rounding, so that every pair of them meets.
static void test_options(void **state)
{
    (void)state;
    static const unsigned subsets[] = {
        0, 1, 2, 4, 16, 1 | 8, 1 | 2 | 16, 2 | 4 | 16, 1 | 2 | 4 | 8, 1 | 4 | 8 | 16, 1 | 2 | 4 | 8 | 16};
    norm norms[MAX_NORMS];
    int n = 0;
    for (size_t i = 0; i < sizeof subsets / sizeof *subsets; i++)
        for (int kind = 0; kind < 4; kind++) {
            unsigned bits = subsets[i];
            norm_kernel k = {.cols = 77, .eps = 1e-6};
            k.x = k.y = k.weight = kind & 1 ? TENSOR_BF16 : TENSOR_F32;
            k.gamma = bits & 1, k.beta = bits & 2, k.residual = bits & 4;
            k.plus_one = bits & 8, k.round_before_gamma = bits & 16;
            bool layer = (kind + (int)i) % 3 > 0;
            k.strategy = layer && kind > 1 ? NORM_ONLINE : NORM_BY_SIZE;
            norms[n++] = (norm){k, layer};
        }
    check_norms(norms, n, 2);
}

static void test_q8(void **state)
{
    (void)state;
    norm norms[8];
    int n = 0;
    static const int64_t sizes[] = {32, 64, 96, 576};
    for (int i = 0; i < 4; i++)
        for (int layer = 0; layer < 2; layer++)
            norms[n++] = (norm){{.cols = sizes[i], .eps = 1e-6, .gamma = true, .out_q8 = true}, .layer = layer};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[8];
        open_norms(&h, NORM_CPUS[c], norms, n, functions);
        for (int i = 0; i < n; i++) {
            buffers s = make_buffers(&norms[i], 5);
            rng seed = {1};
            fill(&norms[i], &s, 5, NORMAL, &seed);
            run_kernel(&norms[i], functions[i], &s, 0, 5);
            for (int64_t row = 0; row < 5; row++) check_row(&norms[i], &s, row, NORMAL);
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// Without eps, or with one that nothing hides behind, tiny rows must be normalised as well as others.
static void test_no_eps(void **state)
{
    (void)state;
    norm norms[MAX_NORMS];
    int n = 0;
    static const double eps[] = {0, 1e-45, 1e-80};
    static const int64_t sizes[] = {3, 17, 576, 7001};
    for (int e = 0; e < 3; e++)
        for (int i = 0; i < 4; i++)
            for (int kind = 0; kind < 3; kind++)
                norms[n++] =
                    (norm){{.cols = sizes[i], .eps = eps[e], .strategy = kind == 2 ? NORM_ONLINE : NORM_BY_SIZE},
                           .layer = kind > 0};
    check_norms(norms, n, 1);
}

// The size alone decides between the strategies, and a very long row is right too.
static void test_long_row(void **state)
{
    (void)state;
    norm norms[] = {{{.cols = 200003, .eps = 1e-5}, true}, {{.cols = 200003, .eps = 1e-5}, false}};
    harness h;
    kernel_fn functions[2];
    open_norms(&h, NORM_CPUS[0], norms, 2, functions);
    for (int i = 0; i < 2; i++) check_norm(&norms[i], functions[i], 2);
    harness_close(&h);
}

// ---- rows in parts

// Whatever tiles a thread gets, the results are the same bits.
static void check_parts(const norm *n, const kernel_fn f[2], int64_t n_rows)
{
    int64_t n_tiles = n_rows * norm_part_count(n->k.cols), cuts[] = {0, n_tiles / 3, n_tiles / 2, n_tiles};
    buffers s = make_buffers(n, n_rows);
    guarded moments = guarded_alloc((size_t)n_tiles * NORM_MOMENTS_BYTES);
    unsigned char *y = malloc(s.y.bytes);
    assert_non_null(y);
    rng random = {7};
    for (int kind = 0; kind < N_KINDS; kind++) {
        if (!is_defined(n, (data_kind)kind)) continue;
        fill(n, &s, n_rows, (data_kind)kind, &random);
        for (int writes = 0; writes < 2; writes++) run_parts(n, f, &s, moments.data, 0, n_tiles, writes);
        for (int64_t row = 0; row < n_rows; row++) check_row(n, &s, row, (data_kind)kind);
        memcpy(y, s.y.data, s.y.bytes);
        memset(s.y.data, 0x7f, s.y.bytes);
        for (int writes = 0; writes < 2; writes++)
            for (int i = 3; i-- > 0;) run_parts(n, f, &s, moments.data, cuts[i], cuts[i + 1], writes);
        assert_memory_equal(y, s.y.data, s.y.bytes);
    }
    free(y);
    guarded_free(&moments);
    free_buffers(&s);
}

static void test_parts(void **state)
{
    (void)state;
    static const norm norms[] = {
        {{.cols = 40003, .eps = 1e-5, .gamma = true, .beta = true}, true},
        {{.cols = 40003, .eps = 1e-5, .gamma = true, .residual = true}, false},
        {{.cols = 40003, .eps = 1e-6, .x = TENSOR_BF16, .y = TENSOR_BF16, .weight = TENSOR_BF16, .gamma = true}, true},
        {{.cols = 40003, .eps = 1e-6, .x = TENSOR_F16, .y = TENSOR_F16, .residual = true}, true},
        {{.cols = 150001, .eps = 0, .strategy = NORM_ONLINE}, true},
        {{.cols = 98304, .eps = 0}, false},
        {{.cols = 1000, .eps = 1e-5, .x = TENSOR_BF16, .weight = TENSOR_BF16, .beta = true, .residual = true}, true},
    };
    enum { N = sizeof norms / sizeof *norms };
    norm stages[2 * N];
    for (int i = 0; i < 2 * N; i++) {
        stages[i] = norms[i / 2];
        stages[i].k.stage = i % 2 ? NORM_WRITE_PARTS : NORM_READ_PARTS;
        if (i % 2) stages[i].k.residual = false;
    }
    for (int c = 0; c < 2; c++) {
        harness h;
        kernel_fn functions[2 * N];
        open_norms(&h, NORM_CPUS[c], stages, 2 * N, functions);
        for (int i = 0; i < N; i++) check_parts(&norms[i], functions + 2 * i, i % 2 + 1);
        harness_close(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_types),  cmocka_unit_test(test_options),
        cmocka_unit_test(test_q8),    cmocka_unit_test(test_no_eps), cmocka_unit_test(test_long_row),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
