// Numbers in files: little endian, wherever they lie.
#ifndef WELFORD_BASE_BYTES_H
#define WELFORD_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint32_t load_u32(const unsigned char *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline uint64_t load_u64(const unsigned char *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline void store_u32(unsigned char *p, uint32_t value) { memcpy(p, &value, sizeof value); }
static inline void store_u64(unsigned char *p, uint64_t value) { memcpy(p, &value, sizeof value); }

#endif
