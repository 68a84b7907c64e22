// Who may ask: keys, and where a browser's request comes from.
//
// A web page must not drive a server on this machine. Browsers say which page a request comes from (Origin), which must be
// this server's own or one that --cors-origin names. A page whose name was made to point here (DNS rebinding) gives itself
// away by Host: without a key, only names that cannot be rebound are served, which are localhost, addresses in digits,
// --host and --allow-host.
#ifndef WELFORD_SERVER_GUARD_H
#define WELFORD_SERVER_GUARD_H

#include "server/api_error.h"

typedef struct guard {
    char **keys; // owned
    size_t n_keys;
    const char *host;                     // --host
    const char *cors_origin, *allow_host; // comma-separated, NULL: none
} guard;

typedef struct guard_request { // headers; NULL: missing
    const char *host, *origin, *authorization, *api_key;
    bool open; // the path is for everybody: no key is asked for
} guard_request;

// Reads a file of keys, one a line; empty lines and those that begin with # are none.
wf_status guard_read_keys(guard *g, const char *path, wf_error *err);
void guard_free(guard *g);

bool guard_check(const guard *g, const guard_request *r, api_error *err);
// Whether a page of this origin is named by --cors-origin.
bool guard_allows_origin(const guard *g, const char *origin);
// Whether what listens there can be reached from this machine alone.
bool guard_is_loopback(const char *host);

#endif
