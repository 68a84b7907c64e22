#include "engine/speculation.h"

#include <stdlib.h>

#include "engine/prompt_lookup.h"

enum { N_KINDS = 6, MAX_ROWS = SPECULATION_MAX + 1 };

// Guesses after a match of that many tokens or more; how often one of them is right, as long as nothing is known.
static const struct {
    int64_t matched;
    double right;
} KINDS[N_KINDS] = {{2, 0.2}, {3, 0.35}, {4, 0.45}, {6, 0.6}, {10, 0.75}, {20, 0.85}};

static const double PRIOR_WEIGHT = 6;  // guesses that the figures above stand for
static const double FORGET = 0.98;     // what is left of an observation after each that follows it
static const double ROW_COST = 0.25;   // of an evaluation of one row, for each row more, before it was measured
static const double SMOOTHING = 0.125; // weight of a new measurement
static const double MARGIN = 1.03;     // what guessing must promise over not guessing

typedef struct record {
    double tried, right;
} record;

struct speculation {
    session *s;
    double (*clock)(void);
    prompt_lookup *lookup;
    record records[N_KINDS];
    double seconds[MAX_ROWS + 1]; // of an evaluation of that many rows, smoothed; 0: never done
    // The last evaluation: rows of logits, and the guesses behind its first token.
    int64_t n_rows, row;
    int32_t guesses[SPECULATION_MAX];
    int64_t n_guesses; // may be more than were evaluated: the first that was not is compared all the same
    int kind;
    speculation_counts counts;
};

wf_status speculation_create(session *s, double (*clock)(void), speculation **out, wf_error *err)
{
    speculation *a = *out = calloc(1, sizeof *a);
    if (!a) return error_memory(err, sizeof *a);
    a->s = s;
    a->clock = clock;
    for (int i = 0; i < N_KINDS; i++) a->records[i] = (record){PRIOR_WEIGHT, PRIOR_WEIGHT * KINDS[i].right};
    wf_status status = prompt_lookup_create(&a->lookup, err);
    if (status == WF_OK) return WF_OK;
    speculation_free(a);
    *out = NULL;
    return status;
}

void speculation_free(speculation *a)
{
    if (!a) return;
    prompt_lookup_free(a->lookup);
    free(a);
}

wf_status speculation_begin(speculation *a, wf_error *err)
{
    a->counts = (speculation_counts){0};
    a->n_rows = session_logits_count(a->s);
    a->row = a->n_rows - 1;
    a->n_guesses = 0;
    prompt_lookup_clear(a->lookup);
    const int32_t *tokens = session_tokens(a->s);
    for (int64_t i = 0; i < session_past(a->s); i++) TRY(prompt_lookup_append(a->lookup, tokens[i], err));
    return WF_OK;
}

const float *speculation_logits(const speculation *a) { return session_logits(a->s, a->row); }

// Tokens of the sequence: the cache may hold guesses behind them.
static int64_t count_tokens(const speculation *a) { return prompt_lookup_count(a->lookup); }

bool speculation_has_room(const speculation *a) { return count_tokens(a) < session_context(a->s); }

// ---- how many guesses

static int kind_of(int64_t matched)
{
    int kind = 0;
    while (kind + 1 < N_KINDS && matched >= KINDS[kind + 1].matched) kind++;
    return kind;
}

static void note(speculation *a, bool right)
{
    record *r = &a->records[a->kind];
    *r = (record){FORGET * r->tried + 1, FORGET * r->right + right};
}

// Of an evaluation of n rows, between what was measured for fewer and for more; in units that only compare.
static double expected_seconds(const speculation *a, int64_t n)
{
    int64_t below = n, above = n;
    while (below >= 1 && a->seconds[below] == 0) below--;
    while (above <= MAX_ROWS && a->seconds[above] == 0) above++;
    double one = a->seconds[1] > 0 ? a->seconds[1] : 1;
    if (below < 1) return one * (1 + ROW_COST * (double)(n - 1));
    if (below == n) return a->seconds[n];
    if (above > MAX_ROWS) return a->seconds[below] + one * ROW_COST * (double)(n - below);
    double part = (double)(n - below) / (double)(above - below);
    return a->seconds[below] + part * (a->seconds[above] - a->seconds[below]);
}

static int64_t choose_length(const speculation *a, int64_t max)
{
    if (max == 0 || a->seconds[1] == 0) return 0; // measure what is compared with first
    double right = a->records[a->kind].right / a->records[a->kind].tried;
    double tokens = 1, chance = 1, best = MARGIN / expected_seconds(a, 1);
    int64_t length = 0;
    for (int64_t n = 1; n <= max; n++) {
        chance *= right;
        tokens += chance;
        double rate = tokens / expected_seconds(a, n + 1);
        if (rate > best) best = rate, length = n;
    }
    return length;
}

static void measure(speculation *a, int64_t n_rows, double seconds)
{
    double *known = &a->seconds[n_rows];
    *known = *known == 0 ? seconds : *known + SMOOTHING * ((seconds < 2 * *known ? seconds : 2 * *known) - *known);
}

// ---- steps

// Evaluates `token`, the last of the sequence, and the first guesses at what follows.
static wf_status evaluate(speculation *a, int32_t token, int64_t n_wanted, wf_error *err)
{
    int64_t past = count_tokens(a) - 1, room = session_context(a->s) - past - 1, matched;
    int64_t max = n_wanted - 1 < room ? n_wanted - 1 : room;
    if (max > session_batch(a->s) - 1) max = session_batch(a->s) - 1;
    if (max > SPECULATION_MAX) max = SPECULATION_MAX;
    a->n_guesses = prompt_lookup_find(a->lookup, SPECULATION_MAX, a->guesses, &matched);
    a->kind = kind_of(matched);
    int64_t n = choose_length(a, a->n_guesses < max ? a->n_guesses : max);
    int32_t tokens[MAX_ROWS] = {token};
    for (int64_t i = 0; i < n; i++) tokens[1 + i] = a->guesses[i];
    if (session_past(a->s) > past) TRY(session_truncate(a->s, past, err));
    double start = a->clock();
    TRY(session_eval(a->s, tokens, n + 1, 0, err));
    measure(a, n + 1, a->clock() - start);
    a->n_rows = n + 1;
    a->row = 0;
    a->counts.n_evaluations++;
    a->counts.n_guesses += n;
    a->counts.lengths[n]++;
    return WF_OK;
}

wf_status speculation_step(speculation *a, int32_t token, int64_t n_wanted, wf_error *err)
{
    TRY(prompt_lookup_append(a->lookup, token, err));
    bool guessed = a->row < a->n_guesses, right = guessed && a->guesses[a->row] == token;
    if (guessed) note(a, right);
    if (right && a->row + 1 < a->n_rows) { // its logits are there
        a->row++;
        a->counts.n_right++;
        return WF_OK;
    }
    return evaluate(a, token, n_wanted, err);
}

wf_status speculation_end(speculation *a, wf_error *err)
{
    a->n_guesses = a->n_rows = 0;
    return session_past(a->s) > count_tokens(a) ? session_truncate(a->s, count_tokens(a), err) : WF_OK;
}

speculation_counts speculation_count(const speculation *a) { return a->counts; }
