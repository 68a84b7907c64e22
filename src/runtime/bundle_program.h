// The programs in a .wf file (format/bundle.h).
#ifndef WELFORD_RUNTIME_BUNDLE_PROGRAM_H
#define WELFORD_RUNTIME_BUNDLE_PROGRAM_H

#include "base/cpu.h"
#include "format/bundle.h"
#include "runtime/program/executable.h"

// The program that uses most of what this CPU has. WF_ERROR_UNSUPPORTED names, for each program in the file, what the
// CPU lacks. The bundle must outlive the program.
wf_status bundle_program(const bundle *b, const cpu_features *cpu, executable *exe, wf_error *err);

#endif
