#include "engine/drafter.h"

#include <math.h>
#include <stdlib.h>

enum { N_KINDS = 6, TRY_AGAIN = 32 };

// Tokens to which the drafter gave at least that probability; how often one of them is right, as long as nothing is known.
static const struct {
    double probability, right;
} KINDS[N_KINDS] = {{0, 0.2}, {0.3, 0.4}, {0.5, 0.6}, {0.7, 0.75}, {0.85, 0.85}, {0.95, 0.95}};

static const double PRIOR_WEIGHT = 4, FORGET = 0.98, MARGIN = 1.03, SMOOTHING = 0.125;
static const double HOPE = 0.95;      // how often the next token is right at best
static const double FIRST_COST = 0.2; // of a token, in evaluations of the larger model, before it was measured

typedef struct record {
    double tried, right;
} record;

struct drafter {
    session *s;
    double (*clock)(void);
    record records[N_KINDS], all;
    double seconds;    // of a token, smoothed; 0: not measured
    int64_t n_skipped; // times in a row that it did not draft
    int32_t tokens[GUESSES_MAX];
    int kinds[GUESSES_MAX];
    int64_t n; // drafted: may be more than are evaluated
};

wf_status drafter_create(const compiled_model *m, thread_pool *pool, int64_t n_ctx, double (*clock)(void),
                         drafter **out, wf_error *err)
{
    *out = NULL;
    int64_t most = m->executable.program.n_ctx_train;
    drafter *d = calloc(1, sizeof *d);
    if (!d) return error_memory(err, sizeof *d);
    d->clock = clock;
    d->all = (record){PRIOR_WEIGHT, PRIOR_WEIGHT * 0.7};
    for (int i = 0; i < N_KINDS; i++) d->records[i] = (record){PRIOR_WEIGHT, PRIOR_WEIGHT * KINDS[i].right};
    wf_status status = session_create(m, pool, n_ctx < most ? n_ctx : most, 0, &d->s, err);
    if (status != WF_OK) {
        free(d);
        return status;
    }
    *out = d;
    return WF_OK;
}

void drafter_free(drafter *d)
{
    if (!d) return;
    session_free(d->s);
    free(d);
}

const int32_t *drafter_tokens(const drafter *d) { return d->tokens; }

// The likeliest token of the last evaluation, and its kind.
static void draft_token(drafter *d)
{
    const float *logits = session_logits(d->s, 0);
    int64_t n_vocab = session_vocabulary(d->s), best = 0;
    double sum = 0;
    for (int64_t i = 1; i < n_vocab; i++)
        if (logits[i] > logits[best]) best = i;
    for (int64_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - logits[best]);
    int kind = 0;
    while (kind + 1 < N_KINDS && 1 / sum >= KINDS[kind + 1].probability) kind++;
    d->tokens[d->n] = (int32_t)best;
    d->kinds[d->n++] = kind;
}

static double rate_of(const record *r) { return r->right / r->tried; }

// Whether drafts of any length promise anything, by all that has been seen.
static bool promises(const drafter *d, int64_t max, guesses_cost *cost, const void *context)
{
    double tokens = 1, chance = 1, alone = MARGIN / cost(context, 1);
    for (int64_t n = 1; n <= max; n++) {
        chance *= rate_of(&d->all);
        tokens += chance;
        if (tokens / (cost(context, n + 1) + (double)n * d->seconds) > alone) return true;
    }
    return false;
}

// Makes the drafter's sequence tokens [n], the last one with logits.
static wf_status follow(drafter *d, const int32_t *tokens, int64_t n, wf_error *err)
{
    int64_t common = session_common_prefix(d->s, tokens, n);
    if (common == n) common--;
    TRY(session_truncate(d->s, common, err));
    return session_eval(d->s, tokens + common, n - common, n - common - 1, err);
}

static wf_status draft_next(drafter *d, wf_error *err)
{
    double start = d->clock();
    TRY(session_eval(d->s, &d->tokens[d->n - 1], 1, 0, err));
    draft_token(d);
    double spent = d->clock() - start;
    d->seconds += SMOOTHING * ((spent < 2 * d->seconds ? spent : 2 * d->seconds) - d->seconds);
    return WF_OK;
}

wf_status drafter_make(drafter *d, const int32_t *tokens, int64_t n, int64_t max, guesses_cost *cost,
                       const void *context, int64_t *count, wf_error *err)
{
    double expected = 1, chance = 1, best = MARGIN / cost(context, 1);
    *count = d->n = 0;
    if (max > GUESSES_MAX) max = GUESSES_MAX;
    if (max > session_context(d->s) - n) max = session_context(d->s) - n;
    if (max <= 0) return WF_OK;
    if (d->seconds == 0) d->seconds = FIRST_COST * cost(context, 1);
    if (!promises(d, max, cost, context) && ++d->n_skipped % TRY_AGAIN) return WF_OK;
    d->n_skipped = 0;
    TRY(follow(d, tokens, n, err));
    draft_token(d);
    for (;;) {
        double spent = (double)d->n * d->seconds;
        chance *= rate_of(&d->records[d->kinds[d->n - 1]]);
        expected += chance;
        double rate = expected / (cost(context, d->n + 1) + spent);
        if (rate > best) best = rate, *count = d->n;
        if (d->n == max) return WF_OK;
        double hope = (expected + chance * HOPE) / (cost(context, d->n + 2) + spent + d->seconds);
        if (hope <= best) return WF_OK;
        TRY(draft_next(d, err));
    }
}

static void note(record *r, bool right) { *r = (record){FORGET * r->tried + 1, FORGET * r->right + right}; }

bool drafter_note(drafter *d, int64_t i, int32_t token)
{
    if (i >= d->n) return false;
    bool right = d->tokens[i] == token;
    note(&d->records[d->kinds[i]], right);
    note(&d->all, right);
    return right;
}
