// Measures how far norms are off, for docs/norms.md: LayerNorm by textbook formulas in plain C, summed in 32 lanes as
// vector code does, beside all ways in which the kernels compute norms.
//
// Prints, for each kind of row, the largest error of a result, relative to the row's largest result in float64 (of a
// constant row's layer_norm: absolute). Results are f32 throughout, also where x is f16 or bf16: what the kernels make
// of it before they round.
#include "compiler/kernel/harness.h"
#include "compiler/kernel/norm/norm_data.h"

enum { N_LANES = 32, N_FORMULAS = 4, N_PATHS = 10, COLS = 1536, ROWS = 64, LONG_COLS = 49152, LONG_ROWS = 2 };
static const double EPS = 1e-5;

// ---- formulas

// What a formula finds: y = ((x - mean) - rest) / sqrt(var + eps).
typedef struct moments {
    float mean, rest, var;
} moments;

static float sum_lanes(const float *lanes)
{
    float sum = 0;
    for (int i = 0; i < N_LANES; i++) sum += lanes[i];
    return sum;
}

static moments naive(const float *x)
{
    float sums[N_LANES] = {0}, squares[N_LANES] = {0};
    for (int i = 0; i < COLS; i++) {
        sums[i % N_LANES] += x[i];
        squares[i % N_LANES] += x[i] * x[i];
    }
    float mean = sum_lanes(sums) / (float)COLS, var = sum_lanes(squares) / (float)COLS - mean * mean;
    return (moments){.mean = mean, .var = var < 0 ? 0 : var};
}

static moments welford(const float *x)
{
    float means[N_LANES] = {0}, m2s[N_LANES] = {0}, m2 = 0;
    for (int i = 0; i < COLS; i++) {
        int lane = i % N_LANES;
        float d = x[i] - means[lane];
        means[lane] += d / (float)(i / N_LANES + 1);
        m2s[lane] += d * (x[i] - means[lane]);
    }
    float mean = sum_lanes(means) / (float)N_LANES, count = (float)(COLS / N_LANES);
    for (int i = 0; i < N_LANES; i++) m2 += m2s[i] + count * (means[i] - mean) * (means[i] - mean);
    return (moments){.mean = mean, .var = m2 / (float)COLS};
}

static moments corrected(const float *x)
{
    float sums[N_LANES] = {0}, rests[N_LANES] = {0}, squares[N_LANES] = {0};
    for (int i = 0; i < COLS; i++) sums[i % N_LANES] += x[i];
    float mean = sum_lanes(sums) / (float)COLS;
    for (int i = 0; i < COLS; i++) {
        float d = x[i] - mean;
        rests[i % N_LANES] += d;
        squares[i % N_LANES] += d * d;
    }
    float rest = sum_lanes(rests) / (float)COLS;
    return (moments){.mean = mean, .rest = rest, .var = sum_lanes(squares) / (float)COLS - rest * rest};
}

static moments two_passes(const float *x)
{
    moments m = corrected(x);
    return (moments){.mean = m.mean, .var = m.var + m.rest * m.rest};
}

static const struct {
    const char *name;
    moments (*find)(const float *);
} FORMULAS[N_FORMULAS] = {
    {"E[x^2] - E[x]^2", naive}, {"Welford", welford}, {"two passes", two_passes}, {"corrected two passes", corrected}};

static void apply(int formula, double eps, const float *x, float *y)
{
    for (int r = 0; r < ROWS; r++) {
        const float *row = x + r * COLS;
        moments m = FORMULAS[formula].find(row);
        float scale = 1 / sqrtf(m.var + (float)eps);
        for (int i = 0; i < COLS; i++) y[r * COLS + i] = ((row[i] - m.mean) - m.rest) * scale;
    }
}

// ---- data and errors

// Rows of one kind of data, their results, and what those should be.
typedef struct rows {
    int64_t n, cols;
    tensor_type type;
    void *x;
    float *y;
    double *row, *want; // [cols]
} rows;

