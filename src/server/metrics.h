// Counts and times for Prometheus, by the names that vLLM's dashboards read, under welford: instead of vllm:.
//
// All of it belongs to the HTTP thread.
#ifndef WELFORD_SERVER_METRICS_H
#define WELFORD_SERVER_METRICS_H

#include <stdint.h>

#include "welford.h"

enum { METRICS_BUCKETS = 22 };

typedef struct histogram {
    uint64_t counts[METRICS_BUCKETS + 1]; // the last: beyond all bounds
    double sum;
} histogram;

typedef struct metrics {
    histogram first_token, inter_token, whole, queued, prefill, decode;
    uint64_t by_finish[WF_FINISH_ERROR + 1];
    uint64_t n_refused; // errors told
} metrics;

// An answer has ended, `seconds` after its request came.
void metrics_add(metrics *m, const wf_generation *g, double seconds);

#endif
