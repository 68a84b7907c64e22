#include "engine/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "engine/pace.h"

// A request's part in a step.
typedef struct share {
    request *r;
    int64_t n;                       // tokens of it: evaluated next
    int64_t n_rows;                  // of logits
    int32_t tokens[1 + GUESSES_MAX]; // of an answer: the last one, and guesses
} share;

struct scheduler {
    engine *e;
    scheduler_options options;
    request *first, *last; // of those that wait
    request **running;     // [n_running], the oldest first
    int64_t n_running;
    int64_t n_admitted;
    share *shares;    // [n_sequences] of the step
    step_part *parts; // [n_sequences]
    int64_t n_shares;
    sequence **leaving; // [n_leaving] of finished requests, on their way into the store
    size_t n_leaving, n_leaving_capacity;
    pace pace;
    scheduler_counts counts;
};

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

static void store_next(scheduler *s)
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
    while (s->running[i] != r) i++;
    s->n_running--;
    memmove(s->running + i, s->running + i + 1, (size_t)(s->n_running - i) * sizeof(request *));
}

static void finish(scheduler *s, request *r, wf_finish how)
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

static void finish_cancelled(scheduler *s, bool all)
{
    finish_waiting(s, all);
    for (int64_t i = s->n_running; i-- > 0;)
        if (all || atomic_load(&s->running[i]->cancelled)) finish(s, s->running[i], WF_FINISH_CALLBACK);
}

void scheduler_finish_all(scheduler *s)
{
    finish_cancelled(s, true);
    while (s->n_leaving) store_next(s);
}

// ---- admission

static int64_t count_tokens(const request *r) { return (int64_t)r->tokens.count; }
static int64_t count_ahead(const request *r) { return count_tokens(r) - sequence_past(r->q); } // to be evaluated
static bool is_answering(const request *r) { return count_ahead(r) == 1; }

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

static void fail(scheduler *s, request *r, const wf_error *err)
{
    r->error = *err;
    finish(s, r, WF_FINISH_ERROR);
}

static wf_status prepare_guesses(const scheduler *s, request *r, wf_error *err)
{
    if (!s->options.speculate || r->ahead) return WF_OK;
    TRY(guesses_create(&r->ahead, err));
    for (int64_t i = 0; i < count_tokens(r); i++) TRY(guesses_append(r->ahead, r->tokens.ids[i], err));
    return WF_OK;
}

static void admit(scheduler *s)
{
    while (s->first && s->n_running < s->options.n_sequences) {
        wf_error err = {0};
        wf_status status;
        request *r = s->first;
        bool begins = try_to_begin(s, r, &err, &status);
        if (status == WF_OK && !begins) return; // those behind it wait with it
        take_first(s);
        if (status == WF_OK) status = prepare_guesses(s, r, &err);
        begin(s, r);
        if (status != WF_OK) fail(s, r, &err);
    }
}

// ---- what a step takes

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

// Blocks for n more tokens of r, at the cost of the newest. False: r itself was put aside.
static bool reserve(scheduler *s, const request *r, int64_t n)
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

typedef struct row_cost {
    double stream, row; // of one row, and of each that is more
} row_cost;

static double cost_of_rows(const void *context, int64_t n)
{
    const row_cost *c = context;
    return c->stream + c->row * (double)(n - 1);
}

// Guesses behind the last token, as many as promise more tokens than other rows would.
static int64_t guess(const scheduler *s, request *r, int64_t n_streams, int64_t room)
{
    row_cost cost = {1, pace_row_cost(&s->pace, n_streams)};
    int64_t most = room, left = engine_context(s->e) - count_tokens(r);
    if (most > left) most = left;
    if (r->n_max >= 0 && most > r->n_max - r->result.n_generated - 1) most = r->n_max - r->result.n_generated - 1;
    if (most > GUESSES_MAX) most = GUESSES_MAX;
    if (!r->ahead || most <= 0 || cost.row == 0) return 0;
    return guesses_make(r->ahead, most, cost_of_rows, &cost);
}

static void add_share(scheduler *s, request *r, int64_t n, int64_t n_rows)
{
    share *own = &s->shares[s->n_shares++];
    own->r = r;
    own->n = n;
    own->n_rows = n_rows;
}

// The answers' next tokens. Every one has its row; guesses share what is left of the batch. Returns the tokens taken.
static int64_t take_answers(scheduler *s)
{
    int64_t n_tokens = 0, n_answers = 0, n_guessed = 0;
    for (int64_t i = 0; i < s->n_running; i++) n_answers += is_answering(s->running[i]);
    int64_t spare = pace_wants_alone(&s->pace, n_answers) ? 0 : engine_batch(s->e) - s->options.n_sequences;
    for (int64_t i = 0; i < s->n_running; i++) {
        request *r = s->running[i];
        if (!is_answering(r)) continue;
        int64_t n = guess(s, r, n_answers, spare - n_guessed);
        if (n > 0 && !sequence_reserve(r->q, 1 + n)) n = 0; // not at the cost of others
        if (!reserve(s, r, 1 + n)) break;                   // it was the newest
        add_share(s, r, 1 + n, 1 + n);
        share *own = &s->shares[s->n_shares - 1];
        own->tokens[0] = r->tokens.ids[count_tokens(r) - 1];
        for (int64_t k = 0; k < n; k++) own->tokens[1 + k] = guesses_tokens(r->ahead)[k];
        n_guessed += n;
    }
    for (int64_t i = 0; i < s->n_shares; i++) n_tokens += s->shares[i].n;
    return n_tokens;
}

