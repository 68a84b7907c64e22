#include "compiler/raise/raise.h"

bool raise_swiglu(matcher *m, MlirOperation op)
{
    (void)m;
    (void)op;
    return false;
}
