// Opening a model, from cheap to dear: compiled_model_open says whether it can be, compiled_model_load makes it so.
//
//   program key   XXH3-128 of: header of the checkpoint, compiler, CPU, options
//   pack key      XXH3-128 of: header, size, time of modification and a sample of the checkpoint's data, the program's
//                 table of weights and how they are packed (pack_key.h)
//
// The pack's key knows nothing of CPU and options, so that programs which want the same weights share one pack.
#include "runtime/compiled_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/versions.h"
#include "format/checkpoint_open.h"
#include "runtime/cache/cache.h"
#include "runtime/cache/cache_list.h"
#include "runtime/model_bundle.h"
#include "runtime/pack/pack_key.h"

// --- keys ----------------------------------------------------------------------------------------------------------

static view header_view(const checkpoint *file)
{
    size_t bytes, header_bytes;
    const unsigned char *data = checkpoint_bytes(file, &bytes, &header_bytes);
    return (view){(const char *)data, header_bytes};
}

static bool make_program_id(const checkpoint *file, const compile_options *o, cache_id *id)
{
    buffer options = {0};
    buffer_printf(&options, "kv=%s fuse=%s no_fuse=%s weights=%s", kv_type_name(o->kv), o->fuse ? o->fuse : "*",
                  o->no_fuse ? o->no_fuse : "", o->weights ? o->weights : "");
    char compiler[COMPILER_IDENTITY_CHARS];
    compiler_identity(compiler);
    const view parts[] = {header_view(file), view_of(compiler), view_of(o->cpu.key), buffer_view(&options)};
    *id = (cache_id){.kind = CACHE_PROGRAM, .origin = checkpoint_path(file)};
    if (!options.failed) cache_key(parts, sizeof parts / sizeof *parts, id->key);
    buffer_free(&options);
    return !options.failed;
}

// What tells this checkpoint from others: size, time of modification, a sample of the data.
static void append_content(const checkpoint *file, buffer *out)
{
    size_t bytes, header_bytes;
    checkpoint_bytes(file, &bytes, &header_bytes);
    buffer_printf(out, "%zu %" PRId64 "\n", bytes, checkpoint_mtime_ns(file));
    for (size_t i = 0; i < checkpoint_part_count(file); i++) pack_key_append_sample(checkpoint_part(file, i), out);
}

// The checkpoint and `more`.
static bool make_content_key(const checkpoint *file, const buffer *more, char key[CACHE_KEY_CHARS])
{
    buffer content = {0};
    append_content(file, &content);
    bool failed = content.failed || more->failed;
    const view parts[] = {header_view(file), buffer_view(&content), buffer_view(more)};
    if (!failed) cache_key(parts, sizeof parts / sizeof *parts, key);
    buffer_free(&content);
    return !failed;
}

static bool make_pack_id(const checkpoint *file, const program *p, cache_id *id)
{
    buffer weights = {0};
    pack_key_append(p, &weights);
    *id = (cache_id){.kind = CACHE_PACK, .origin = checkpoint_path(file)};
    bool good = make_content_key(file, &weights, id->key);
    buffer_free(&weights);
    return good;
}

bool compiled_model_identity(const compiled_model *m, char identity[CACHE_KEY_CHARS])
{
    if (m->ahead.n_sections && model_origin_identity(m->file, identity)) return true;
    const char *weights = m->options.weights;
    buffer types = {0};
    buffer_printf(&types, "compiler=%s weights=%s kv=%s", WELFORD_COMPILER_VERSION, weights ? weights : "",
                  kv_type_name(m->sizes.kv.type));
    bool good = make_content_key(m->file, &types, identity);
    buffer_free(&types);
    return good;
}

// --- program and pack ----------------------------------------------------------------------------------------------

static compile_options compile_options_of(const compiled_model *m)
{
    const wf_model_options *o = &m->options;
    return (compile_options){.cpu = m->cpu,
                             .n_threads = 1,
                             .kv = m->kv,
                             .fuse = o->fuse,
                             .no_fuse = o->no_fuse,
                             .print_ir_after = o->print_ir_after,
                             .weights = o->weights};
}

// `image` may be NULL: compile_fn.
static wf_status call_compiler(compiled_model *m, const compile_options *options, buffer *image, wf_error *err)
{
    void *address;
    TRY(compiler_find("welford_compile", &address, err));
    return ((compile_fn *)(uintptr_t)address)(m->file, options, &m->sizes, image, err);
}

static bool find_id(const compiled_model *m, const compile_options *options, cache_id *id)
{
    return !m->options.no_cache && make_program_id(m->file, options, id);
}

// A program in the cache has been through the compiler's checks; else only these are made.
static wf_status find_program(compiled_model *m, wf_error *err)
{
    cache_id id;
    const compile_options options = compile_options_of(m);
    // Who wants to see the compiler's graphs wants it to run.
    if (options.print_ir_after || !find_id(m, &options, &id) || !program_find(&id, &m->executable))
        return call_compiler(m, &options, NULL, err);
    const program *p = &m->executable.program;
    m->sizes = (model_sizes){p->n_vocab, p->n_ctx_train, p->kv};
    m->program_cached = true;
    return WF_OK;
}

