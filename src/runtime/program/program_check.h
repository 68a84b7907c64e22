// program_check for program_read, which has a name to put into its messages.
#ifndef WELFORD_RUNTIME_PROGRAM_PROGRAM_CHECK_H
#define WELFORD_RUNTIME_PROGRAM_PROGRAM_CHECK_H

#include "runtime/program/program.h"

wf_status program_check_named(const program *p, const char *name, wf_error *err);

#endif
