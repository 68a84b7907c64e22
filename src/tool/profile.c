#include "tool/profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/weight/weight_type.h"

// ---- counting

// A call whose weights are 8-bit (or smaller) quants multiplies them with quantised activations; bf16 weights have an
// instruction of their own on some CPUs.
static ceiling_kind bounding_ceiling(const program *p, const program_call *call)
{
    for (uint32_t b = 0; b < call->n_buffers; b++) {
        if (p->areas[call->buffers[b].area].kind != AREA_WEIGHTS) continue;
        size_t offset = (size_t)call->buffers[b].offset.c[DIM_ONE];
        for (uint32_t w = 0; w < p->n_weights; w++) {
            if (p->weights[w].offset != offset) continue;
            const weight_type *t = weight_type_in(p->weights[w].layout);
            if (t) return activation_ceiling(t->activation);
        }
    }
    return CEILING_FMA;
}

wf_status profile_create(const program *p, profile *out, wf_error *err)
{
    *out = (profile){.program = p, .kernels = calloc(p->n_kernels + 1, sizeof *out->kernels)};
    if (!out->kernels) return error_memory(err, p->n_kernels * sizeof *out->kernels);
    for (uint32_t i = 0; i < p->n_calls; i++)
        out->kernels[p->calls[i].kernel].ceiling = bounding_ceiling(p, &p->calls[i]);
    return WF_OK;
}

void profile_free(profile *p)
{
    free(p->kernels);
    *p = (profile){0};
}

void profile_clear(profile *p)
{
    p->seconds = 0;
    for (uint32_t i = 0; i < p->program->n_kernels; i++)
        p->kernels[i] = (kernel_profile){.ceiling = p->kernels[i].ceiling};
}

void profile_copy(profile *to, const profile *from)
{
    to->seconds = from->seconds;
    memcpy(to->kernels, from->kernels, from->program->n_kernels * sizeof *to->kernels);
}

// A call lasts from the end of the one before to its own: threads never work at two calls at a time.
void profile_observe(void *context, const execute_record *r)
{
    profile *p = context;
    double before = r->begin;
    p->seconds += r->end - r->begin;
    for (uint32_t i = 0; i < r->program->n_calls; i++) {
        const program_call *call = &r->program->calls[i];
        double end = execute_call_end(r, i);
        if (end == 0) continue;
        kernel_profile *k = &p->kernels[call->kernel];
        k->calls++;
        k->seconds += end - before;
        k->bytes += program_call_bytes(r->program, call, r->dims);
        k->flops += program_call_flops(call, r->dims);
        before = end;
    }
}

// ---- ceilings

static wf_status compile_ceilings(buffer *image, wf_error *err)
{
    cpu_features cpu;
    void *address;
    TRY(cpu_detect(&cpu, err));
    TRY(compiler_find("welford_ceilings", &address, err));
    return ((ceilings_fn *)(uintptr_t)address)(&cpu, image, err);
}

static size_t arena_bytes(const ceilings *c) { return program_fixed_bytes(&c->executable.program, AREA_ARENA); }

