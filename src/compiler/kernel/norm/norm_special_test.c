// Norm kernels on infinities, NaN, and results in the middle between two values of their type.
#include "compiler/kernel/norm/norm_testing.h"

// In place, as PyTorch's results are: rms_norm keeps zeros beside an inf, layer_norm keeps nothing; rows do not mix.
static void test_inf_nan(void **state)
{
    (void)state;
    norm norms[24];
    int n = 0;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    static const int64_t sizes[] = {5, 100};
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < 2; i++)
            for (int kind = 0; kind < 3; kind++)
                norms[n++] = (norm){{.cols = sizes[i],
                                     .eps = 1e-6,
                                     .x = types[t],
                                     .y = types[t],
                                     .strategy = kind == 2 ? NORM_ONLINE : NORM_BY_SIZE},
                                    .layer = kind > 0};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[24];
        open_norms(&h, NORM_CPUS[c], norms, n, functions);
        for (int i = 0; i < n; i++) {
            const norm *m = &norms[i];
            int64_t cols = m->k.cols, hit = cols - 2;
            buffers s = make_buffers(m, 4);
            rng seed = {3};
            fill(m, &s, 4, NORMAL, &seed);
            set(m->k.x, s.x.data, 1 * cols + hit, INFINITY);
            set(m->k.x, s.x.data, 2 * cols + hit, NAN);
            memcpy(s.y.data, s.x.data, s.x.bytes);
            void *operands[] = {s.y.data, s.y.data};
            functions[i](operands, NULL, 0, 4);
            check_row(m, &s, 0, NORMAL);
            check_row(m, &s, 3, NORMAL);
            for (int64_t j = 0; j < cols; j++) {
                float with_inf = get(m->k.y, s.y.data, cols + j), with_nan = get(m->k.y, s.y.data, 2 * cols + j);
                assert_true(m->layer || j == hit ? isnan(with_inf) : with_inf == 0);
                assert_true(isnan(with_nan));
            }
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// The same where a row is cut into parts: what one part holds shows in all of them.
static void test_parts_inf_nan(void **state)
{
    (void)state;
    enum { COLS = 40003 };
    for (int layer = 0; layer < 2; layer++) {
        norm m = {{.cols = COLS, .eps = 1e-6}, layer}, stages[] = {m, m};
        stages[0].k.stage = NORM_READ_PARTS, stages[1].k.stage = NORM_WRITE_PARTS;
        harness h;
        kernel_fn functions[2];
        open_norms(&h, NORM_CPUS[0], stages, 2, functions);
        buffers s = make_buffers(&m, 3);
        int64_t n_tiles = 3 * norm_part_count(COLS);
        guarded moments = guarded_alloc((size_t)n_tiles * NORM_MOMENTS_BYTES);
        rng seed = {5};
        fill(&m, &s, 3, NORMAL, &seed);
        set(TENSOR_F32, s.x.data, 7, -INFINITY);
        set(TENSOR_F32, s.x.data, 3 * COLS - 1, NAN);
        for (int writes = 0; writes < 2; writes++) run_parts(&m, functions, &s, moments.data, 0, n_tiles, writes);
        check_row(&m, &s, 1, NORMAL);
        for (int64_t j = 0; j < COLS; j++) {
            float with_inf = get(TENSOR_F32, s.y.data, j);
            assert_true(layer || j == 7 ? isnan(with_inf) : with_inf == 0);
            assert_true(isnan(get(TENSOR_F32, s.y.data, 2 * COLS + j)));
        }
        guarded_free(&moments);
        free_buffers(&s);
        harness_close(&h);
    }
}

// A NaN whose bits are all set stays one when it is rounded to bf16: the carry of rounding must not run over.
static void test_nan_bits(void **state)
{
    (void)state;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    norm norms[18];
    for (int i = 0; i < 18; i++)
        norms[i] = (norm){
            {.cols = 100, .eps = 1e-6, .x = types[i % 3], .y = TENSOR_BF16, .weight = types[i / 3 % 3], .gamma = true},
            .layer = i >= 9};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[18];
        open_norms(&h, NORM_CPUS[c], norms, 18, functions);
        for (int i = 0; i < 18; i++) {
            const norm *m = &norms[i];
            buffers s = make_buffers(m, 3);
            rng seed = {3};
            fill(m, &s, 3, NORMAL, &seed);
            for (int64_t j = 1; j < 100; j += 7) {
                size_t bytes = type_bytes(m->k.weight);
                memset(s.gamma.data + (size_t)j * bytes, 0xff, bytes);
                s.gamma.data[(size_t)(j + 1) * bytes - 1] = 0x7f;
            }
            run_kernel(m, functions[i], &s, 0, 3);
            for (int64_t j = 0; j < 300; j++)
                assert_int_equal(!!isnan(get(TENSOR_BF16, s.y.data, j)), j % 100 % 7 == 1);
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// Results that lie in the middle between two bf16 values are rounded to the even one: 1 + i / 512.
static void test_ties(void **state)
{
    (void)state;
    static const tensor_type types[] = {TENSOR_BF16, TENSOR_F16, TENSOR_F32};
    norm norms[3];
    for (int i = 0; i < 3; i++)
        norms[i] = (norm){
            {.cols = 255, .x = types[i], .y = TENSOR_BF16, .weight = types[i], .gamma = true, .plus_one = true}, false};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[3];
        open_norms(&h, NORM_CPUS[c], norms, 3, functions);
        for (int i = 0; i < 3; i++) {
            buffers s = make_buffers(&norms[i], 2);
            for (int64_t j = 0; j < 255; j++) set(types[i], s.gamma.data, j, (double)j / 512);
            for (int64_t j = 0; j < 510; j++) set(types[i], s.x.data, j, j % 3 ? 1 : -1);
            run_kernel(&norms[i], functions[i], &s, 0, 2);
            for (int64_t j = 0; j < 510; j++) {
                double y = (j % 3 ? 1 : -1) * (1 + (double)(j % 255) / 512);
                assert_true(get(TENSOR_BF16, s.y.data, j) == round_to(TENSOR_BF16, y));
            }
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inf_nan),
        cmocka_unit_test(test_parts_inf_nan),
        cmocka_unit_test(test_nan_bits),
        cmocka_unit_test(test_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
