// The public functions of the Jinja interpreter, its errors and its limits.
#include "text/jinja/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "text/jinja/jinja_internal.h"

wf_status jinja_try(jinja_run *r, void (*work)(jinja_run *r, void *data), void *data)
{
    r->status = WF_OK;
    if (!setjmp(r->entry)) work(r, data);
    return r->status;
}

void jinja_fail(jinja_run *r, wf_status status, const char *format, ...)
{
    char reason[sizeof r->err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    r->status = error_set(r->err, status, "%s: line %d: %s", r->name, r->line, reason);
    longjmp(r->entry, 1);
}

void *jinja_alloc(jinja_run *r, size_t count, size_t size)
{
    size_t bytes;
    if (!checked_mul(count, size, &bytes) || bytes > JINJA_MAX_MEMORY - r->memory_used)
        jinja_fail(r, WF_ERROR_LIMIT, "the template takes more than %d MB", JINJA_MAX_MEMORY >> 20);
    void *p = arena_alloc(&r->memory, count, size);
    if (!p) jinja_fail(r, WF_ERROR_MEMORY, "out of memory (%zu bytes requested)", bytes);
    size_t block = (bytes + 15) & ~(size_t)15; // as the arena aligns it
    r->memory_used += block < JINJA_MAX_MEMORY - r->memory_used ? block : JINJA_MAX_MEMORY - r->memory_used;
    return p;
}

void jinja_step(jinja_run *r, size_t cost)
{
    if (cost >= JINJA_MAX_STEPS || (r->steps += (int64_t)cost) > JINJA_MAX_STEPS)
        jinja_fail(r, WF_ERROR_LIMIT, "the template runs too long (more than %d steps)", JINJA_MAX_STEPS);
}

void jinja_enter(jinja_run *r)
{
    if (++r->depth > JINJA_MAX_DEPTH)
        jinja_fail(r, WF_ERROR_LIMIT, "expressions, calls or values lie more than %d deep", JINJA_MAX_DEPTH);
}

typedef struct compile_work {
    view source;
    const jinja_node *root;
} compile_work;

static void compile(jinja_run *r, void *data)
{
    compile_work *work = data;
    work->root = jinja_parse(r, work->source);
}

wf_status jinja_compile(view source, const char *name, jinja_template **t, wf_error *err)
{
    *t = NULL;
    jinja_run r = {.name = name, .err = err, .line = 1};
    compile_work work = {.source = source};
    wf_status status = jinja_try(&r, compile, &work);
    if (status != WF_OK) {
        arena_free(&r.memory);
        return status;
    }
    jinja_template *made = calloc(1, sizeof *made);
    char *copy = made ? arena_strdup(&r.memory, view_of(name)) : NULL;
    if (!copy) {
        free(made);
        arena_free(&r.memory);
        return error_memory(err, sizeof *made + strlen(name) + 1);
    }
    *made = (jinja_template){.memory = r.memory, .name = copy, .root = work.root};
    *t = made;
    return WF_OK;
}

void jinja_free(jinja_template *t)
{
    if (!t) return;
    arena_free(&t->memory);
    free(t);
}

typedef struct render_work {
    const jinja_node *root;
    jinja_text text;
} render_work;

static void render(jinja_run *r, void *data)
{
    render_work *work = data;
    r->out = &work->text;
    jinja_execute(r, work->root);
}

// Both buffers or none: a failure to grow the second takes back the first.
static wf_status hand_over(const jinja_text *text, buffer *out, buffer *origin, wf_error *err)
{
    static const unsigned char zeros[4096];
    if (!buffer_reserve(out, text->len) || (origin && !buffer_reserve(origin, text->len)))
        return error_memory(err, text->len);
    buffer_append(out, text->data, text->len);
    if (!origin) return WF_OK;
    if (text->origin) {
        buffer_append(origin, text->origin, text->len);
    } else {
        for (size_t left = text->len; left;) {
            size_t n = left < sizeof zeros ? left : sizeof zeros;
            buffer_append(origin, zeros, n);
            left -= n;
        }
    }
    return WF_OK;
}

wf_status jinja_render_origin(const jinja_template *t, const json_t *context, const char *const *foreign, buffer *out,
                              buffer *origin, wf_error *err)
{
    jinja_run r = {.name = t->name, .err = err, .line = 1, .context = context, .foreign = foreign};
    render_work work = {.root = t->root};
    wf_status status = jinja_try(&r, render, &work);
    if (status == WF_OK) status = hand_over(&work.text, out, origin, err);
    arena_free(&r.memory);
    return status;
}

wf_status jinja_render(const jinja_template *t, const json_t *context, buffer *out, wf_error *err)
{
    return jinja_render_origin(t, context, NULL, out, NULL, err);
}
