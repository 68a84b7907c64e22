// Names of the constants of a graph that lie in its pack: "constant 0123..", 32 hex digits that follow from what they hold.
#ifndef WELFORD_RUNTIME_PROGRAM_CONSTANT_NAME_H
#define WELFORD_RUNTIME_PROGRAM_CONSTANT_NAME_H

#include <stdbool.h>

#include "base/view.h"

enum { CONSTANT_NAME_CHARS = 9 + 32 + 1 };

void constant_name(const char *type, view elements, char name[CONSTANT_NAME_CHARS]);
// Whether a weight's source has such a name, which no argument has: it has a space in it.
bool is_constant_name(const char *name);

#endif
