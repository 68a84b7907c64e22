// What a core can do at best, as kernels: the ceilings that measurements are held against.
//
//     fma    independent chains of f32 multiply-adds in registers
//     bf16   the same with vdpbf16ps, where the CPU has it: its products of bf16; elsewhere f32 multiply-adds
//     int8   the same with the instructions that turn 8-bit products into 32-bit sums here: vpdpbusd, or vpmaddubsw and
//            vpmaddwd in 256 bits
//     read   reads memory, as streams of vectors
#ifndef WELFORD_COMPILER_KERNEL_CEILING_H
#define WELFORD_COMPILER_KERNEL_CEILING_H

#include "compiler/kernel/kernels.h"
#include "runtime/compiler.h"

typedef struct ceiling_kernel {
    ceiling_kind kind;
} ceiling_kernel;

extern const kernel_kind CEILING_KERNEL; // "ceiling_fma"

// Operands: y [1024] bytes that every tile may write; for `read` also x, of which a tile reads CEILING_READ_BYTES.
enum { CEILING_READ_BYTES = 4096 };

// Arithmetic of a tile; 0 for `read`.
double ceiling_tile_flops(ceiling_kind kind, const kernel_target *target);

#endif
