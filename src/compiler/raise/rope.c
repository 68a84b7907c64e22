#include "compiler/raise/raise.h"

bool raise_rope(matcher *m, MlirOperation op)
{
    (void)m;
    (void)op;
    return false;
}
