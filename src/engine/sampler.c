#include "engine/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { MAX_REPEAT = 1 << 20 };

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

struct sampler {
    wf_sampler_options options;
    int64_t n_vocab;
    uint64_t position; // tokens of the sequence
    float *logits;     // [n_vocab], after the penalty
    candidate *kept;   // [n_vocab], the first ones in descending order
    int32_t *recent;   // [repeat_last_n] ring of the last tokens
    int64_t n_recent, next_recent;
    unsigned char *penalised; // [n_vocab], all 0 between calls
};

// ---- random numbers

// splitmix64's number `position` from a seed.
static uint64_t random_at(uint64_t seed, uint64_t position)
{
    uint64_t z = seed + (position + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// A seed that a person can type again: 32 bits.
static uint64_t draw_seed(void)
{
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed) return seed;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint32_t)(now.tv_nsec ^ now.tv_sec);
}

// ---- creation

wf_sampler_options sampler_defaults(void)
{
    return (wf_sampler_options){.repeat_penalty = 1.0,
                                .repeat_last_n = 64,
                                .top_k = 40,
                                .top_p = 0.95,
                                .min_p = 0.05,
                                .temperature = 0.8,
                                .seed = WF_SEED_RANDOM};
}

static wf_status check_options(const wf_sampler_options *o, wf_error *err)
{
    // Written so that NaN fails.
    if (!(o->repeat_penalty > 0 && isfinite(o->repeat_penalty)))
        return error_set(err, WF_ERROR_USAGE, "repeat penalty %g: must be above 0", o->repeat_penalty);
    if (o->repeat_last_n < 0 || o->repeat_last_n > MAX_REPEAT)
        return error_set(err, WF_ERROR_USAGE, "repeat penalty over %" PRId64 " tokens: must be 0 to %d",
                         o->repeat_last_n, MAX_REPEAT);
    if (o->top_k < 0) return error_set(err, WF_ERROR_USAGE, "top-k %" PRId64 ": must not be negative", o->top_k);
    if (!(o->top_p >= 0 && o->top_p <= 1)) return error_set(err, WF_ERROR_USAGE, "top-p %g: must be 0 to 1", o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1)) return error_set(err, WF_ERROR_USAGE, "min-p %g: must be 0 to 1", o->min_p);
    if (!(o->temperature >= 0 && isfinite(o->temperature)))
        return error_set(err, WF_ERROR_USAGE, "temperature %g: must not be negative", o->temperature);
    return WF_OK;
}

wf_status sampler_create(const wf_sampler_options *options, int64_t n_vocab, sampler **out, wf_error *err)
{
    *out = NULL;
    TRY(check_options(options, err));
    sampler *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    s->options = *options;
    s->n_vocab = n_vocab;
    if (options->seed == WF_SEED_RANDOM) s->options.seed = draw_seed();
    size_t n = (size_t)n_vocab, n_recent = (size_t)options->repeat_last_n;
    s->logits = calloc(n, sizeof *s->logits);
    s->kept = calloc(n, sizeof *s->kept);
    s->recent = calloc(n_recent ? n_recent : 1, sizeof *s->recent);
    s->penalised = calloc(n, 1);
    if (!s->logits || !s->kept || !s->recent || !s->penalised) {
        sampler_free(s);
        return error_memory(err, n * (sizeof *s->logits + sizeof *s->kept + 1));
    }
    *out = s;
    return WF_OK;
}

void sampler_free(sampler *s)
{
    if (!s) return;
    free(s->logits);
    free(s->kept);
    free(s->recent);
    free(s->penalised);
    free(s);
}

uint64_t sampler_seed(const sampler *s) { return s->options.seed; }

// ---- repeat penalty

void sampler_accept(sampler *s, int32_t token)
{
    s->position++;
    if (s->options.repeat_last_n == 0 || token < 0 || token >= s->n_vocab) return;
    s->recent[s->next_recent] = token;
    s->next_recent = (s->next_recent + 1) % s->options.repeat_last_n;
    if (s->n_recent < s->options.repeat_last_n) s->n_recent++;
}

void sampler_forget(sampler *s)
{
    s->n_recent = s->next_recent = 0;
    s->position = 0;
}

// Once for each distinct token, however often it occurred.
static void apply_penalty(sampler *s)
{
    double penalty = s->options.repeat_penalty;
    for (int64_t i = 0; i < s->n_recent; i++) {
        int32_t id = s->recent[i];
        if (s->penalised[id]) continue;
        s->penalised[id] = 1;
        double logit = s->logits[id];
        s->logits[id] = (float)(logit > 0 ? logit / penalty : logit * penalty);
    }
    for (int64_t i = 0; i < s->n_recent; i++) s->penalised[s->recent[i]] = 0;
}

