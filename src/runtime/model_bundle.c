#include "runtime/model_bundle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format/checkpoint_open.h"
#include "runtime/bundle_program.h"
#include "runtime/cache/cache.h"

static const char SOURCE[] = "welford.source", HEADER[] = "welford.header", IDENTITY[] = "welford.identity";

static void header_key(const checkpoint *file, char key[CACHE_KEY_CHARS])
{
    size_t bytes, header_bytes;
    const unsigned char *data = checkpoint_bytes(file, &bytes, &header_bytes);
    cache_key(&(view){(const char *)data, header_bytes}, 1, key);
}

// "b" of "/a/b/".
static view last_name(const char *path)
{
    view name = view_of(path);
    while (name.len > 1 && name.data[name.len - 1] == '/') name.len--;
    const char *slash = memrchr(name.data, '/', name.len);
    if (!slash || name.len == 1) return name;
    return (view){slash + 1, (size_t)(name.data + name.len - slash) - 1};
}

bool model_origin_find(const compiled_model *m, model_origin *origin)
{
    header_key(m->file, origin->header);
    if (!compiled_model_identity(m, origin->identity)) return false;
    const metadata_value string = {.type = METADATA_STRING, .count = 1};
    const char *const keys[MODEL_ORIGIN_VALUES] = {SOURCE, HEADER, IDENTITY};
    const view texts[MODEL_ORIGIN_VALUES] = {last_name(checkpoint_path(m->file)), view_of(origin->header),
                                             view_of(origin->identity)};
    for (int i = 0; i < MODEL_ORIGIN_VALUES; i++) {
        origin->values[i] = string;
        origin->values[i].key = view_of(keys[i]);
        origin->values[i].s = texts[i];
    }
    return true;
}

bool model_origin_identity(const checkpoint *file, char identity[CACHE_KEY_CHARS])
{
    view text = {0};
    if (checkpoint_get_string_or(file, IDENTITY, &text, NULL) != WF_OK || text.len != CACHE_KEY_CHARS - 1) return false;
    memcpy(identity, text.data, text.len);
    identity[text.len] = 0;
    return true;
}

// ---- opening

// What would have to be compiled anew.
static wf_status check_options(const char *path, const wf_model_options *o, const program *p, wf_error *err)
{
    char kv[16];
    snprintf(kv, sizeof kv, "--kv %s", o->kv ? o->kv : "");
    const char *option = o->fuse                                            ? "--fuse"
                         : o->no_fuse                                       ? "--no-fuse"
                         : o->print_ir_after                                ? "--print-ir-after"
                         : o->weights                                       ? "--weights"
                         : o->kv && strcmp(o->kv, kv_type_name(p->kv.type)) ? kv
                                                                            : NULL;
    if (!option) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "%s: %s is for `welford compile`: the file is compiled already", path,
                     option);
}

// The checkpoint that is named, or lies beside the .wf file under the name it had.
static wf_status find_source(const compiled_model *m, const char *path, char source[PATH_MAX], wf_error *err)
{
    view name = {0};
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    TRY(checkpoint_get_string(m->file, SOURCE, &name, err));
    const char *given = m->options.weights_from;
    int n = given ? snprintf(source, PATH_MAX, "%s", given)
                  : snprintf(source, PATH_MAX, "%.*s%.*s", folder, path, VIEW_ARG(name));
    if (n >= PATH_MAX) return error_set(err, WF_ERROR_IO, "%s: the checkpoint's path is too long", path);
    if (given || !access(source, F_OK)) return WF_OK;
    return error_set(err, WF_ERROR_IO,
                     "%s: it was compiled without weights, and %.*s does not lie beside it: --weights-from names it",
                     path, NAME_ARG(name));
}

static wf_status open_source(compiled_model *m, const char *path, wf_error *err)
{
    char source[PATH_MAX], key[CACHE_KEY_CHARS];
    view wanted = {0};
    TRY(find_source(m, path, source, err));
    TRY(checkpoint_get_string(m->file, HEADER, &wanted, err));
    TRY(checkpoint_open(source, &m->source, err));
    header_key(m->source, key);
    if (view_is(wanted, key)) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "%s: not the checkpoint that %s was compiled from", source, path);
}

wf_status compiled_model_open_bundle(const char *path, compiled_model *m, wf_error *err)
{
    TRY(bundle_open(path, &m->ahead, err));
    TRY(bundle_checkpoint(&m->ahead, false, &m->file, err));
    m->ahead.path = checkpoint_path(m->file);
    TRY(bundle_program(&m->ahead, 0, &m->cpu, &m->executable, err));
    const program *p = &m->executable.program;
    if (!program_is_sequence(p))
        return error_set(err, WF_ERROR_FORMAT, "%s: its program is no model's, but its metadata is", path);
    TRY(check_options(path, &m->options, p, err));
    m->sizes = (model_sizes){p->n_vocab, p->n_ctx_train, p->kv};
    m->program_cached = true;
    if (!bundle_find(&m->ahead, BUNDLE_PACK)) return open_source(m, path, err);
    return !m->options.weights_from
               ? WF_OK
               : error_set(err, WF_ERROR_USAGE, "%s: --weights-from: the file has its weights", path);
}
