// A piece of reserved virtual memory, zero where it was never written: pages that nobody touches cost nothing.
#ifndef WELFORD_BASE_AREA_H
#define WELFORD_BASE_AREA_H

#include <stddef.h>

#include "base/status.h"

enum { AREA_ALIGNMENT = 64 };

typedef struct area {
    unsigned char *data;
    size_t bytes;
} area;

// There is memory even of 0 bytes. WF_ERROR_MEMORY.
wf_status area_reserve(area *a, size_t bytes, wf_error *err);
void area_release(area *a); // an empty one is fine

#endif
