// How much memory this process may still use.
#ifndef WELFORD_BASE_MEMORY_H
#define WELFORD_BASE_MEMORY_H

#include <stddef.h>

// Bytes that could be had now without pushing other programs out: what the system calls available, free swap included,
// within the limits of the control group and of the process. SIZE_MAX when the system does not say.
size_t memory_available(void);

// Bytes that could be had if nothing else ran.
size_t memory_total(void);

#endif
