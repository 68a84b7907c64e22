#include "runtime/bundle_make.h"

#include <string.h>

#include "format/bundle.h"
#include "format/gguf_write.h"
#include "runtime/model_bundle.h"

static wf_status add_program(bundle_writer *w, uint32_t index, const cpu_features *cpu, const buffer *image,
                             wf_error *err)
{
    const bundle_section section = {.kind = BUNDLE_PROGRAM,
                                    .bytes = buffer_view(image),
                                    .function = index,
                                    .cpu = cpu->name,
                                    .cpu_sets = cpu->sets};
    return image->failed ? error_memory(err, image->len) : bundle_add(w, &section, err);
}

// ---- models

static wf_status add_metadata(bundle_writer *w, const compiled_model *m, wf_error *err)
{
    buffer header = {0};
    model_origin origin;
    if (!model_origin_find(m, &origin)) return error_memory(err, 0);
    gguf_write_header(m->file, origin.values, MODEL_ORIGIN_VALUES, &header);
    const bundle_section section = {.kind = BUNDLE_METADATA, .bytes = buffer_view(&header)};
    wf_status status = header.failed ? error_memory(err, header.len) : bundle_add(w, &section, err);
    buffer_free(&header);
    return status;
}

static wf_status add_programs(bundle_writer *w, compiled_model *m, const bundle_options *o, thread_pool *pool,
                              wf_error *err)
{
    for (size_t i = 0; i < o->n_cpus; i++) {
        buffer image = {0};
        wf_status status = compiled_model_make_image(m, &o->cpus[i], pool, &image, err);
        if (status == WF_OK) status = add_program(w, 0, &o->cpus[i], &image, err);
        buffer_free(&image);
        TRY(status);
    }
    return WF_OK;
}

static wf_status add_pack(bundle_writer *w, compiled_model *m, thread_pool *pool, wf_error *err)
{
    const program *p = &m->executable.program;
    TRY(compiled_model_load(m, pool, err));
    bundle_section section = {.kind = BUNDLE_PACK,
                              .bytes = {(const char *)m->pack.data, program_fixed_bytes(p, AREA_WEIGHTS)}};
    if (!pack_checksum(p, pool, m->pack.data, &section.checksum)) return error_memory(err, 0);
    return bundle_add(w, &section, err);
}

wf_status bundle_make_model(const char *path, const wf_model_options *how, const bundle_options *o, thread_pool *pool,
                            wf_error *err)
{
    compiled_model *m = NULL;
    bundle_writer w;
    if (bundle_is(path)) return error_set(err, WF_ERROR_USAGE, "%s is compiled already", path);
    TRY(bundle_create(o->output, &w, err));
    wf_status status;
    TRY_GOTO(compiled_model_open(path, how, &m, err), done);
    TRY_GOTO(add_metadata(&w, m, err), done);
    TRY_GOTO(add_programs(&w, m, o, pool, err), done);
    if (!o->no_weights) TRY_GOTO(add_pack(&w, m, pool, err), done);
    status = bundle_finish(&w, err);
done:
    compiled_model_close(m);
    bundle_abandon(&w);
    return status;
}

// ---- functions

static wf_status add_function(bundle_writer *w, uint32_t index, const function_source *source, const cpu_features *cpu,
                              buffer *notes, wf_error *err)
{
    function_source s = *source;
    buffer image = {0};
    executable exe = {0};
    s.options.cpu = *cpu;
    wf_status status = function_compile(&s, notes, &image, err);
    if (status == WF_OK) status = executable_load_made(&image, &exe, err);
    if (status == WF_OK) status = add_program(w, index, cpu, &image, err);
    executable_free(&exe);
    buffer_free(&image);
    return status;
}

static wf_status add_names(bundle_writer *w, const char *const *entries, uint32_t n, wf_error *err)
{
    buffer names = {0};
    for (uint32_t i = 0; i < n; i++) buffer_append(&names, entries[i], strlen(entries[i]) + 1);
    const bundle_section section = {.kind = BUNDLE_FUNCTIONS, .bytes = buffer_view(&names)};
    wf_status status = names.failed ? error_memory(err, names.len) : bundle_add(w, &section, err);
    buffer_free(&names);
    return status;
}

wf_status bundle_make_function(const function_source *source, const char *const *entries, uint32_t n_entries,
                               const bundle_options *o, buffer *notes, wf_error *err)
{
    bundle_writer w;
    wf_status status;
    function_source s = *source;
    TRY(bundle_create(o->output, &w, err));
    if (n_entries > 1) TRY_GOTO(add_names(&w, entries, n_entries, err), done);
    for (uint32_t e = 0; e < n_entries || e == 0; e++) {
        if (n_entries) s.options.entry = entries[e];
        for (size_t i = 0; i < o->n_cpus; i++) TRY_GOTO(add_function(&w, e, &s, &o->cpus[i], notes, err), done);
    }
    status = bundle_finish(&w, err);
done:
    bundle_abandon(&w);
    return status;
}
