#include "engine/speculation.h"

#include <stdlib.h>

enum { MAX_ROWS = SPECULATION_MAX + 1 };

static const double ROW_COST = 0.25;   // of an evaluation of one row, for each row more, before it was measured
static const double SMOOTHING = 0.125; // weight of a new measurement

struct speculation {
    session *s;
    double (*clock)(void);
    guesses *ahead;
    drafter *drafter;             // NULL: none
    bool drafted;                 // the guesses of the last evaluation are the drafter's
    double seconds[MAX_ROWS + 1]; // of an evaluation of that many rows, smoothed; 0: never done
    int64_t n_rows, row;          // of logits of the last evaluation: of its first token, and of guesses behind it
    speculation_counts counts;
};

wf_status speculation_create(session *s, double (*clock)(void), speculation **out, wf_error *err)
{
    speculation *a = *out = calloc(1, sizeof *a);
    if (!a) return error_memory(err, sizeof *a);
    a->s = s;
    a->clock = clock;
    wf_status status = guesses_create(&a->ahead, err);
    if (status == WF_OK) return WF_OK;
    speculation_free(a);
    *out = NULL;
    return status;
}

void speculation_free(speculation *a)
{
    if (!a) return;
    guesses_free(a->ahead);
    drafter_free(a->drafter);
    free(a);
}

void speculation_set_drafter(speculation *a, drafter *d)
{
    drafter_free(a->drafter);
    a->drafter = d;
    a->drafted = false;
}

wf_status speculation_begin(speculation *a, wf_error *err)
{
    a->counts = (speculation_counts){0};
    a->n_rows = session_logits_count(a->s);
    a->row = a->n_rows - 1;
    a->drafted = false;
    guesses_clear(a->ahead);
    const int32_t *tokens = session_tokens(a->s);
    for (int64_t i = 0; i < session_past(a->s); i++) TRY(guesses_append(a->ahead, tokens[i], err));
    return WF_OK;
}

const float *speculation_logits(const speculation *a) { return session_logits(a->s, a->row); }

// Tokens of the sequence: the cache may hold guesses behind them.
static int64_t count_tokens(const speculation *a) { return guesses_count(a->ahead); }

bool speculation_has_room(const speculation *a) { return count_tokens(a) < session_context(a->s); }

// ---- what evaluations take

// Of an evaluation of n rows, between what was measured for fewer and for more; in units that only compare.
static double expected_seconds(const void *context, int64_t n)
{
    const speculation *a = context;
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

static void measure(speculation *a, int64_t n_rows, double seconds)
{
    double *known = &a->seconds[n_rows];
    *known = *known == 0 ? seconds : *known + SMOOTHING * ((seconds < 2 * *known ? seconds : 2 * *known) - *known);
}

// ---- steps

// Evaluates `token`, the last of the sequence, and the first guesses at what follows.
static wf_status evaluate(speculation *a, int32_t token, int64_t n_wanted, wf_error *err)
{
    int64_t past = count_tokens(a) - 1, room = session_context(a->s) - past - 1;
    int64_t max = n_wanted - 1 < room ? n_wanted - 1 : room;
    if (max > session_batch(a->s) - 1) max = session_batch(a->s) - 1;
    if (max > SPECULATION_MAX) max = SPECULATION_MAX;
    if (a->seconds[1] == 0) max = 0; // measure what is compared with first
    int64_t n = guesses_make(a->ahead, max, expected_seconds, a);
    a->drafted = n == 0 && a->drafter && max > 0;
    if (a->drafted)
        TRY(drafter_make(a->drafter, guesses_sequence(a->ahead), count_tokens(a), max, expected_seconds, a, &n, err));
    const int32_t *ahead = a->drafted ? drafter_tokens(a->drafter) : guesses_tokens(a->ahead);
    int32_t tokens[MAX_ROWS] = {token};
    for (int64_t i = 0; i < n; i++) tokens[1 + i] = ahead[i];
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
    TRY(guesses_append(a->ahead, token, err));
    bool right = guesses_note(a->ahead, a->row, token);
    if (a->drafted) right = drafter_note(a->drafter, a->row, token);
    if (right && a->row + 1 < a->n_rows) { // its logits are there
        a->row++;
        a->counts.n_right++;
        return WF_OK;
    }
    return evaluate(a, token, n_wanted, err);
}

wf_status speculation_end(speculation *a, wf_error *err)
{
    a->n_rows = 0;
    return session_past(a->s) > count_tokens(a) ? session_truncate(a->s, count_tokens(a), err) : WF_OK;
}

speculation_counts speculation_count(const speculation *a) { return a->counts; }
