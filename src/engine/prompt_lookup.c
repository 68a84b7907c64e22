#include "engine/prompt_lookup.h"

#include <stdlib.h>
#include <string.h>

enum { N_HEADS_LOG2 = 14, N_HEADS = 1 << N_HEADS_LOG2, MAX_CANDIDATES = 64, FIRST_CAPACITY = 256 };

struct prompt_lookup {
    int32_t *tokens;   // [capacity]
    int32_t *previous; // [capacity] for each position, the last one before it whose pair has its hash, or -1
    int64_t n, capacity;
    int32_t heads[N_HEADS]; // the last position with a pair of that hash, or -1; a pair belongs to its second token
};

wf_status prompt_lookup_create(prompt_lookup **out, wf_error *err)
{
    prompt_lookup *l = *out = calloc(1, sizeof *l);
    if (!l) return error_memory(err, sizeof *l);
    prompt_lookup_clear(l);
    return WF_OK;
}

void prompt_lookup_free(prompt_lookup *l)
{
    if (!l) return;
    free(l->tokens);
    free(l->previous);
    free(l);
}

void prompt_lookup_clear(prompt_lookup *l)
{
    l->n = 0;
    memset(l->heads, 0xff, sizeof l->heads);
}

static uint32_t hash_pair(int32_t first, int32_t second)
{
    uint64_t h = ((uint64_t)(uint32_t)first << 32 | (uint32_t)second) * 0x9e3779b97f4a7c15;
    return (uint32_t)(h >> (64 - N_HEADS_LOG2));
}

static wf_status grow(prompt_lookup *l, wf_error *err)
{
    int64_t capacity = l->capacity ? 2 * l->capacity : FIRST_CAPACITY;
    size_t bytes = (size_t)capacity * sizeof *l->tokens;
    if (capacity > INT32_MAX) return error_memory(err, bytes);
    int32_t *tokens = realloc(l->tokens, bytes);
    if (tokens) l->tokens = tokens;
    int32_t *previous = tokens ? realloc(l->previous, bytes) : NULL;
    if (!previous) return error_memory(err, bytes);
    l->previous = previous;
    l->capacity = capacity;
    return WF_OK;
}

wf_status prompt_lookup_append(prompt_lookup *l, int32_t token, wf_error *err)
{
    if (l->n == l->capacity) TRY(grow(l, err));
    int64_t at = l->n++;
    l->tokens[at] = token;
    l->previous[at] = -1;
    if (at == 0) return WF_OK;
    int32_t *head = &l->heads[hash_pair(l->tokens[at - 1], token)];
    l->previous[at] = *head;
    *head = (int32_t)at;
    return WF_OK;
}

// Tokens that the sequence up to `at` and the whole sequence end with alike.
static int64_t common_end(const prompt_lookup *l, int64_t at)
{
    int64_t n = 0;
    while (n < LOOKUP_MAX_MATCH && n <= at && l->tokens[at - n] == l->tokens[l->n - 1 - n]) n++;
    return n;
}

int64_t prompt_lookup_find(const prompt_lookup *l, int64_t max, int32_t *draft, int64_t *matched)
{
    int64_t best = -1;
    *matched = 0;
    if (l->n < LOOKUP_MIN_MATCH + 1) return 0;
    int64_t at = l->previous[l->n - 1];
    for (int tries = 0; at >= 0 && tries < MAX_CANDIDATES && *matched < LOOKUP_MAX_MATCH; tries++) {
        int64_t n = common_end(l, at);
        if (n > *matched) best = at, *matched = n;
        at = l->previous[at];
    }
    if (*matched < LOOKUP_MIN_MATCH) { // pairs of one hash, but not equal
        *matched = 0;
        return 0;
    }
    // An occurrence that reaches into the end repeats itself: guesses follow guesses.
    for (int64_t i = 0; i < max; i++) {
        int64_t from = best + 1 + i;
        draft[i] = from < l->n ? l->tokens[from] : draft[from - l->n];
    }
    return max;
}

int64_t prompt_lookup_count(const prompt_lookup *l) { return l->n; }

const int32_t *prompt_lookup_tokens(const prompt_lookup *l) { return l->tokens; }
