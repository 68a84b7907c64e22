#include "compiler/raise/raise.h"

bool raise_linear(matcher *m, MlirOperation op)
{
    (void)m;
    (void)op;
    return false;
}