static rows make_rows(int64_t n, int64_t cols, tensor_type t)
{
    size_t count = (size_t)(n * cols), row_bytes = (size_t)cols * sizeof(double);
    return (rows){.n = n,
                  .cols = cols,
                  .type = t,
                  .x = filled_memory(count * 4, 0),
                  .y = filled_memory(count * 4, 0x7f),
                  .row = filled_memory(row_bytes, 0),
                  .want = filled_memory(row_bytes, 0)};
}

static void free_rows(rows *s) { free(s->x), free(s->y), free(s->row), free(s->want); }

static void fill(rows *s, data_kind kind)
{
    rng random = {42};
    for (int64_t i = 0; i < s->n * s->cols; i++)
        set(s->type, s->x, i, sample(kind, s->type, i / s->cols, i % s->cols, s->cols, &random));
}

// Denormals are normalised without eps, which would hide what becomes of them.
static double eps_of(data_kind kind) { return kind == DENORMAL ? 0 : EPS; }

static double largest_error(rows *s, bool layer, data_kind kind)
{
    norm n = {{.cols = s->cols, .eps = eps_of(kind)}, layer};
    double largest_error = 0;
    for (int64_t r = 0; r < s->n; r++) {
        double largest = 0, error = 0;
        for (int64_t i = 0; i < s->cols; i++) s->row[i] = (double)get(s->type, s->x, r * s->cols + i);
        normalise_row(&n, s->row, s->want);
        for (int64_t i = 0; i < s->cols; i++) {
            double off = fabs((double)s->y[r * s->cols + i] - s->want[i]);
            largest = fmax(largest, fabs(s->want[i]));
            error = isnan(off) ? off : isnan(error) ? error : fmax(error, off);
        }
        if (layer && kind == CONSTANT) largest = 1;
        error = error == 0 ? 0 : error / largest;
        largest_error = isnan(error) || isnan(largest_error) ? (double)NAN : fmax(largest_error, error);
    }
    return largest_error;
}

static void print_row(const char *name, const char *cpu, const double errors[N_KINDS])
{
    printf("| %s%s |", name, cpu);
    for (int kind = 0; kind < N_KINDS; kind++) printf(isnan(errors[kind]) ? " nan |" : " %.1e |", errors[kind]);
    printf("\n");
}

static void print_formulas(void)
{
    rows s = make_rows(ROWS, COLS, TENSOR_F32);
    for (int f = 0; f < N_FORMULAS; f++) {
        double errors[N_KINDS];
        for (int kind = 0; kind < N_KINDS; kind++) {
            fill(&s, (data_kind)kind);
            apply(f, eps_of((data_kind)kind), s.x, s.y);
            errors[kind] = largest_error(&s, true, (data_kind)kind);
        }
        print_row(FORMULAS[f].name, "", errors);
    }
    free_rows(&s);
}

// ---- kernels

typedef struct path {
    const char *name;
    bool layer, parts;
    tensor_type x;
    norm_strategy strategy;
} path;

static const path PATHS[N_PATHS] = {
    {"rms_norm", false, false, TENSOR_F32, NORM_BY_SIZE},
    {"rms_norm, parts", false, true, TENSOR_F32, NORM_BY_SIZE},
    {"rms_norm f16", false, false, TENSOR_F16, NORM_BY_SIZE},
    {"rms_norm bf16", false, false, TENSOR_BF16, NORM_BY_SIZE},
    {"layer_norm, two-pass", true, false, TENSOR_F32, NORM_TWO_PASS},
    {"layer_norm, online", true, false, TENSOR_F32, NORM_ONLINE},
    {"layer_norm, parts", true, true, TENSOR_F32, NORM_BY_SIZE},
    {"layer_norm f16", true, false, TENSOR_F16, NORM_TWO_PASS},
    {"layer_norm bf16, two-pass", true, false, TENSOR_BF16, NORM_TWO_PASS},
    {"layer_norm bf16, online", true, false, TENSOR_BF16, NORM_ONLINE},
};