// Tokens of prompts, the oldest first.
static int64_t take_prompts(scheduler *s, int64_t most)
{
    int64_t n_tokens = 0;
    for (int64_t i = 0; i < s->n_running && n_tokens < most; i++) {
        request *r = s->running[i];
        if (is_answering(r)) continue;
        int64_t ahead = count_ahead(r), n = ahead < most - n_tokens ? ahead : most - n_tokens;
        if (!reserve(s, r, n)) break;
        add_share(s, r, n, n == ahead);
        n_tokens += n;
    }
    return n_tokens;
}

// ---- answers

// A token of the answer. Returns whether the request goes on.
static bool take_token(scheduler *s, request *r, int32_t token, const float *logits)
{
    wf_error err = {0};
    wf_generation *result = &r->result;
    double now = s->options.clock();
    sampler_accept(r->choose, token);
    if (r->first_token == 0) {
        r->first_token = now;
        result->first_token_seconds = now - r->submitted;
        result->prefill_seconds = now - r->began;
    }
    result->decode_seconds = now - r->first_token;
    if (!r->ignore_end && tokenizer_is_eog(r->text.t, token)) {
        finish(s, r, WF_FINISH_STOP);
        return false;
    }
    result->n_generated++;
    s->counts.n_generated++;
    wf_status status = token_list_append(&r->tokens, token, &err);
    if (status == WF_OK && r->ahead) status = guesses_append(r->ahead, token, &err);
    if (status == WF_OK) status = text_stream_add(&r->text, token, &err);
    if (status != WF_OK) {
        fail(s, r, &err);
        return false;
    }
    bool go_on = request_tell(r, token, logits, engine_vocabulary(s->e));
    bool full = count_tokens(r) > engine_context(s->e), enough = r->n_max >= 0 && result->n_generated >= r->n_max;
    if (!r->text.stopped && go_on && !full && !enough) return true;
    finish(s, r, r->text.stopped ? WF_FINISH_STOP : !go_on ? WF_FINISH_CALLBACK : WF_FINISH_LENGTH);
    return false;
}

// Draws what follows a request's rows, from `row` on: one token, and one more for each guess that came true. Then its
// sequence ends with the last token but one.
static void draw_tokens(scheduler *s, const share *own, int64_t row)
{
    request *r = own->r;
    int64_t n_guesses = own->n_rows - 1, n_right = 0;
    if (r->n_max == 0) {
        finish(s, r, WF_FINISH_LENGTH);
        return;
    }
    for (int64_t i = 0;; i++) {
        wf_error err = {0};
        int32_t token;
        const float *logits = engine_logits(s->e, row + i);
        wf_status status = sampler_pick(r->choose, logits, &token, &err);
        if (status != WF_OK) {
            fail(s, r, &err);
            return;
        }
        bool right = r->ahead && guesses_note(r->ahead, i, token) && i < n_guesses;
        n_right += right;
        if (i == 0) r->result.n_decoded += r->first_token != 0;
        if (right) r->result.n_right++, s->counts.n_right++;
        if (!take_token(s, r, token, logits)) return;
        if (!right) break;
    }
    if (n_guesses > n_right) sequence_truncate(r->q, count_tokens(r) - 1, NULL);
}

// ---- steps

static wf_status run(scheduler *s, wf_error *err)
{
    int64_t n_rows = 0;
    for (int64_t i = 0; i < s->n_shares; i++) {
        const share *own = &s->shares[i];
        bool answer = own->n_rows == own->n && is_answering(own->r);
        const int32_t *tokens = answer ? own->tokens : own->r->tokens.ids + sequence_past(own->r->q);
        s->parts[i] = (step_part){own->r->q, tokens, own->n, own->n - own->n_rows};
        n_rows += own->n_rows;
    }
    TRY(engine_begin_logits(s->e, n_rows, err));
    return engine_step(s->e, s->parts, (uint32_t)s->n_shares, err);
}

// Of what the step takes; others may have been put aside since.
static int64_t count_streams(const scheduler *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_shares; i++) n += is_answering(s->shares[i].r);
    return n;
}

static int64_t count_step(const scheduler *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_shares; i++) n += s->shares[i].n;
    return n;
}

static void note_guesses(scheduler *s)
{
    for (int64_t i = 0; i < s->n_shares; i++) {
        if (!is_answering(s->shares[i].r)) continue;
        s->shares[i].r->result.n_guesses += s->shares[i].n - 1;
        s->counts.n_guesses += s->shares[i].n - 1;
    }
}

void scheduler_step(scheduler *s, bool *idle)
{
    wf_error err = {0};
    double start = s->options.clock();
    finish_cancelled(s, false);
    admit(s);
    store_next(s);
    *idle = s->n_running == 0 && s->n_leaving == 0;
    if (s->n_running == 0) return;
    s->n_shares = 0;
    int64_t n_answers = take_answers(s), most = pace_share(&s->pace, count_streams(s), engine_batch(s->e) - n_answers);
    int64_t n_prompt = take_prompts(s, most), n_streams = count_streams(s), n_tokens = count_step(s);
    if (s->n_shares == 0) return; // all that would have been was put aside
    note_guesses(s);
    wf_status status = run(s, &err);
    double end = s->options.clock();
    pace_note(&s->pace, n_streams, n_tokens - n_streams, end - start);
    s->counts.n_steps++;
    s->counts.n_prompt += n_prompt;
    s->counts.busy_seconds += end - start;
    for (int64_t i = 0, row = 0; i < s->n_shares; i++) {
        const share *own = &s->shares[i];
        if (status != WF_OK)
            fail(s, own->r, &err);
        else if (own->n_rows)
            draw_tokens(s, own, row);
        row += own->n_rows;
    }
}
