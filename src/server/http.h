// Connections: libmicrohttpd in, routes called, answers out.
#ifndef WELFORD_SERVER_HTTP_H
#define WELFORD_SERVER_HTTP_H

#include "server/flavour.h"
#include "server/state.h"

// Where a request goes. One of `answer` and `flavour`.
struct route {
    const char *method, *path; // a path that ends in '*' stands for all that begin so
    bool open;                 // without a key
    const flavour *flavour;
    // An answer that needs no engine: fills `out`, and says of what type it is. NULL: `err` says why not.
    const char *(*answer)(exchange *x, const char *path, buffer *out, api_error *err);
};

const route *route_find(const char *method, const char *path, bool *other_method);

#endif
