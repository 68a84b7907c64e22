// The logits of a sequence are the same bits whatever runs beside it and however it came about, on real programs:
//
//     same_bytes_test [MODEL]...     without: the tiny models of test/data
//
// Sequences on one engine that go on in steps of all widths, are cut, copied, found in the cache, and kept as states; on
// 1 to 3 threads, with few blocks. Then, of models that have a tokenizer, requests, guessing or not, whose answers are
// those of a session alone.
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/model.h"
#include "engine/session.h"
#include "welford.h"

enum { N_BASES = 3, MOST = 640, N_SEQUENCES = 5, N_STEPS = 50, MEMORY = 192 << 20, N_REQUESTS = 6, N_ANSWER = 40 };

// Some of a base's beginning.
typedef struct place {
    sequence *q;
    int base;
    int64_t n;
} place;

static wf_model *m;
static compiled_model *program_of; // of the model
static thread_pool *two;           // threads
static int64_t n_vocab, length;
static int32_t bases[N_BASES][MOST];
static float *reference; // [N_BASES][length][n_vocab]
static engine *e;
static place places[N_SEQUENCES];
static thread_pool *pool;

static void check(wf_status status, const wf_error *err)
{
    if (status != WF_OK) fail_msg("%s", err->message);
}

static const float *reference_row(int base, int64_t i) { return reference + (base * length + i) * n_vocab; }

// Tokens that begin alike, for a while.
static void make_bases(void)
{
    for (int b = 0; b < N_BASES; b++)
        for (int64_t i = 0; i < length; i++)
            bases[b][i] = (int32_t)(3 + (i < 150 ? i * 7 : i < 200 && b ? i * 5 : i * (11 + b)) % (n_vocab - 3));
}

static void make_reference(void)
{
    wf_error err = {0};
    session *s;
    check(session_create(program_of, two, length, length, &s, &err), &err);
    reference = malloc((size_t)(N_BASES * length * n_vocab) * sizeof *reference);
    assert_non_null(reference);
    for (int b = 0; b < N_BASES; b++) {
        check(session_truncate(s, 0, &err), &err);
        check(session_eval(s, bases[b], length, 0, &err), &err);
        memcpy(reference + b * length * n_vocab, session_logits(s, 0), (size_t)(length * n_vocab) * sizeof *reference);
    }
    session_free(s);
}

static void check_rows(const place *p, int64_t first, int64_t n, int64_t row)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(engine_logits(e, row + i), reference_row(p->base, first + i), (size_t)n_vocab * sizeof(float)))
            fail_msg("token %d of base %d has other logits", (int)(first + i), p->base);
}

static void step(void)
{
    wf_error err = {0};
    step_part parts[N_SEQUENCES];
    place *which[N_SEQUENCES];
    int64_t n_rows = 0, room = engine_batch(e), row = 0;
    uint32_t n = 0;
    for (int i = 0; i < N_SEQUENCES; i++) {
        place *p = &places[i];
        int64_t size = rand() % 2 ? 1 : 1 + rand() % 60;
        if (rand() % 4 == 0 || size > room || size > length - p->n) continue;
        if (!sequence_reserve(p->q, size)) { // the cache is full: one gives way
            check(sequence_truncate(p->q, 0, &err), &err);
            p->n = 0;
            continue;
        }
        parts[n] = (step_part){p->q, bases[p->base] + p->n, size, rand() % (size + 1)};
        n_rows += size - parts[n].first_logits;
        room -= size;
        which[n++] = p;
    }
    if (n == 0) return;
    check(engine_begin_logits(e, n_rows, &err), &err);
    check(engine_step(e, parts, n, &err), &err);
    for (uint32_t i = 0; i < n; i++) {
        int64_t first = parts[i].first_logits, rows = parts[i].n - first;
        check_rows(which[i], which[i]->n + first, rows, row);
        which[i]->n += parts[i].n;
        row += rows;
    }
}

static void keep_and_restore(place *p)
{
    wf_error err = {0};
    unsigned char *state = malloc(sequence_state_bytes(p->q, p->n) + 1);
    assert_non_null(state);
    sequence_get_state(p->q, state);
    // one that shares blocks may need more than there are
    wf_status status = sequence_set_state(p->q, bases[p->base], p->n, state, &err);
    if (status != WF_ERROR_LIMIT) check(status, &err);
    assert_int_equal(sequence_past(p->q), p->n);
    free(state);
}

static void change_one(void)
{
    wf_error err = {0};
    place *p = &places[rand() % N_SEQUENCES], *other = &places[rand() % N_SEQUENCES];
    switch (rand() % 4) {
    case 0:
        p->n -= rand() % (p->n < 20 ? p->n + 1 : 20);
        check(sequence_truncate(p->q, p->n, &err), &err);
        break;
    case 1:
        if (p == other) break;
        p->base = other->base;
        p->n = rand() % (other->n + 1);
        check(sequence_copy(p->q, other->q, p->n, &err), &err);
        break;
    case 2:
        p->base = rand() % N_BASES;
        p->n = sequence_match(p->q, bases[p->base], rand() % length);
        break;
    case 3: keep_and_restore(p); break;
    default: break;
    }
}

static void sequences(int n_threads)
{
    wf_error err = {0};
    const engine_options sizes = {.n_ctx = length, .n_batch = 130, .n_blocks = kv_blocks(length) + 6};
    check(thread_pool_create(n_threads, &pool, &err), &err);
    check(engine_create(program_of, pool, &sizes, &e, &err), &err);
    for (int i = 0; i < N_SEQUENCES; i++) {
        places[i] = (place){.base = i % N_BASES};
        check(sequence_create(e, &places[i].q, &err), &err);
    }
    for (int i = 0; i < N_STEPS; i++) {
        step();
        if (rand() % 3 == 0) change_one();
    }
    for (int i = 0; i < N_SEQUENCES; i++) sequence_free(places[i].q);
    assert_int_equal(engine_blocks(e).n_used, 0);
    engine_free(e);
    thread_pool_free(pool);
}

