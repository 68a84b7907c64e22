#include "engine/session.h"

#include <stdio.h>
#include <string.h>

#include "engine/fake_model.h"

static fake_model fake;

static int set_up(void **state)
{
    (void)state;
    fake_model_create(&fake, 2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_model_free(&fake);
    return 0;
}

static session *create(int64_t n_ctx, int64_t n_batch)
{
    session *s;
    wf_error err = {0};
    assert_int_equal(session_create(&fake.m, fake.pool, n_ctx, n_batch, &s, &err), WF_OK);
    return s;
}

static void fill_tokens(int32_t *tokens, int64_t n, int seed)
{
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)((i * i * 7 + i * 13 + seed) % FAKE_VOCAB);
}

// Every logit of the last evaluation against the definition; `all` is the whole sequence up to n.
static void check_logits(const session *s, const int32_t *all, int64_t n, int64_t n_rows)
{
    assert_int_equal(session_logits_count(s), n_rows);
    for (int64_t row = 0; row < n_rows; row++) {
        const float *logits = session_logits(s, row);
        assert_non_null(logits);
        for (int64_t v = 0; v < FAKE_VOCAB; v++)
            assert_true(logits[v] == fake_expected(&fake, all, n - n_rows + row + 1, v));
    }
    assert_null(session_logits(s, n_rows));
    assert_null(session_logits(s, -1));
}

static void sizes_are_checked(void **state)
{
    (void)state;
    session *s;
    wf_error err = {0};
    assert_int_equal(session_create(&fake.m, fake.pool, FAKE_CTX + 1, 0, &s, &err), WF_ERROR_USAGE);
    assert_non_null(strstr(err.message, "300"));
    assert_null(s);
    assert_int_equal(session_create(&fake.m, fake.pool, -1, 0, &s, &err), WF_ERROR_USAGE);
    assert_int_equal(session_create(&fake.m, fake.pool, 0, -5, &s, &err), WF_ERROR_USAGE);
    s = create(0, 0);
    assert_int_equal(session_context(s), FAKE_CTX);
    assert_int_equal(session_batch(s), FAKE_CTX); // no larger than the context
    session_free(s);
    session_free(NULL);
}

// Before there is a session: the same refusals, and a cache that no machine has the memory for.
static void sizes_are_checked_before(void **state)
{
    (void)state;
    model_sizes sizes = {.n_vocab = 8, .n_ctx_train = 1 << 30, .kv = {.n_layer = 1, .n_kv_heads = 1, .head_dim = 16}};
    engine_options o = {0};
    wf_error err = {0};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_OK);
    assert_int_equal(o.n_ctx, ENGINE_DEFAULT_CONTEXT);
    assert_int_equal(o.n_batch, ENGINE_DEFAULT_BATCH);
    assert_int_equal(o.n_sequences, 1);
    assert_int_equal(o.n_blocks, ENGINE_DEFAULT_CONTEXT / KV_BLOCK);
    o = (engine_options){.n_blocks = 3, .n_sequences = 2};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_OK);
    assert_int_equal(o.n_ctx, 3 * KV_BLOCK);
    o = (engine_options){.n_blocks = 3, .n_ctx = 3 * KV_BLOCK + 1};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_ERROR_USAGE);
    assert_string_equal(err.message, "a context of 193 tokens: the cache has 3 blocks of 64 tokens");
    o = (engine_options){.n_sequences = -1};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_ERROR_USAGE);
    o = (engine_options){.n_ctx = sizes.n_ctx_train + 1};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_ERROR_USAGE);
    o = (engine_options){.n_ctx = 8, .n_batch = -1};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_ERROR_USAGE);
    sizes.kv = (kv_layout){.n_layer = 1000, .n_kv_heads = 1000, .head_dim = 1000};
    o = (engine_options){.n_ctx = sizes.n_ctx_train}; // 2^62 bytes
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_ERROR_MEMORY);
    assert_non_null(strstr(err.message, "a context of 1073741824 tokens needs 4329327034368000000 bytes of memory"));
    o = (engine_options){.n_ctx = 1};
    sizes.kv = (kv_layout){.n_layer = 1, .n_kv_heads = 1, .head_dim = 1000};
    assert_int_equal(engine_check_sizes(&sizes, &o, &err), WF_OK);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    session *s;
    wf_error err = {0};
    fake.m.executable.program.kv = (kv_layout){KV_MOST_LAYERS, KV_MOST_HEADS, KV_MOST_FEATURES, KV_F32};
    assert_int_equal(session_create(&fake.m, fake.pool, 0, 0, &s, &err), WF_ERROR_MEMORY);
    assert_null(s);
}

// The same sequence in one go, in chunks of every size, token by token: the same logits.
static void chunks_change_nothing(void **state)
{
    (void)state;
    int32_t tokens[200];
    fill_tokens(tokens, 200, 3);
    static const int64_t batches[] = {1, 7, 64, 199, 200, 512};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        for (int64_t first = 0; first <= 200; first += 50) {
            session *s = create(0, batches[i]);
            assert_int_equal(session_eval(s, tokens, 200, first, NULL), WF_OK);
            assert_int_equal(session_past(s), 200);
            check_logits(s, tokens, 200, 200 - first);
            session_free(s);
        }
    }
}

