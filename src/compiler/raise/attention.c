#include "compiler/raise/raise.h"

bool raise_attention(matcher *m, MlirOperation op)
{
    (void)m;
    (void)op;
    return false;
}
