// An executable: a program and the machine code of its kernels, in one image that can be cached and loaded without
// the compiler.
//
//   offset 0   magic (versions.h)
//   8          u64  bytes of the whole image
//   16         u64  XXH3-64 of everything after this field
//   24         u64  bytes of the program, which is then padded to 16
//   32         u64  number of objects
//   40         u64  bytes of the constants
//   48         program (program_write)
//   ...        each object: u64 bytes, u64 zero, then the object, which is padded to 16
//   ...        constants, from a multiple of 64 on, to the end
//
// An object is a relocatable ELF file for x86-64 with kernels as global functions; it refers to no outside symbol.
// There are several so that several threads can compile.
#ifndef WELFORD_RUNTIME_PROGRAM_EXECUTABLE_H
#define WELFORD_RUNTIME_PROGRAM_EXECUTABLE_H

#include "base/file.h"
#include "base/view.h"
#include "runtime/program/kernel.h"
#include "runtime/program/program.h"

typedef struct executable {
    program program;
    kernel_fn *kernels; // [program.n_kernels]
    void *code;         // mapped read and execute only
    size_t code_bytes;
    const unsigned char *constants; // [bytes of AREA_CONSTANTS], aligned to 64; NULL: none
    void *copy;                     // where they are a copy
    file_map map;                   // where they are a part of the file
} executable;

// Appends an image.
void executable_write(const program *p, const view *objects, size_t n_objects, view constants, buffer *out);

// Checks and loads an image (which may be freed afterwards). Damaged images are WF_ERROR_FORMAT, never a crash.
wf_status executable_load(const void *image, size_t bytes, const char *name, executable *exe, wf_error *err);
// The same of an image that outlives the program: constants are not copied where they lie at a multiple of 64.
wf_status executable_lend(view image, const char *name, executable *exe, wf_error *err);
// The same of a file, which stays mapped where the program has constants: they are not copied.
wf_status executable_open(const char *path, executable *exe, wf_error *err);
// The same of an image in a file that is mapped; the program takes the map over (on failure it is closed).
wf_status executable_open_mapped(file_map *map, view image, const char *name, executable *exe, wf_error *err);
void executable_free(executable *exe);

// The object loader alone: maps all objects together and finds `n` global functions in them by name.
wf_status objects_load(const view *objects, size_t n_objects, const char *name, const char *const *symbols, size_t n,
                       kernel_fn *functions, void **code, size_t *code_bytes, wf_error *err);
void objects_unload(void *code, size_t code_bytes);

#endif
