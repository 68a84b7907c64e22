#include "compiler/raise/raise.h"

bool raise_softmax(matcher *m, MlirOperation op)
{
    (void)m;
    (void)op;
    return false;
}
