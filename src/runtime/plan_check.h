// plan_check for plan_read, which has a name to put into its messages.
#ifndef WELFORD_RUNTIME_PLAN_CHECK_H
#define WELFORD_RUNTIME_PLAN_CHECK_H

#include "runtime/plan.h"

wf_status plan_check_named(const plan *p, const char *name, wf_error *err);

#endif
