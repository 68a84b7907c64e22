// Steps: which tokens of which requests they take, and the tokens that come of them.
#include "engine/scheduler_parts.h"

// ---- what a step takes

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
        if (!scheduler_reserve(s, r, 1 + n)) break;         // it was the newest
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
        if (!scheduler_reserve(s, r, n)) break;
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
        scheduler_finish(s, r, WF_FINISH_STOP);
        return false;
    }
    result->n_generated++;
    s->counts.n_generated++;
    wf_status status = token_list_append(&r->tokens, token, &err);
    if (status == WF_OK && r->ahead) status = guesses_append(r->ahead, token, &err);
    if (status == WF_OK) status = text_stream_add(&r->text, token, &err);
    if (status != WF_OK) {
        scheduler_fail(s, r, &err);
        return false;
    }
    bool go_on = request_tell(r, token, logits, engine_vocabulary(s->e));
    bool full = count_tokens(r) > engine_context(s->e), enough = r->n_max >= 0 && result->n_generated >= r->n_max;
    if (!r->text.stopped && go_on && !full && !enough) return true;
    scheduler_finish(s, r, r->text.stopped ? WF_FINISH_STOP : !go_on ? WF_FINISH_CALLBACK : WF_FINISH_LENGTH);
    return false;
}

// Draws what follows a request's rows, from `row` on: one token, and one more for each guess that came true. Then its
// sequence ends with the last token but one.
static void draw_tokens(scheduler *s, const share *own, int64_t row)
{
    request *r = own->r;
    int64_t n_guesses = own->n_rows - 1, n_right = 0;
    if (r->n_max == 0) {
        scheduler_finish(s, r, WF_FINISH_LENGTH);
        return;
    }
    for (int64_t i = 0;; i++) {
        wf_error err = {0};
        int32_t token;
        const float *logits = engine_logits(s->e, row + i);
        wf_status status = sampler_pick(r->choose, logits, &token, &err);
        if (status != WF_OK) {
            scheduler_fail(s, r, &err);
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
    scheduler_finish_cancelled(s, false);
    scheduler_admit(s);
    scheduler_store_next(s);
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
            scheduler_fail(s, own->r, &err);
        else if (own->n_rows)
            draw_tokens(s, own, row);
        row += own->n_rows;
    }
}
