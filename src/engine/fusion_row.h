// A row of a program's report, for the public interface.
#ifndef WELFORD_ENGINE_FUSION_ROW_H
#define WELFORD_ENGINE_FUSION_ROW_H

#include "runtime/program/program.h"
#include "welford.h"

static inline bool fusion_of_program(const program *p, size_t index, wf_fusion *fusion)
{
    if (index >= p->n_fusions) return false;
    const program_fusion *f = &p->fusions[index];
    *fusion = (wf_fusion){.name = f->name, .found = f->found, .fused = f->fused, .why_not = f->why};
    return true;
}

#endif
