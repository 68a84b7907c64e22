#include "compiler/kernel/kernels.h"

#include <inttypes.h>
#include <string.h>

static void write_field(const kernel_field *f, const unsigned char *params, buffer *name)
{
    int64_t number;
    uint64_t bits;
    int choice;
    bool flag;
    const unsigned char *at = params + f->offset;
    const char *text;
    switch (f->form) {
    case FIELD_INT:
        memcpy(&number, at, sizeof number);
        if (number) buffer_printf(name, "%s%" PRId64, f->label, number);
        return;
    case FIELD_BOOL:
        memcpy(&flag, at, sizeof flag);
        if (flag) buffer_printf(name, "%s", f->label);
        return;
    case FIELD_TEXT:
        memcpy(&choice, at, sizeof choice);
        text = f->text(choice);
        if (text && *text) buffer_printf(name, "%s%s", f->label, text);
        return;
    case FIELD_F64:
        memcpy(&bits, at, sizeof bits);
        if (bits) buffer_printf(name, "%s%016" PRIx64, f->label, bits);
    }
}

void kernel_write_name(const kernel_kind *kind, const void *params, buffer *name)
{
    buffer_printf(name, "%s", kind->name);
    for (size_t i = 0; i < kind->n_fields; i++) write_field(&kind->fields[i], params, name);
}
