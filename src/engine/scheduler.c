// A request's life but for its steps: waiting, admission, put aside, the end.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "engine/scheduler_parts.h"

wf_status scheduler_create(engine *e, const scheduler_options *options, scheduler **out, wf_error *err)
{
    *out = NULL;
    scheduler *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    size_t n = (size_t)options->n_sequences;
    s->e = e;
    s->options = *options;
    s->running = calloc(n, sizeof(request *));
    s->shares = calloc(n, sizeof *s->shares);
    s->parts = calloc(n, sizeof *s->parts);
    if (!s->running || !s->shares || !s->parts) {
        scheduler_free(s);
        return error_memory(err, n * sizeof *s->shares);
    }
    *out = s;
    return WF_OK;
}

void scheduler_free(scheduler *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_leaving; i++) sequence_free(s->leaving[i]);
    free(s->leaving);
    free(s->running);
    free(s->shares);
    free(s->parts);
    free(s);
}

scheduler_counts scheduler_count(const scheduler *s)
{
    scheduler_counts counts = s->counts;
    counts.n_running = s->n_running;
    return counts;
}

// ---- waiting

static void wait_last(scheduler *s, request *r)
{
    r->next = NULL;
    *(s->last ? &s->last->next : &s->first) = r;
    s->last = r;
    s->counts.n_waiting++;
}

static void wait_first(scheduler *s, request *r)
{
    r->next = s->first;
    s->first = r;
    if (!s->last) s->last = r;
    s->counts.n_waiting++;
}

static request *take_first(scheduler *s)
{
    request *r = s->first;
    s->first = r->next;
    if (!s->first) s->last = NULL;
    s->counts.n_waiting--;
    return r;
}

void scheduler_add(scheduler *s, request *r)
{
    if (r->submitted == 0) r->submitted = s->options.clock();
    wait_last(s, r);
}

// ---- the end

// Into the store, a block a step; where memory is out, or there is no store, the sequence goes at once.
static void leave(scheduler *s, sequence *q)
{
    sequence **leaving = NULL;
    if (q && engine_has_store(s->e))
        leaving = array_grow(s->leaving, s->n_leaving, &s->n_leaving_capacity, sizeof(sequence *));
    if (!leaving) {
        sequence_free(q);
        return;
    }
    s->leaving = leaving;
    s->leaving[s->n_leaving++] = q;
}

void scheduler_store_next(scheduler *s)
{
    if (s->n_leaving == 0 || sequence_store_next(s->leaving[0])) return;
    sequence_free(s->leaving[0]);
    s->n_leaving--;
    memmove(s->leaving, s->leaving + 1, s->n_leaving * sizeof(sequence *));
}

static void let_go(scheduler *s, request *r)
{
    leave(s, r->q);
    r->q = NULL;
    s->counts.n_finished++;
    request_tell_end(r);
    s->options.finished(s->options.context, r);
}

static void stop_running(scheduler *s, const request *r)
{
    int64_t i = 0;
    while (i < s->n_running && s->running[i] != r) i++;
    if (i == s->n_running) return; // it has not begun
    s->n_running--;
    memmove(s->running + i, s->running + i + 1, (size_t)(s->n_running - i) * sizeof(request *));
}

void scheduler_finish(scheduler *s, request *r, wf_finish how)
{
    r->result.finish = how;
    stop_running(s, r);
    let_go(s, r);
}

static void finish_waiting(scheduler *s, bool all)
{
    request *r = s->first;
    s->first = s->last = NULL;
    s->counts.n_waiting = 0;
    for (request *next; r; r = next) {
        next = r->next;
        if (all || atomic_load(&r->cancelled)) {
            r->result.finish = WF_FINISH_CALLBACK;
            let_go(s, r);
        } else {
            wait_last(s, r);
        }
    }
}

void scheduler_finish_cancelled(scheduler *s, bool all)
{
    finish_waiting(s, all);
    for (int64_t i = s->n_running; i-- > 0;)
        if (all || atomic_load(&s->running[i]->cancelled)) scheduler_finish(s, s->running[i], WF_FINISH_CALLBACK);
}

void scheduler_finish_all(scheduler *s)
{
    scheduler_finish_cancelled(s, true);
    while (s->n_leaving) scheduler_store_next(s);
}

// ---- admission

// Blocks that the running requests have still to take for the tokens that they have, and one more each.
static int64_t promised_blocks(const scheduler *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_running; i++)
        n += kv_blocks(count_tokens(s->running[i]) + 1) - kv_blocks(sequence_past(s->running[i]->q));
    return n;
}

// Gives a request its sequence, as much of it as the cache holds. False: it has to wait for blocks.
static bool try_to_begin(scheduler *s, request *r, wf_error *err, wf_status *status)
{
    *status = sequence_create(s->e, &r->q, err);
    if (*status != WF_OK) return false;
    int64_t n = count_tokens(r), found = sequence_match(r->q, r->tokens.ids, n);
    if (found == n) sequence_truncate(r->q, --found, NULL); // the last one is evaluated for its logits
    int64_t needs = kv_blocks(n + 1) - found / KV_BLOCK + promised_blocks(s);
    if (s->n_running == 0 || needs <= block_pool_left(engine_blocks(s->e))) return true;
    sequence_free(r->q);
    r->q = NULL;
    return false;
}

static void begin(scheduler *s, request *r)
{
    s->running[s->n_running++] = r;
    if (r->number) return; // it had been put aside
    r->number = ++s->n_admitted;
    r->began = s->options.clock();
    r->result.queued_seconds = r->began - r->submitted;
    r->result.n_reused = sequence_past(r->q);
    s->counts.n_reused += r->result.n_reused;
}

void scheduler_fail(scheduler *s, request *r, const wf_error *err)
{
    r->error = *err;
    scheduler_finish(s, r, WF_FINISH_ERROR);
}

static wf_status prepare_guesses(const scheduler *s, request *r, wf_error *err)
{
    if (!s->options.speculate || r->ahead) return WF_OK;
    TRY(guesses_create(&r->ahead, err));
    for (int64_t i = 0; i < count_tokens(r); i++) TRY(guesses_append(r->ahead, r->tokens.ids[i], err));
    return WF_OK;
}

void scheduler_admit(scheduler *s)
{
    while (s->first && s->n_running < s->options.n_sequences) {
        wf_error err = {0};
        wf_status status;
        request *r = s->first;
        bool begins = try_to_begin(s, r, &err, &status);
        if (status == WF_OK && !begins) return; // those behind it wait with it
        take_first(s);
        if (status == WF_OK) begin(s, r), status = prepare_guesses(s, r, &err);
        if (status != WF_OK) scheduler_fail(s, r, &err);
    }
}

// ---- blocks that run out

static void put_aside(scheduler *s, request *r)
{
    stop_running(s, r);
    sequence_free(r->q); // what it knows is kept as long as there is room
    r->q = NULL;
    s->counts.n_put_aside++;
    for (int64_t i = 0; i < s->n_shares; i++) {
        if (s->shares[i].r != r) continue;
        s->n_shares--;
        memmove(&s->shares[i], &s->shares[i + 1], (size_t)(s->n_shares - i) * sizeof *s->shares);
    }
    wait_first(s, r);
}

bool scheduler_reserve(scheduler *s, const request *r, int64_t n)
{
    while (!sequence_reserve(r->q, n)) {
        if (s->n_leaving) { // is not kept then
            sequence_free(s->leaving[--s->n_leaving]);
            continue;
        }
        request *newest = s->running[s->n_running - 1];
        put_aside(s, newest);
        if (newest == r) return false;
    }
    return true;
}
