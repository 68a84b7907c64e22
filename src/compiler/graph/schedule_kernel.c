#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/graph/schedule_parts.h"

bool schedule_has_kernel(MlirOperation op)
{
    return norm_has_kernel(op) || linear_has_kernel(op) || attention_has_kernel(op);
}

wf_status schedule_to_root(schedule *s, MlirValue v, tensor *x)
{
    TRY(schedule_read_tensor(s, v, x));
    TRY(schedule_to_memory(s, x));
    if (!x->offset) return WF_OK;
    tensor moved;
    TRY(schedule_new_tensor(s, mlirValueGetType(v), &moved));
    TRY(schedule_copy(s, x, &moved));
    *x = moved;
    return WF_OK;
}

call *schedule_kernel_call(schedule *s, const char *name, int n, const int roots[], const bool written[])
{
    int index = (int)s->n_calls;
    call *c = schedule_add_call(s);
    if (!c) return NULL;
    for (int i = 0; i < n; i++) {
        c->roots[i] = roots[i];
        c->written[i] = written[i];
        root_use(&s->roots[roots[i]], index, written[i]);
    }
    c->n_buffers = n;
    c->chain = index;
    c->kernel = arena_strdup(&s->out->memory, view_of(name));
    c->label = schedule_make_label(s);
    return c->kernel && c->label ? c : NULL;
}

bool schedule_knows_kernel(const schedule *s)
{
    const char *name = s->calls[s->n_calls - 1].kernel;
    for (size_t i = 0; i + 1 < s->n_calls; i++)
        if (s->calls[i].kernel && !strcmp(s->calls[i].kernel, name)) return true;
    return false;
}

wf_status schedule_new_constant(schedule *s, size_t bytes, int *index, unsigned char **data)
{
    while (s->blob->len % 64) buffer_append_char(s->blob, 0);
    size_t offset = s->blob->len;
    if (!buffer_reserve(s->blob, bytes)) return error_memory(s->err, bytes);
    memset(s->blob->data + offset, 0, bytes + 1);
    s->blob->len += bytes;
    *data = (unsigned char *)s->blob->data + offset;
    return schedule_add_root(s, FUNCTION_CONSTANTS, offset, bytes, index);
}
