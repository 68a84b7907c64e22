#include "runtime/bundle_program.h"

#include <string.h>

static const bundle_section *choose(const bundle *b, uint32_t function, uint64_t has)
{
    const bundle_section *best = NULL;
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        if (s->kind != BUNDLE_PROGRAM || s->function != function || s->cpu_sets & ~has) continue;
        if (!best || __builtin_popcountll(s->cpu_sets) > __builtin_popcountll(best->cpu_sets)) best = s;
    }
    return best;
}

static wf_status refuse_cpu(const bundle *b, uint32_t function, uint64_t has, wf_error *err)
{
    buffer text = {0};
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        if (s->kind != BUNDLE_PROGRAM || s->function != function) continue;
        buffer_printf(&text, "%scompiled for %s, but this CPU lacks ", text.len ? "; " : "", s->cpu);
        cpu_print_sets(s->cpu_sets & ~has, &text);
    }
    error_set(err, WF_ERROR_UNSUPPORTED, "%s: %s", b->path, buffer_view(&text).data);
    buffer_free(&text);
    return WF_ERROR_UNSUPPORTED;
}

wf_status bundle_program(const bundle *b, uint32_t function, const cpu_features *cpu, executable *exe, wf_error *err)
{
    const bundle_section *section = choose(b, function, cpu->sets);
    *exe = (executable){0};
    if (!section) return refuse_cpu(b, function, cpu->sets, err);
    return executable_lend(section->bytes, b->path, exe, err);
}

const bundle_section *bundle_program_pack(const bundle *b, uint32_t function, const cpu_features *cpu)
{
    const bundle_section *section = choose(b, function, cpu->sets);
    return section ? bundle_find_pack(b, section) : NULL;
}

wf_status bundle_choose_function(const bundle *b, const char *name, uint32_t *function, wf_error *err)
{
    static const char *const USUAL[] = {"main", "forward"};
    buffer all = {0};
    uint32_t n = 0, usual = UINT32_MAX;
    *function = 0;
    if (!bundle_function(b, 0)) return WF_OK;
    for (const char *own; (own = bundle_function(b, n)); n++) {
        if (name && !strcmp(own, name)) *function = n;
        if (name && !strcmp(own, name)) break;
        buffer_printf(&all, "%s%s", n ? ", " : "", own);
        for (int i = 0; i < 2 && !name; i++)
            if (!strcmp(own, USUAL[i]) && (usual == UINT32_MAX || !i)) usual = n;
    }
    wf_status status = WF_OK;
    if (name && !bundle_function(b, n))
        status = error_set(err, WF_ERROR_USAGE, "%s: there is no function '%s', but %s", b->path, name, all.data);
    else if (!name && usual == UINT32_MAX && n > 1)
        status = error_set(err, WF_ERROR_USAGE, "%s: there are %u functions: choose one by --entry: %s", b->path, n,
                           all.data);
    else if (!name && usual != UINT32_MAX)
        *function = usual;
    buffer_free(&all);
    return status;
}
