#include "engine/guesses.h"

#include <stdlib.h>

#include "engine/prompt_lookup.h"

enum { N_KINDS = 6 };

// Guesses after a match of that many tokens or more; how often one of them is right, as long as nothing is known.
static const struct {
    int64_t matched;
    double right;
} KINDS[N_KINDS] = {{2, 0.2}, {3, 0.35}, {4, 0.45}, {6, 0.6}, {10, 0.75}, {20, 0.85}};

static const double PRIOR_WEIGHT = 6; // guesses that the figures above stand for
static const double FORGET = 0.98;    // what is left of an observation after each that follows it
static const double MARGIN = 1.03;    // what guessing must promise over not guessing

typedef struct record {
    double tried, right;
} record;

struct guesses {
    prompt_lookup *lookup;
    record records[N_KINDS];
    int32_t tokens[GUESSES_MAX];
    int64_t n; // may be more than are evaluated: the first that is not is compared all the same
    int kind;
};

wf_status guesses_create(guesses **out, wf_error *err)
{
    guesses *g = *out = calloc(1, sizeof *g);
    if (!g) return error_memory(err, sizeof *g);
    for (int i = 0; i < N_KINDS; i++) g->records[i] = (record){PRIOR_WEIGHT, PRIOR_WEIGHT * KINDS[i].right};
    wf_status status = prompt_lookup_create(&g->lookup, err);
    if (status == WF_OK) return WF_OK;
    guesses_free(g);
    *out = NULL;
    return status;
}

void guesses_free(guesses *g)
{
    if (!g) return;
    prompt_lookup_free(g->lookup);
    free(g);
}

void guesses_clear(guesses *g)
{
    g->n = 0;
    prompt_lookup_clear(g->lookup);
}

wf_status guesses_append(guesses *g, int32_t token, wf_error *err)
{
    return prompt_lookup_append(g->lookup, token, err);
}

const int32_t *guesses_sequence(const guesses *g) { return prompt_lookup_tokens(g->lookup); }
int64_t guesses_count(const guesses *g) { return prompt_lookup_count(g->lookup); }
const int32_t *guesses_tokens(const guesses *g) { return g->tokens; }

static int kind_of(int64_t matched)
{
    int kind = 0;
    while (kind + 1 < N_KINDS && matched >= KINDS[kind + 1].matched) kind++;
    return kind;
}

int64_t guesses_make(guesses *g, int64_t max, guesses_cost *cost, const void *context)
{
    int64_t matched, length = 0;
    g->n = prompt_lookup_find(g->lookup, GUESSES_MAX, g->tokens, &matched);
    g->kind = kind_of(matched);
    if (max > g->n) max = g->n;
    if (max <= 0) return 0;
    double right = g->records[g->kind].right / g->records[g->kind].tried;
    double tokens = 1, chance = 1, best = MARGIN / cost(context, 1);
    for (int64_t n = 1; n <= max; n++) {
        chance *= right;
        tokens += chance;
        double rate = tokens / cost(context, n + 1);
        if (rate > best) best = rate, length = n;
    }
    return length;
}

bool guesses_note(guesses *g, int64_t i, int32_t token)
{
    if (i >= g->n) return false;
    record *r = &g->records[g->kind];
    bool right = g->tokens[i] == token;
    *r = (record){FORGET * r->tried + 1, FORGET * r->right + right};
    return right;
}
