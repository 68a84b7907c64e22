#include "runtime/program/constant_name.h"

#include <stdio.h>

#include "runtime/cache/cache.h"

static const char PREFIX[] = "constant ";

void constant_name(const char *type, view elements, char name[CONSTANT_NAME_CHARS])
{
    char key[CACHE_KEY_CHARS];
    const view parts[] = {view_of(type), elements};
    cache_key(parts, 2, key);
    snprintf(name, CONSTANT_NAME_CHARS, "%s%s", PREFIX, key);
}

bool is_constant_name(const char *name) { return view_starts_with(view_of(name), view_of(PREFIX)); }
