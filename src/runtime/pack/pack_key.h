// What decides a pack's bytes, beside the checkpoint's: the program's weights, and how they are packed.
#ifndef WELFORD_RUNTIME_PACK_PACK_KEY_H
#define WELFORD_RUNTIME_PACK_PACK_KEY_H

#include "base/buffer.h"
#include "runtime/program/program.h"

// Appends it, to be hashed. How weights are packed is told by samples: each layout that the program has, of each type
// that it is made from, packs the same numbers here as ever, so that packs need not be made anew until that gives
// something else. A new type of weights does not touch the packs of others.
void pack_key_append(const program *p, buffer *out);

// Appends a sample of a file's data: pages spread evenly over it, first and last included; a small file whole.
void pack_key_append_sample(view part, buffer *out);

#endif
