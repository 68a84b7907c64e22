// What one server is made of.
#ifndef WELFORD_SERVER_STATE_H
#define WELFORD_SERVER_STATE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/exchange.h"
#include "server/guard.h"
#include "server/metrics.h"
#include "server/models.h"
#include "server/server.h"

struct server {
    const server_options *options;
    guard guard;
    models *models;
    struct MHD_Daemon *http;
    metrics metrics; // the HTTP thread's
    int listening;   // socket; -1: none
    int port;
    int watch;            // epoll: sockets of clients who wait for an answer, and signals
    atomic_bool draining; // no new requests

    pthread_mutex_t lock; // of the list
    exchange *newest;
    uint64_t n_serials;
};

void server_add(server *s, exchange *x);
void server_remove(server *s, exchange *x);
// From now on, tell when the exchange's client leaves.
void server_watch(server *s, const exchange *x);

// http.c
wf_status http_start(server *s, wf_error *err);
void http_stop(server *s);

#endif
