// Checksums of files, as the hub names them.
#ifndef WELFORD_HUB_NET_CHECKSUM_H
#define WELFORD_HUB_NET_CHECKSUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

// Reads `fd` from its beginning to its end, `bytes` bytes, and compares with `etag` (hub_is_etag): 64 digits are the
// SHA-256 of the bytes (a large file), 40 the SHA-1 of git's blob, which is "blob BYTES\0" and the bytes.
wf_status checksum_equals(int fd, int64_t bytes, const char *etag, bool *equal, wf_error *err);

#endif