static wf_status compile_program(compiled_model *m, thread_pool *pool, wf_error *err)
{
    cache_id id;
    buffer image = {0};
    compile_options options = compile_options_of(m);
    options.n_threads = thread_pool_size(pool);
    m->compile_started = clock_seconds();
    wf_status status = call_compiler(m, &options, &image, err);
    m->compile_seconds = clock_seconds() - m->compile_started;
    if (status == WF_OK) status = executable_load_made(&image, &m->executable, err);
    if (status == WF_OK && find_id(m, &options, &id)) program_keep(&id, buffer_view(&image));
    buffer_free(&image);
    return status;
}

static bool same_weights(const program *a, const program *b)
{
    buffer x = {0}, y = {0};
    pack_key_append(a, &x);
    pack_key_append(b, &y);
    bool same = !x.failed && !y.failed && view_equal(buffer_view(&x), buffer_view(&y));
    buffer_free(&x);
    buffer_free(&y);
    return same;
}

wf_status compiled_model_make_image(compiled_model *m, const cpu_features *cpu, thread_pool *pool, buffer *image,
                                    wf_error *err)
{
    compile_options options = compile_options_of(m);
    executable made;
    options.cpu = *cpu;
    options.n_threads = thread_pool_size(pool);
    TRY(call_compiler(m, &options, image, err));
    TRY(executable_load_made(image, &made, err));
    if (m->executable.kernels) {
        bool same = same_weights(&made.program, &m->executable.program);
        executable_free(&made);
        return same ? WF_OK
                    : error_set(err, WF_ERROR_COMPILE, "%s: the program for %s wants other weights",
                                checkpoint_path(m->file), cpu->name);
    }
    m->executable = made;
    return WF_OK;
}

typedef struct packing {
    const wf_model_options *options;
    bool built;
} packing;

static void report_packing(void *context, size_t done, size_t all)
{
    packing *p = context;
    p->built = true;
    if (p->options->progress) p->options->progress(p->options->progress_context, "packing", done, all);
}

// From the checkpoint, or from the cache.
static wf_status open_pack(compiled_model *m, thread_pool *pool, wf_error *err)
{
    const checkpoint *file = m->source ? m->source : m->file;
    cache_id id;
    bool cache = !m->options.no_cache && make_pack_id(file, &m->executable.program, &id);
    packing p = {.options = &m->options};
    if (cache) cache_sweep();
    TRY(pack_open(file, &m->executable.program, cache ? &id : NULL, pool, report_packing, &p, &m->pack, err));
    m->pack_cached = m->pack.cached && !p.built;
    return WF_OK;
}

static wf_status load_pack(compiled_model *m, thread_pool *pool, wf_error *err)
{
    const bundle_section *packed = bundle_find(&m->ahead, BUNDLE_PACK);
    m->pack_started = clock_seconds();
    if (packed)
        TRY(pack_lend(packed->bytes, packed->checksum, &m->executable.program, m->ahead.path, pool, &m->pack, err));
    else
        TRY(open_pack(m, pool, err));
    m->pack_cached |= packed != NULL;
    m->pack_seconds = clock_seconds() - m->pack_started;
    return WF_OK;
}

static void print_tables(const program *p, const wf_model_options *options)
{
    buffer text = {0};
    if (options->print_plan) program_print(p, &text);
    if (options->print_report) program_print_fusions(p->fusions, p->n_fusions, &text);
    if (text.len) fwrite(text.data, 1, text.len, stderr);
    buffer_free(&text);
}

wf_status compiled_model_open(const char *path, const wf_model_options *options, compiled_model **out, wf_error *err)
{
    *out = NULL;
    compiled_model *m = calloc(1, sizeof *m);
    if (!m) return error_memory(err, sizeof *m);
    m->options = *options;
    wf_status status = WF_OK;
    if (options->kv && !kv_type_parse(options->kv, &m->kv))
        status = error_set(err, WF_ERROR_USAGE, "a KV cache of type '%s': there are f16, f32 and q8", options->kv);
    if (status != WF_OK) goto failed;
    TRY_GOTO(cpu_detect(&m->cpu, err), failed);
    if (bundle_is(path)) {
        TRY_GOTO(compiled_model_open_bundle(path, m, err), failed);
    } else if (options->weights_from) {
        status = error_set(err, WF_ERROR_USAGE, "%s: --weights-from is for .wf files", path);
        goto failed;
    } else {
        TRY_GOTO(checkpoint_open(path, &m->file, err), failed);
        TRY_GOTO(find_program(m, err), failed);
    }
    *out = m;
    return WF_OK;
failed:
    compiled_model_close(m);
    return status;
}

wf_status compiled_model_load(compiled_model *m, thread_pool *pool, wf_error *err)
{
    if (!m->executable.kernels) TRY(compile_program(m, pool, err));
    print_tables(&m->executable.program, &m->options);
    return load_pack(m, pool, err);
}

size_t compiled_model_file_bytes(const compiled_model *m)
{
    size_t bytes, header_bytes;
    checkpoint_bytes(m->file, &bytes, &header_bytes);
    return m->ahead.map.bytes ? m->ahead.map.bytes : bytes;
}

void compiled_model_close(compiled_model *m)
{
    if (!m) return;
    pack_close(&m->pack);
    executable_free(&m->executable);
    checkpoint_close(m->source);
    checkpoint_close(m->file);
    bundle_close(&m->ahead);
    free(m);
}