enum { N_STAGES = 2, N_EPS = 2, N_KERNELS = N_PATHS * N_EPS * N_STAGES };

static int64_t cols_of(const path *p) { return p->parts ? LONG_COLS : COLS; }

// A path without parts has one kernel, the second.
static bool has_kernel(int index) { return PATHS[index / (N_EPS * N_STAGES)].parts || index % N_STAGES; }

static wf_status compile_paths(harness *h, kernel_fn kernels[N_KERNELS], wf_error *err)
{
    const char *names[N_KERNELS];
    kernel_fn found[N_KERNELS];
    int n = 0;
    for (int i = 0; i < N_KERNELS; i++) {
        const path *p = &PATHS[i / (N_EPS * N_STAGES)];
        norm_kernel k = {.cols = cols_of(p), .x = p->x, .strategy = p->strategy};
        k.eps = i / N_STAGES % N_EPS ? EPS : 0;
        if (p->parts) k.stage = i % N_STAGES ? NORM_WRITE_PARTS : NORM_READ_PARTS;
        if (!has_kernel(i)) continue;
        names[n++] = harness_add(h, p->layer ? &LAYER_NORM_KERNEL : &RMS_NORM_KERNEL, &k);
    }
    TRY(harness_compile(h, names, n, found, err));
    for (int i = N_KERNELS; i-- > 0;) kernels[i] = has_kernel(i) ? found[--n] : NULL;
    return WF_OK;
}

static void run_path(const path *p, const kernel_fn stages[N_STAGES], rows *s)
{
    if (!p->parts) {
        stages[1]((void *[]){s->x, s->y}, NULL, 0, s->n);
        return;
    }
    int64_t n_tiles = s->n * norm_part_count(s->cols);
    void *of_parts = filled_memory((size_t)n_tiles * NORM_MOMENTS_BYTES, 0x7f);
    stages[0]((void *[]){s->x, of_parts}, NULL, 0, n_tiles);
    stages[1]((void *[]){s->x, s->y, of_parts}, NULL, 0, n_tiles);
    free(of_parts);
}

static wf_status print_kernels(const char *cpu, const char *cpu_label, wf_error *err)
{
    harness h = {0};
    kernel_fn kernels[N_KERNELS];
    wf_status status = harness_open(&h, cpu, err);
    if (status == WF_OK) status = compile_paths(&h, kernels, err);
    for (int i = 0; i < N_PATHS && status == WF_OK; i++) {
        const path *p = &PATHS[i];
        rows s = make_rows(p->parts ? LONG_ROWS : ROWS, cols_of(p), p->x);
        double errors[N_KINDS];
        for (int kind = 0; kind < N_KINDS; kind++) {
            fill(&s, (data_kind)kind);
            run_path(p, kernels + (i * N_EPS + (eps_of((data_kind)kind) > 0)) * N_STAGES, &s);
            errors[kind] = largest_error(&s, p->layer, (data_kind)kind);
        }
        print_row(p->name, cpu_label, errors);
        free_rows(&s);
    }
    harness_close(&h);
    return status;
}

int main(void)
{
    wf_error err = {0};
    printf("| |");
    for (int kind = 0; kind < N_KINDS; kind++) printf(" %s |", KINDS[kind]);
    printf("\n|---|");
    for (int kind = 0; kind < N_KINDS; kind++) printf("---|");
    printf("\n");
    print_formulas();
    wf_status status = print_kernels("haswell", ", 256 bits", &err);
    if (status == WF_OK) status = print_kernels("emulated-avx512", ", 512 bits", &err);
    if (status != WF_OK) fprintf(stderr, "norm_accuracy_bench: %s\n", err.message);
    return status == WF_OK ? 0 : 1;
}
