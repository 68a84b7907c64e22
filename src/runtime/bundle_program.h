// The programs in a .wf file (format/bundle.h).
#ifndef WELFORD_RUNTIME_BUNDLE_PROGRAM_H
#define WELFORD_RUNTIME_BUNDLE_PROGRAM_H

#include "base/cpu.h"
#include "format/bundle.h"
#include "runtime/program/executable.h"

// The program of a function (bundle_function; 0 of a model) that uses most of what this CPU has. WF_ERROR_UNSUPPORTED names, for each program in the file, what the
// CPU lacks. The bundle must outlive the program.
wf_status bundle_program(const bundle *b, uint32_t function, const cpu_features *cpu, executable *exe, wf_error *err);

// The pack of that program; NULL: it has none.
const bundle_section *bundle_program_pack(const bundle *b, uint32_t function, const cpu_features *cpu);

// Which function a name is of; NULL: the only one, else "main" or "forward". WF_ERROR_USAGE: there is none of that name,
// or several; of the only one its program knows the name, and it is not looked at here.
wf_status bundle_choose_function(const bundle *b, const char *name, uint32_t *function, wf_error *err);

#endif
