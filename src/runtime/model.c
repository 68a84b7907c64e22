// Opening a model: checkpoint, then program, then pack, each of the two from the cache where it can be.
//
//   program key   XXH3-128 of: header of the checkpoint, compiler, CPU, options
//   pack key      XXH3-128 of: header, compiler version, size, time of modification and a sample of the checkpoint's
//                 data, the plan's table of weights
//
// The pack's key knows nothing of CPU and options, so that programs which want the same weights share one pack.
#define _GNU_SOURCE
#include "runtime/model.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "format/checkpoint_open.h"
#include "runtime/cache.h"

static wf_status compile_program(const checkpoint *file, const compile_options *options, buffer *image, wf_error *err)
{
    compiler_door door;
    TRY(compiler_open("welford_compile", &door, err));
    compile_fn *compile = (compile_fn *)(uintptr_t)door.function;
    wf_status status = compile(file, options, image, err);
    compiler_close(&door);
    return status == WF_OK && image->failed ? error_memory(err, image->len) : status;
}

// --- keys ----------------------------------------------------------------------------------------------------------

static view header_view(const checkpoint *file)
{
    size_t bytes, header_bytes;
    const unsigned char *data = checkpoint_bytes(file, &bytes, &header_bytes);
    return (view){(const char *)data, header_bytes};
}

static bool make_program_key(const checkpoint *file, const compile_options *o, char key[CACHE_KEY_CHARS])
{
    buffer options = {0};
    buffer_printf(&options, "kv_f32=%d fuse=%s no_fuse=%s weights=%s", o->kv_f32, o->fuse ? o->fuse : "*",
                  o->no_fuse ? o->no_fuse : "", o->weights ? o->weights : "");
    char compiler[COMPILER_IDENTITY_CHARS];
    compiler_identity(compiler);
    const view parts[] = {header_view(file), view_of(compiler), view_of(o->cpu.key), buffer_view(&options)};
    if (!options.failed) cache_key(parts, sizeof parts / sizeof *parts, key);
    buffer_free(&options);
    return !options.failed;
}

enum { SAMPLES = 64, SAMPLE_BYTES = 4096 };

// Pages spread evenly over a file, first and last included; a small file whole.
static void append_part_sample(view part, buffer *out)
{
    if (part.len <= SAMPLES * SAMPLE_BYTES) {
        buffer_append_view(out, part);
        return;
    }
    size_t room = part.len - SAMPLE_BYTES;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t at = room / (SAMPLES - 1) * i + room % (SAMPLES - 1) * i / (SAMPLES - 1);
        buffer_append(out, part.data + at, SAMPLE_BYTES);
    }
}

static void append_sample(const checkpoint *file, buffer *out)
{
    for (size_t i = 0; i < checkpoint_part_count(file); i++) append_part_sample(checkpoint_part(file, i), out);
}

// All that decides a pack's bytes; names end with a zero byte, so that no two tables look alike.
static void append_weights(const plan *p, buffer *out)
{
    buffer_printf(out, "%zu %" PRIu32 "\n", p->weights_bytes, p->n_weights);
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const plan_weight *w = &p->weights[i];
        buffer_printf(out, "%d %" PRId64 " %d %d %zu %zu %" PRIu32, (int)w->layout, w->cols, w->interleave, w->plus_one,
                      w->offset, w->bytes, w->n_sources);
        for (uint32_t s = 0; s < w->n_sources; s++) {
            buffer_printf(out, " %" PRIu32 " %" PRId64 " ", w->types[s], w->rows[s]);
            buffer_append(out, w->sources[s], strlen(w->sources[s]) + 1);
        }
    }
}

static bool make_pack_key(const checkpoint *file, const plan *p, char key[CACHE_KEY_CHARS])
{
    size_t bytes, header_bytes;
    checkpoint_bytes(file, &bytes, &header_bytes);
    buffer facts = {0}, sample = {0}, weights = {0};
    buffer_printf(&facts, "%zu %" PRId64, bytes, checkpoint_mtime_ns(file));
    append_sample(file, &sample);
    append_weights(p, &weights);
    bool failed = facts.failed || sample.failed || weights.failed;
    const view parts[] = {header_view(file), VIEW_LITERAL(WELFORD_COMPILER_VERSION), buffer_view(&facts),
                          buffer_view(&sample), buffer_view(&weights)};
    if (!failed) cache_key(parts, sizeof parts / sizeof *parts, key);
    buffer_free(&facts);
    buffer_free(&sample);
    buffer_free(&weights);
    return !failed;
}