static void calls_follow_each_other(void **state)
{
    (void)state;
    int32_t tokens[FAKE_CTX];
    fill_tokens(tokens, FAKE_CTX, 5);
    session *s = create(0, 16);
    static const int64_t parts[] = {33, 1, 1, 16, 15, 17, 1, 100, 116};
    int64_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_int_equal(session_eval(s, tokens + n, parts[i], parts[i] - 1, NULL), WF_OK);
        n += parts[i];
        check_logits(s, tokens, n, 1);
    }
    assert_int_equal(n, FAKE_CTX);
    assert_memory_equal(session_tokens(s), tokens, sizeof tokens);
    session_free(s);
}

static void truncation_forgets(void **state)
{
    (void)state;
    int32_t tokens[120], other[120];
    fill_tokens(tokens, 120, 1);
    fill_tokens(other, 120, 2);
    session *s = create(0, 32);
    wf_error err = {0};
    assert_int_equal(session_eval(s, tokens, 120, 119, NULL), WF_OK);
    assert_int_equal(session_truncate(s, 121, &err), WF_ERROR_USAGE);
    assert_int_equal(session_truncate(s, -1, &err), WF_ERROR_USAGE);
    assert_int_equal(session_past(s), 120);
    assert_int_equal(session_truncate(s, 50, &err), WF_OK);
    assert_int_equal(session_past(s), 50);
    assert_null(session_logits(s, 0));

    memcpy(other, tokens, 50 * sizeof *tokens);
    assert_int_equal(session_common_prefix(s, other, 120), 50);
    assert_int_equal(session_common_prefix(s, other, 20), 20);
    assert_int_equal(session_eval(s, other + 50, 70, 0, NULL), WF_OK);
    check_logits(s, other, 120, 70);
    other[10] = (other[10] + 1) % FAKE_VOCAB;
    assert_int_equal(session_common_prefix(s, other, 120), 10);
    session_free(s);
}

// The limit is the caller's, not the capacity that the program rounds it up to; a refusal leaves everything as it was.
static void context_limit(void **state)
{
    (void)state;
    int32_t tokens[101];
    fill_tokens(tokens, 101, 9);
    session *s = create(100, 32);
    wf_error err = {0};
    assert_int_equal(session_eval(s, tokens, 101, 100, &err), WF_ERROR_LIMIT);
    assert_int_equal(session_past(s), 0);
    assert_int_equal(session_eval(s, tokens, 99, 98, &err), WF_OK);
    assert_int_equal(session_eval(s, tokens + 99, 2, 1, &err), WF_ERROR_LIMIT);
    assert_string_equal(err.message, "the context is full: 99 tokens in it and 2 more, room for 100");
    assert_int_equal(session_past(s), 99);
    check_logits(s, tokens, 99, 1);
    assert_int_equal(session_eval(s, tokens + 99, 1, 0, &err), WF_OK);
    check_logits(s, tokens, 100, 1);
    assert_int_equal(session_eval(s, tokens, 1, 0, &err), WF_ERROR_LIMIT);
    session_free(s);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    session *s = create(0, 0);
    wf_error err = {0};
    int32_t tokens[] = {1, 2, FAKE_VOCAB};
    assert_int_equal(session_eval(s, tokens, 3, 0, &err), WF_ERROR_USAGE);
    assert_string_equal(err.message, "token 261 at index 2 is outside the vocabulary of 261");
    tokens[2] = -1;
    assert_int_equal(session_eval(s, tokens, 3, 0, &err), WF_ERROR_USAGE);
    assert_int_equal(session_eval(s, tokens, 0, 0, &err), WF_ERROR_USAGE);
    assert_int_equal(session_eval(s, tokens, 2, 3, &err), WF_ERROR_USAGE);
    assert_int_equal(session_eval(s, tokens, 2, -1, &err), WF_ERROR_USAGE);
    assert_int_equal(session_past(s), 0);
    session_free(s);
}

// Pages that no call touches cost nothing: a context of a million tokens with 64 KiB of cache a token.
static void reserving_is_free(void **state)
{
    (void)state;
    fake.m.executable.program.n_ctx_train = 1 << 20;
    fake.m.executable.program.kv = (kv_layout){.n_layer = 512, .n_kv_heads = 1, .head_dim = 16, .type = KV_F32};
    session *s = create(1 << 20, 0);
    int32_t token = 7;
    assert_int_equal(session_eval(s, &token, 1, 0, NULL), WF_OK);
    check_logits(s, &token, 1, 1);
    session_free(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_checked),     TEST(sizes_that_overflow_are_refused), TEST(sizes_are_checked_before),
        TEST(chunks_change_nothing), TEST(calls_follow_each_other),         TEST(truncation_forgets),
        TEST(context_limit),         TEST(arguments_are_checked),           TEST(reserving_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
