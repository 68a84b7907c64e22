#include "runtime/bundle_program.h"

static const bundle_section *choose(const bundle *b, uint64_t has)
{
    const bundle_section *best = NULL;
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        if (s->kind != BUNDLE_PROGRAM || s->cpu_sets & ~has) continue;
        if (!best || __builtin_popcountll(s->cpu_sets) > __builtin_popcountll(best->cpu_sets)) best = s;
    }
    return best;
}

static wf_status refuse_cpu(const bundle *b, uint64_t has, wf_error *err)
{
    buffer text = {0};
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        if (s->kind != BUNDLE_PROGRAM) continue;
        buffer_printf(&text, "%scompiled for %s, but this CPU lacks ", text.len ? "; " : "", s->cpu);
        cpu_print_sets(s->cpu_sets & ~has, &text);
    }
    error_set(err, WF_ERROR_UNSUPPORTED, "%s: %s", b->path, buffer_view(&text).data);
    buffer_free(&text);
    return WF_ERROR_UNSUPPORTED;
}

wf_status bundle_program(const bundle *b, const cpu_features *cpu, executable *exe, wf_error *err)
{
    const bundle_section *section = choose(b, cpu->sets);
    *exe = (executable){0};
    if (!section) return refuse_cpu(b, cpu->sets, err);
    return executable_lend(section->bytes, b->path, exe, err);
}