// ---- requests

typedef struct answer {
    int32_t tokens[N_ANSWER];
    int n;
} answer;

static bool collect(answer *a, int32_t token)
{
    if (token >= 0) a->tokens[a->n++] = token;
    return true;
}

static bool collect_text(void *context, int32_t token, const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
    return collect(context, token);
}

static bool collect_piece(void *context, const wf_piece *piece) { return collect(context, piece->token); }

static wf_sampler_options sampling(int i)
{
    wf_sampler_options options = wf_sampler_defaults();
    options.seed = (uint64_t)i;
    options.temperature = i % 2 ? 0.7 : 0;
    return options;
}

static size_t prompt_length(int i) { return (size_t)((length - N_ANSWER) * (i + 1) / N_REQUESTS); }

static void answer_alone(int i, answer *a)
{
    wf_error err = {0};
    wf_session *s;
    wf_sampler *choose;
    wf_sampler_options options = sampling(i);
    check(wf_session_create(m, length, 0, &s, &err), &err);
    check(wf_sampler_create(m, &options, &choose, &err), &err);
    const wf_generate_options how = {.n_max = N_ANSWER, .ignore_end = true, .callback = collect_text, .context = a};
    check(wf_generate(s, choose, bases[i % N_BASES], prompt_length(i), &how, NULL, &err), &err);
    wf_sampler_free(choose);
    wf_session_free(s);
}

static void requests(const answer *wanted, bool speculate)
{
    wf_error err = {0};
    wf_engine *of;
    answer answers[N_REQUESTS] = {0};
    const model_sizes *sizes = &m->compiled->sizes;
    size_t block_bytes;
    assert_true(kv_block_bytes(&sizes->kv, &block_bytes));
    const wf_engine_options options = {.n_ctx = length,
                                       .n_sequences = 4,
                                       .n_batch = 64,
                                       .cache_bytes = (size_t)(kv_blocks(length) + 1) * block_bytes,
                                       .speculate = speculate};
    check(wf_engine_create(m, &options, &of, &err), &err);
    for (int i = 0; i < N_REQUESTS; i++) {
        wf_sampler_options own = sampling(i);
        const wf_request_options request = {.prompt = bases[i % N_BASES],
                                            .n_prompt = prompt_length(i),
                                            .sampler = &own,
                                            .n_max = N_ANSWER,
                                            .ignore_end = true,
                                            .callback = collect_piece,
                                            .context = &answers[i]};
        check(wf_engine_submit(of, &request, NULL, &err), &err);
        wf_engine_step(of, NULL, &err);
    }
    bool idle = false;
    while (!idle) check(wf_engine_step(of, &idle, &err), &err);
    wf_engine_free(of);
    for (int i = 0; i < N_REQUESTS; i++) {
        assert_int_equal(answers[i].n, wanted[i].n);
        assert_memory_equal(answers[i].tokens, wanted[i].tokens, sizeof answers[i].tokens);
    }
}

// ---- models

static void check_sequences(void)
{
    n_vocab = program_of->sizes.n_vocab;
    int64_t most = MEMORY / (N_BASES * n_vocab * (int64_t)sizeof(float));
    length = program_of->sizes.n_ctx_train < MOST ? program_of->sizes.n_ctx_train : MOST;
    if (length > most) length = most;
    make_bases();
    make_reference();
    srand(1);
    for (int n_threads = 1; n_threads <= 3; n_threads++) sequences(n_threads);
    free(reference);
}

static void check_requests(void)
{
    answer wanted[N_REQUESTS] = {0};
    for (int i = 0; i < N_REQUESTS; i++) answer_alone(i, &wanted[i]);
    for (int speculate = 0; speculate < 2; speculate++) requests(wanted, speculate);
}

static char **arguments;

static void given_models(void **state)
{
    (void)state;
    for (char **path = arguments; *path; path++) {
        wf_error err = {0};
        check(wf_model_open(*path, &(wf_model_options){.n_threads = 2}, &m, &err), &err);
        program_of = m->compiled;
        two = m->pool;
        check_sequences();
        check_requests();
        wf_model_close(m);
    }
}

static void tiny_models(void **state)
{
    (void)state;
    char folder[PATH_MAX / 2], path[PATH_MAX];
    int n = 0;
    assert_int_equal(thread_pool_create(2, &two, NULL), WF_OK);
    snprintf(folder, sizeof folder, "%s/test/data/tiny", getenv("WELFORD_SOURCE"));
    DIR *models = opendir(folder);
    assert_non_null(models);
    for (const struct dirent *entry; (entry = readdir(models)); n++) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        wf_error err = {0};
        check(compiled_model_open(path, &(wf_model_options){0}, &program_of, &err), &err);
        check(compiled_model_load(program_of, two, &err), &err);
        check_sequences();
        compiled_model_close(program_of);
    }
    closedir(models);
    thread_pool_free(two);
    assert_true(n > 10);
}

int main(int argc, char **argv)
{
    arguments = argv + 1;
    const struct CMUnitTest given[] = {cmocka_unit_test(given_models)}, tiny[] = {cmocka_unit_test(tiny_models)};
    return argc > 1 ? cmocka_run_group_tests(given, NULL, NULL) : cmocka_run_group_tests(tiny, NULL, NULL);
}