wf_status ceilings_create(ceilings *c, wf_error *err)
{
    buffer image = {0};
    *c = (ceilings){0};
    wf_status status = compile_ceilings(&image, err);
    if (status == WF_OK) status = executable_load(image.data, image.len, "ceilings", &c->executable, err);
    buffer_free(&image);
    TRY(status);
    void *memory = mmap(NULL, arena_bytes(c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return error_memory(err, arena_bytes(c));
    c->memory = memset(memory, 1, arena_bytes(c)); // pages that were never written are all the same one
    return WF_OK;
}

void ceilings_free(ceilings *c)
{
    if (c->memory) munmap(c->memory, arena_bytes(c));
    executable_free(&c->executable);
    *c = (ceilings){0};
}

static void keep_best(void *context, const execute_record *r)
{
    ceilings *c = context;
    double before = r->begin;
    for (uint32_t i = 0; i < CEILING_COUNT; i++) {
        const program_call *call = &r->program->calls[i];
        double end = execute_call_end(r, i);
        double work =
            i == CEILING_READ ? program_call_bytes(r->program, call, r->dims) : program_call_flops(call, r->dims);
        double speed = end > before ? work / (end - before) : 0;
        if (speed > c->best[i]) c->best[i] = speed;
        before = end;
    }
}

wf_status ceilings_measure(ceilings *c, thread_pool *pool, wf_error *err)
{
    const int64_t dims[DIM_COUNT] = {1};
    unsigned char *const areas[FUNCTION_ARRAYS] = {c->memory};
    executor *e;
    TRY(executor_create(&c->executable, pool, &e, err));
    executor_observe(e, keep_best, c);
    wf_status status = executor_run(e, areas, dims, err);
    executor_free(e);
    return status;
}

// ---- showing

static const char *const CEILING_NAMES[] = {
    [CEILING_FMA] = "f32 multiply-add",
    [CEILING_BF16] = "bf16 products",
    [CEILING_INT8] = "8-bit products",
    [CEILING_READ] = "read",
};

// Indices of the kernels that ran, longest first; the caller frees.
static uint32_t *sort_kernels(const profile *p, uint32_t *n)
{
    uint32_t *order = calloc(p->program->n_kernels + 1, sizeof *order);
    *n = 0;
    for (uint32_t i = 0; order && i < p->program->n_kernels; i++) {
        if (!p->kernels[i].calls) continue;
        uint32_t at = (*n)++;
        for (; at && p->kernels[order[at - 1]].seconds < p->kernels[i].seconds; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    return order;
}

static void print_kernel(const char *name, const kernel_profile *k, double all, const ceilings *c)
{
    double bandwidth = k->bytes / k->seconds, speed = k->flops / k->seconds;
    printf("| %-44s | %6" PRId64 " | %9.3f | %5.1f | %7.2f | %5.1f |", name, k->calls, k->seconds * 1e3,
           100 * k->seconds / all, bandwidth * 1e-9, 100 * bandwidth / c->best[CEILING_READ]);
    if (k->flops > 0)
        printf(" %7.1f | %5.1f |\n", speed * 1e-9, 100 * speed / c->best[k->ceiling]);
    else
        printf(" %7s | %5s |\n", "", "");
}

void profile_print(const profile *p, const ceilings *c)
{
    uint32_t n;
    uint32_t *order = sort_kernels(p, &n);
    double in_kernels = 0;
    printf("| %-44s | %6s | %9s | %5s | %7s | %5s | %7s | %5s |\n", "kernel", "calls", "ms", "%", "GB/s", "% rd",
           "GFLOP/s", "% pk");
    printf("| %.44s | %.5s: | %.8s: | %.4s: | %.6s: | %.4s: | %.6s: | %.4s: |\n",
           "------------------------------------------------", "--------", "---------", "--------", "--------",
           "--------", "--------", "--------");
    for (uint32_t i = 0; order && i < n; i++) {
        print_kernel(p->program->kernels[order[i]], &p->kernels[order[i]], p->seconds, c);
        in_kernels += p->kernels[order[i]].seconds;
    }
    free(order);
    printf("| %-44s | %6s | %9.3f | %5.1f | %7s | %5s | %7s | %5s |\n", "between runs and calls", "",
           (p->seconds - in_kernels) * 1e3, 100 * (p->seconds - in_kernels) / p->seconds, "", "", "", "");
    for (int i = 0; i < CEILING_COUNT; i++)
        printf("ceiling: %s %.1f %s\n", CEILING_NAMES[i], c->best[i] * 1e-9, i == CEILING_READ ? "GB/s" : "GFLOP/s");
    fflush(stdout);
}

json_t *profile_describe(const profile *p)
{
    static const char *const NAMES[] = {[CEILING_FMA] = "fma", [CEILING_BF16] = "bf16", [CEILING_INT8] = "int8"};
    json_t *kernels = json_array();
    uint32_t n;
    uint32_t *order = sort_kernels(p, &n);
    for (uint32_t i = 0; order && i < n; i++) {
        const kernel_profile *k = &p->kernels[order[i]];
        json_array_append_new(kernels,
                              json_pack("{s:s, s:I, s:f, s:f, s:f, s:s}", "name", p->program->kernels[order[i]],
                                        "calls", (json_int_t)k->calls, "seconds", k->seconds, "bytes", k->bytes,
                                        "flops", k->flops, "ceiling", NAMES[k->ceiling]));
    }
    free(order);
    return json_pack("{s:f, s:o}", "seconds", p->seconds, "kernels", kernels);
}

json_t *ceilings_describe(const ceilings *c)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "fma", c->best[CEILING_FMA], "bf16", c->best[CEILING_BF16], "int8",
                     c->best[CEILING_INT8], "read", c->best[CEILING_READ]);
}
