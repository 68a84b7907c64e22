// The .wf file: what was compiled ahead of time, so that it runs without the compiler. Little endian.
//
//     0      magic "WFFILE01"
//     8      u64 XXH3-64 of bytes 16 to 4095
//     16     u64 bytes of the whole file
//     24     u64 number of sections
//     32     128 bytes for each section, in the order of their offsets:
//                u32 kind, u32 function, u64 offset, u64 bytes, u64 checksum, u64 sets of instructions (base/cpu.h),
//                the name of a CPU type, zero-terminated; 64 bytes behind its beginning u32 pack, then zeros
//     ...    zeros to 4096, then the sections, each from a multiple of 4096 on, with zeros between them
//
// A section is one of
//
//     metadata   of a checkpoint: the header of a GGUF file, its tensors' table included. checksum: XXH3-64 of it
//     pack       packed weights (runtime/pack/pack.h): of a checkpoint one, which all programs share; of functions one for
//                each table of weights, before the programs that share it, whose `pack` counts it, from 1 (0: they have
//                none). checksum: pack_checksum
//     program    for one CPU type (runtime/program/executable.h), with a checksum of its own; checksum: 0
//     functions  where there are several: their names, each zero-terminated. A program is of the one that `function`
//                counts, from 0. checksum: XXH3-64 of them
//
// What a program computes nobody can check: a .wf file is to be trusted as any program is.
#ifndef WELFORD_FORMAT_BUNDLE_H
#define WELFORD_FORMAT_BUNDLE_H

#include "base/draft.h"
#include "base/file.h"
#include "format/checkpoint.h"

typedef enum bundle_kind {
    BUNDLE_METADATA = 1,
    BUNDLE_PACK,
    BUNDLE_PROGRAM,
    BUNDLE_FUNCTIONS,
    BUNDLE_KIND_COUNT
} bundle_kind;

enum { BUNDLE_MAX_SECTIONS = 31, BUNDLE_ALIGNMENT = 4096, BUNDLE_CPU_CHARS = 64 };

typedef struct bundle_section {
    bundle_kind kind;
    view bytes; // in the map
    uint64_t checksum;
    uint64_t cpu_sets; // of a program
    uint32_t function; // of a program: which it is of
    uint32_t pack;     // of a function's program: 1 + which of the packs it reads; 0: none
    const char *cpu;   // of a program: the name of its CPU type; else ""
} bundle_section;

typedef struct bundle {
    const char *path; // the caller's
    file_map map;     // or empty: bundle_parse
    uint32_t n_sections;
    bundle_section sections[BUNDLE_MAX_SECTIONS];
} bundle;

// Whether a file begins as a .wf file; false too when it cannot be read.
bool bundle_is(const char *path);

// Maps a file and checks its table, and the checksum of its metadata. `path` must outlive it.
wf_status bundle_open(const char *path, bundle *b, wf_error *err);
// The same on bytes in memory, which must outlive it.
wf_status bundle_parse(view bytes, const char *name, bundle *b, wf_error *err);
void bundle_close(bundle *b);

// The first section of a kind; NULL: there is none.
const bundle_section *bundle_find(const bundle *b, bundle_kind kind);
// The pack that a function's program reads; NULL: none.
const bundle_section *bundle_find_pack(const bundle *b, const bundle_section *program);

// The name of the i-th function; NULL: there are not so many, or there is but one, which its program names.
const char *bundle_function(const bundle *b, uint32_t i);

// The metadata as a checkpoint, whose tensors have no data. It must be closed before the bundle; with `take` it takes
// over the map, and the bundle is empty. WF_ERROR_UNSUPPORTED: the file holds functions on arrays.
wf_status bundle_checkpoint(bundle *b, bool take, checkpoint **file, wf_error *err);

// Writing: a draft of the file, which appears at its path when it is finished.
typedef struct bundle_writer {
    const char *name;    // the caller's, for messages
    char path[PATH_MAX]; // where a symlink leads
    draft file;
    uint64_t end; // of what was written
    uint32_t n_sections;
    unsigned char header[BUNDLE_ALIGNMENT];
} bundle_writer;

// `path` must outlive it.
wf_status bundle_create(const char *path, bundle_writer *w, wf_error *err);
// Of the section only kind, bytes, checksum (metadata, functions: found here), function, pack, cpu and
// cpu_sets count.
wf_status bundle_add(bundle_writer *w, const bundle_section *section, wf_error *err);
wf_status bundle_finish(bundle_writer *w, wf_error *err); // gives it its name
void bundle_abandon(bundle_writer *w);                    // what is not finished is gone; fine after bundle_finish

#endif