// ---- filters

static bool stands_before(candidate a, candidate b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

static int compare_candidates(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return stands_before(*x, *y) ? -1 : stands_before(*y, *x);
}

// heap[0] stands last of all: the one that the next better candidate drives out.
static void sift_down(candidate *heap, int64_t n, int64_t i)
{
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n) return;
        if (child + 1 < n && stands_before(heap[child], heap[child + 1])) child++;
        if (!stands_before(heap[i], heap[child])) return;
        candidate swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
        i = child;
    }
}

// The k first candidates, sorted: one pass over the logits with a heap of k. k <= n_vocab.
static void select_top(sampler *s, int64_t k)
{
    for (int64_t i = 0; i < k; i++) s->kept[i] = (candidate){s->logits[i], (int32_t)i};
    for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(s->kept, k, i);
    for (int64_t i = k; i < s->n_vocab; i++) {
        if (s->logits[i] <= s->kept[0].logit) continue; // an equal one has a higher id
        s->kept[0] = (candidate){s->logits[i], (int32_t)i};
        sift_down(s->kept, k, 0);
    }
    qsort(s->kept, (size_t)k, sizeof *s->kept, compare_candidates);
}

// Without top-k: the candidates that min-p would keep, sorted where top-p needs it. Returns how many.
static int64_t select_likely(sampler *s, float max, float floor)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_vocab; i++)
        if (s->logits[i] >= floor || s->logits[i] == max) s->kept[n++] = (candidate){s->logits[i], (int32_t)i};
    if (s->options.top_p < 1) qsort(s->kept, (size_t)n, sizeof *s->kept, compare_candidates);
    return n;
}

// Length of the shortest beginning whose probabilities reach p together; at least 1. `total`: sum of exp(logit - max).
static int64_t cut_top_p(const candidate *kept, int64_t n, float max, double total, double p)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp((double)kept[i].logit - max) / total;
        if (sum >= p) return i + 1;
    }
    return n;
}

// Fills s->kept and returns how many candidates are left, at least 1. Top-p's probabilities are among what top-k left;
// that min-p may run before it changes nothing, as both cut the same order.
static int64_t filter(sampler *s, float max)
{
    const wf_sampler_options *o = &s->options;
    float floor = o->min_p > 0 ? (float)((double)max + log(o->min_p)) : -INFINITY;
    double total = 0;
    int64_t n;
    if (o->top_k > 0 && o->top_k < s->n_vocab) {
        n = o->top_k;
        select_top(s, n);
        for (int64_t i = 0; i < n; i++) total += exp((double)s->kept[i].logit - max);
        while (n > 1 && s->kept[n - 1].logit < floor) n--;
    } else {
        if (o->top_p < 1)
            for (int64_t i = 0; i < s->n_vocab; i++) total += exp((double)s->logits[i] - max);
        n = select_likely(s, max, floor);
    }
    return o->top_p < 1 ? cut_top_p(s->kept, n, max, total, o->top_p) : n;
}

// ---- the draw

static int32_t draw(sampler *s, int64_t n, float max)
{
    double uniform = (double)(random_at(s->options.seed, s->position) >> 11) * 0x1p-53; // [0, 1)
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) total += exp(((double)s->kept[i].logit - max) / s->options.temperature);
    for (int64_t i = 0; i < n; i++) {
        sum += exp(((double)s->kept[i].logit - max) / s->options.temperature);
        if (uniform * total < sum) return s->kept[i].id;
    }
    return s->kept[0].id; // not reached but by rounding
}

// Index of the greatest logit, the lowest of equal ones.
static wf_status find_max(const float *logits, int64_t n, int32_t *id, wf_error *err)
{
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return error_set(err, WF_ERROR_FORMAT, "the model computed %s as logit of token %" PRId64,
                             isnan(logits[i]) ? "NaN" : "infinity", i);
        if (logits[i] > logits[best]) best = i;
    }
    if (logits[best] == -INFINITY)
        return error_set(err, WF_ERROR_FORMAT, "the model computed -infinity as every logit");
    *id = (int32_t)best;
    return WF_OK;
}

wf_status sampler_pick(sampler *s, const float *logits, int32_t *token, wf_error *err)
{
    TRY(find_max(logits, s->n_vocab, token, err));
    memcpy(s->logits, logits, (size_t)s->n_vocab * sizeof *logits);
    if (s->options.repeat_penalty != 1.0) {
        apply_penalty(s);
        TRY(find_max(s->logits, s->n_vocab, token, err));
    }
    if (s->options.temperature == 0) return WF_OK;
    float max = s->logits[*token];
    *token = draw(s, filter(s, max), max);
    return WF_OK;
}
