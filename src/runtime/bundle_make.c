#include "runtime/bundle_make.h"

#include <string.h>

#include "format/bundle.h"
#include "format/gguf_write.h"
#include "runtime/model_bundle.h"

static wf_status add_program(bundle_writer *w, uint32_t index, uint32_t n_pack, const cpu_features *cpu,
                             const buffer *image, wf_error *err)
{
    const bundle_section section = {.kind = BUNDLE_PROGRAM,
                                    .bytes = buffer_view(image),
                                    .function = index,
                                    .pack = n_pack,
                                    .cpu = cpu->name,
                                    .cpu_sets = cpu->sets};
    return image->failed ? error_memory(err, image->len) : bundle_add(w, &section, err);
}

static wf_status add_pack(bundle_writer *w, const program *p, const pack *k, thread_pool *pool, wf_error *err)
{
    bundle_section section = {.kind = BUNDLE_PACK,
                              .bytes = {(const char *)k->data, program_fixed_bytes(p, AREA_WEIGHTS)}};
    if (!pack_checksum(p, pool, k->data, &section.checksum)) return error_memory(err, 0);
    return bundle_add(w, &section, err);
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
        if (status == WF_OK) status = add_program(w, 0, 0, &o->cpus[i], &image, err);
        buffer_free(&image);
        TRY(status);
    }
    return WF_OK;
}

static wf_status add_models_pack(bundle_writer *w, compiled_model *m, thread_pool *pool, wf_error *err)
{
    TRY(compiled_model_load(m, pool, err));
    return add_pack(w, &m->executable.program, &m->pack, pool, err);
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
    if (!o->no_weights) TRY_GOTO(add_models_pack(&w, m, pool, err), done);
    status = bundle_finish(&w, err);
done:
    compiled_model_close(m);
    bundle_abandon(&w);
    return status;
}

// ---- functions

// What is made of one file's functions.
typedef struct making {
    bundle_writer w;
    const function_source *source;
    thread_pool *pool;
    buffer *notes;
    const pack *packs[BUNDLE_MAX_SECTIONS]; // that are in the file
    uint32_t n_packs;
} making;

// The number of the program's pack in the file, which it joins where it is new; 0: the program has none.
static wf_status number_pack(making *m, const program *p, const checkpoint *list, uint32_t *number, wf_error *err)
{
    const pack *k;
    *number = 0;
    if (!p->n_weights) return WF_OK;
    TRY(function_weights_pack(m->source->weights, p, list, m->pool, &k, err));
    uint32_t i = 0;
    while (i < m->n_packs && m->packs[i] != k) i++;
    *number = i + 1;
    if (i < m->n_packs) return WF_OK;
    TRY(add_pack(&m->w, p, k, m->pool, err)); // refuses more than there is room for
    m->packs[m->n_packs++] = k;
    return WF_OK;
}

static wf_status add_function(making *m, uint32_t index, const char *entry, const cpu_features *cpu, wf_error *err)
{
    function_source s = *m->source;
    buffer image = {0};
    executable exe = {0};
    checkpoint *list;
    uint32_t n_pack;
    s.options.cpu = *cpu;
    if (entry) s.options.entry = entry;
    wf_status status = function_compile(&s, m->notes, &image, &list, err);
    if (status == WF_OK) status = executable_load_made(&image, &exe, err);
    if (status == WF_OK) status = number_pack(m, &exe.program, list, &n_pack, err);
    if (status == WF_OK) status = add_program(&m->w, index, n_pack, cpu, &image, err);
    checkpoint_close(list);
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
                               const bundle_options *o, thread_pool *pool, buffer *notes, wf_error *err)
{
    making m = {.source = source, .pool = pool, .notes = notes};
    wf_status status;
    TRY(bundle_create(o->output, &m.w, err));
    if (n_entries > 1) TRY_GOTO(add_names(&m.w, entries, n_entries, err), done);
    for (uint32_t e = 0; e < n_entries || e == 0; e++)
        for (size_t i = 0; i < o->n_cpus; i++)
            TRY_GOTO(add_function(&m, e, n_entries ? entries[e] : NULL, &o->cpus[i], err), done);
    status = bundle_finish(&m.w, err);
done:
    bundle_abandon(&m.w);
    return status;
}
