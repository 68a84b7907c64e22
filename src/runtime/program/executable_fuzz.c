// Any bytes as a program image, as such and with the size and the checksum put right, so that what they guard is
// reached: refused with one line, or loaded with all that its program speaks of. Nothing runs.
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/program/executable.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

enum { MAGIC = 8, SIZE_AT = 8, SUM_AT = 16, SUMMED_FROM = 24 }; // program.h

static void check(bool holds)
{
    if (!holds) abort();
}

// Of this version of the format.
static void write_magic(unsigned char *image)
{
    static buffer sample;
    if (!sample.data) executable_write(&(program){.name = "fuzz"}, NULL, 0, (view){0}, &sample);
    check(!sample.failed && sample.len >= MAGIC);
    memcpy(image, sample.data, MAGIC);
}

static void load(const unsigned char *image, size_t bytes)
{
    executable exe;
    wf_error err = {0};
    if (executable_load(image, bytes, "fuzz", &exe, &err) != WF_OK) {
        check(!strncmp(err.message, "fuzz: ", 6) && !strchr(err.message, '\n'));
        check(!exe.kernels && !exe.code && !exe.copy);
        return;
    }
    for (uint32_t i = 0; i < exe.program.n_kernels; i++) check(exe.kernels[i] != NULL);
    check(exe.constants || !program_fixed_bytes(&exe.program, AREA_CONSTANTS));
    check((uintptr_t)exe.constants % 64 == 0);
    unsigned sum = 0;
    for (size_t i = 0; i < program_fixed_bytes(&exe.program, AREA_CONSTANTS); i++) sum += exe.constants[i];
    check(sum <= 255 * bytes); // read, so that AddressSanitizer sees what lies outside
    executable_free(&exe);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    load(data, bytes);
    if (bytes < SUMMED_FROM) return 0;
    unsigned char *image = malloc(bytes);
    check(image != NULL);
    memcpy(image, data, bytes);
    write_magic(image);
    uint64_t size = bytes, sum = XXH3_64bits(image + SUMMED_FROM, bytes - SUMMED_FROM);
    memcpy(image + SIZE_AT, &size, sizeof size);
    memcpy(image + SUM_AT, &sum, sizeof sum);
    load(image, bytes);
    free(image);
    return 0;
}