bool model_identity(const model *m, char identity[CACHE_KEY_CHARS])
{
    char weights[CACHE_KEY_CHARS];
    if (!make_pack_key(m->file, &m->program.plan, weights)) return false;
    const view parts[] = {view_of(weights), view_of(m->program.plan.kv_type)};
    cache_key(parts, 2, identity);
    return true;
}

// --- program and pack ----------------------------------------------------------------------------------------------

// A missing, cut or damaged entry is no failure: the program is compiled anew and replaces it.
static bool load_cached_program(const char *path, program *prog)
{
    file_map map;
    if (file_map_open(path, &map, NULL) != WF_OK) return false;
    wf_status status = program_load(map.data, map.bytes, path, prog, NULL);
    file_map_close(&map);
    return status == WF_OK;
}

// An image fresh from the compiler that does not load is the compiler's fault.
static wf_status load_compiled_program(const buffer *image, program *prog, wf_error *err)
{
    wf_error inner = {0};
    wf_status status = program_load(image->data, image->len, "compiled program", prog, &inner);
    if (status == WF_OK) return WF_OK;
    return error_set(err, status == WF_ERROR_FORMAT ? WF_ERROR_COMPILE : status, "%s", inner.message);
}

static wf_status open_program(model *m, const model_options *o, thread_pool *pool, wf_error *err)
{
    compile_options options = {.n_threads = thread_pool_size(pool),
                               .kv_f32 = o->kv_f32,
                               .fuse = o->fuse,
                               .no_fuse = o->no_fuse,
                               .print_ir_after = o->print_ir_after,
                               .weights = o->weights};
    TRY(cpu_detect(&options.cpu, err));
    char key[CACHE_KEY_CHARS], path[PATH_MAX];
    bool cache = !o->no_cache && make_program_key(m->file, &options, key) &&
                 cache_path("programs", key, ".wfprog", path, sizeof path);
    // Who wants to see the compiler's graphs wants it to run.
    if (cache && !o->print_ir_after && load_cached_program(path, &m->program)) {
        m->program_cached = true;
        return WF_OK;
    }
    buffer image = {0};
    m->compile_started = clock_seconds();
    wf_status status = compile_program(m->file, &options, &image, err);
    m->compile_seconds = clock_seconds() - m->compile_started;
    if (status == WF_OK) status = load_compiled_program(&image, &m->program, err);
    if (status == WF_OK && cache) file_write(path, image.data, image.len, NULL); // without it: no cache
    buffer_free(&image);
    return status;
}

typedef struct packing {
    const model_options *options;
    bool built;
} packing;

static void report_packing(void *context, size_t done, size_t all)
{
    packing *p = context;
    p->built = true;
    if (p->options->progress) p->options->progress(p->options->progress_context, "packing", done, all);
}

static wf_status open_pack(model *m, const model_options *o, thread_pool *pool, wf_error *err)
{
    char key[CACHE_KEY_CHARS], path[PATH_MAX];
    bool cache = !o->no_cache && make_pack_key(m->file, &m->program.plan, key) &&
                 cache_path("packs", key, ".wfpack", path, sizeof path);
    packing p = {.options = o};
    m->pack_started = clock_seconds();
    TRY(pack_open(m->file, &m->program.plan, cache ? path : NULL, cache ? key : NULL, pool, report_packing, &p,
                  &m->pack, err));
    m->pack_seconds = clock_seconds() - m->pack_started;
    m->pack_cached = m->pack.cached && !p.built;
    return WF_OK;
}

static void print_tables(const plan *p, const model_options *options)
{
    buffer text = {0};
    if (options->print_plan) plan_print(p, &text);
    if (options->print_report) plan_print_fusions(p->fusions, p->n_fusions, &text);
    if (text.len) fwrite(text.data, 1, text.len, stderr);
    buffer_free(&text);
}

wf_status model_open(const char *path, const model_options *options, thread_pool *pool, model **out, wf_error *err)
{
    *out = NULL;
    model *m = calloc(1, sizeof *m);
    if (!m) return error_memory(err, sizeof *m);
    wf_status status;
    TRY_GOTO(checkpoint_open(path, &m->file, err), failed);
    TRY_GOTO(open_program(m, options, pool, err), failed);
    print_tables(&m->program.plan, options);
    TRY_GOTO(open_pack(m, options, pool, err), failed);
    *out = m;
    return WF_OK;
failed:
    model_close(m);
    return status;
}

void model_close(model *m)
{
    if (!m) return;
    pack_close(&m->pack);
    program_free(&m->program);
    if (m->file) checkpoint_close(m->file);
    free(m);
}
