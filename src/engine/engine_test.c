// Steps over several sequences, on a model whose every logit tells which tokens it was computed from (fake_model.h); blocks
// of the cache that they share, and that run out.
#include "engine/engine.h"

#include "engine/fake_model.h"

enum { N_SEQUENCES = 7, N_CTX = FAKE_CTX, N_BATCH = 64 };
enum { BLOCKS_A_CONTEXT = (N_CTX + KV_BLOCK - 1) / KV_BLOCK, FEW_BLOCKS = 2 * BLOCKS_A_CONTEXT };

static fake_model fake;
static engine *e;
static sequence *sequences[N_SEQUENCES];
static int32_t tokens[N_SEQUENCES][N_CTX]; // what each should hold
static int64_t n_past[N_SEQUENCES];

static int set_up_threads(int n_threads, int64_t n_blocks)
{
    fake_model_create(&fake, n_threads);
    const engine_options sizes = {.n_ctx = N_CTX, .n_batch = N_BATCH, .n_sequences = N_SEQUENCES, .n_blocks = n_blocks};
    assert_int_equal(engine_create(&fake.m, fake.pool, &sizes, &e, NULL), WF_OK);
    for (int i = 0; i < N_SEQUENCES; i++) {
        assert_int_equal(sequence_create(e, &sequences[i], NULL), WF_OK);
        n_past[i] = 0;
    }
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_threads(1, 0);
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < N_SEQUENCES; i++) sequence_free(sequences[i]);
    assert_int_equal(engine_blocks(e).n_used, 0);
    engine_free(e);
    fake_model_free(&fake);
    return 0;
}

static void check_row(int64_t row, int i, int64_t n)
{
    const float *logits = engine_logits(e, row);
    assert_non_null(logits);
    for (int v = 0; v < FAKE_VOCAB; v++) assert_true(logits[v] == fake_expected(&fake, tokens[i], n, v));
}

// A step of some sequences, in any order, each with a few tokens or with many.
static void step(void)
{
    step_part parts[N_SEQUENCES];
    int which[N_SEQUENCES], n = 0;
    int64_t n_rows = 0, room = N_BATCH;
    for (int i = 0; i < N_SEQUENCES; i++) {
        int q = (i * 3 + rand()) % N_SEQUENCES;
        bool there = false;
        for (int k = 0; k < n; k++) there = there || which[k] == q;
        int64_t size = rand() % 3 ? 1 : 1 + rand() % 20;
        if (there || size > room || size > N_CTX - n_past[q]) continue;
        for (int64_t k = 0; k < size; k++) tokens[q][n_past[q] + k] = rand() % FAKE_VOCAB;
        parts[n] = (step_part){sequences[q], &tokens[q][n_past[q]], size, rand() % (size + 1)};
        which[n++] = q;
        room -= size;
        n_rows += size - parts[n - 1].first_logits;
    }
    if (n == 0) return;
    assert_int_equal(engine_begin_logits(e, n_rows, NULL), WF_OK);
    if (engine_step(e, parts, (uint32_t)n, NULL) != WF_OK) { // too few blocks
        assert_int_equal(engine_blocks(e).n_blocks, FEW_BLOCKS);
        for (int i = 0; i < n; i++) assert_int_equal(sequence_past(sequences[which[i]]), n_past[which[i]]);
        assert_int_equal(engine_logits_count(e), 0);
        n_past[which[0]] = 0;
        assert_int_equal(sequence_truncate(sequences[which[0]], 0, NULL), WF_OK);
        return;
    }
    assert_int_equal(engine_logits_count(e), n_rows);
    int64_t row = 0;
    for (int i = 0; i < n; i++) {
        int q = which[i];
        for (int64_t k = parts[i].first_logits; k < parts[i].n; k++) check_row(row++, q, n_past[q] + k + 1);
        n_past[q] += parts[i].n;
        assert_int_equal(sequence_past(sequences[q]), n_past[q]);
        assert_int_equal(sequence_common_prefix(sequences[q], tokens[q], n_past[q]), n_past[q]);
    }
}

// Becomes what is known of another's beginning and some tokens more.
static void match(int q, int from)
{
    int32_t wanted[N_CTX];
    int64_t n = rand() % (n_past[from] + 1);
    memcpy(wanted, tokens[from], (size_t)n * sizeof *wanted);
    while (n < N_CTX && rand() % 40) wanted[n++] = rand() % 3;
    int64_t own = sequence_common_prefix(sequences[q], wanted, n), found = sequence_match(sequences[q], wanted, n);
    assert_true(found >= own && found <= n);
    if (found > own) assert_int_equal(found % KV_BLOCK, 0);
    memcpy(tokens[q], wanted, (size_t)found * sizeof *wanted);
    n_past[q] = found;
    assert_int_equal(sequence_past(sequences[q]), found);
    assert_int_equal(sequence_common_prefix(sequences[q], wanted, n), found);
}

// Steps, truncations, copies and searches in any order: each row is what its own sequence alone would give.
static void sequences_do_not_mix(void **state)
{
    (void)state;
    for (int run = 0; run < 6; run++) {
        set_up_threads(1 + run % 3, run < 3 ? 0 : FEW_BLOCKS);
        srand((unsigned)run);
        for (int i = 0; i < 600; i++) {
            int q = rand() % N_SEQUENCES, from = rand() % N_SEQUENCES, what = rand() % 20;
            if (what < 2) {
                n_past[q] = what ? rand() % (n_past[q] + 1) : n_past[q] - n_past[q] / 8;
                assert_int_equal(sequence_truncate(sequences[q], n_past[q], NULL), WF_OK);
            } else if (what == 2 && q != from) {
                n_past[q] = rand() % (n_past[from] + 1);
                memcpy(tokens[q], tokens[from], (size_t)n_past[q] * sizeof **tokens);
                assert_int_equal(sequence_copy(sequences[q], sequences[from], n_past[q], NULL), WF_OK);
            } else if (what == 3) {
                match(q, from);
            } else {
                step();
            }
        }
        tear_down(NULL);
    }
}

static void append(int q, int64_t n)
{
    assert_int_equal(engine_begin_logits(e, 1, NULL), WF_OK);
    for (int64_t end = n_past[q] + n, size; n_past[q] < end; n_past[q] += size) {
        size = end - n_past[q] < N_BATCH ? end - n_past[q] : N_BATCH;
        bool last = n_past[q] + size == end;
        const step_part part = {sequences[q], &tokens[q][n_past[q]], size, last ? size - 1 : size};
        assert_int_equal(engine_step(e, &part, 1, NULL), WF_OK);
    }
    check_row(0, q, n_past[q]);
}

// A beginning that is there is found, while another uses it and after it is gone, and takes no memory twice.
static void beginnings_are_shared(void **state)
{
    (void)state;
    enum { COMMON = 3 * KV_BLOCK + 5, OWN = 40 };
    for (int q = 0; q < N_SEQUENCES; q++)
        for (int i = 0; i < N_CTX; i++) tokens[q][i] = i < COMMON ? i * i % 200 : q + i;
    append(0, COMMON + OWN);
    for (int q = 1; q < N_SEQUENCES; q++) {
        int64_t found = sequence_match(sequences[q], tokens[q], COMMON + OWN);
        assert_int_equal(found, 3 * KV_BLOCK);
        n_past[q] = found;
        append(q, COMMON + OWN - found);
        assert_int_equal(engine_blocks(e).n_used, 3 + (q + 1)); // what is common, and a block of each
    }
    for (int q = 0; q < N_SEQUENCES; q++) assert_int_equal(sequence_truncate(sequences[q], 0, NULL), WF_OK);
    assert_int_equal(engine_blocks(e).n_used, 0);
    assert_int_equal(engine_blocks(e).n_kept, 3);
    assert_int_equal(sequence_match(sequences[0], tokens[0], 2 * KV_BLOCK + 1), 2 * KV_BLOCK);
    n_past[0] = 2 * KV_BLOCK;
    append(0, 10);
    // the whole of a prompt that is known: its last token is computed again, in a block that nobody else sees
    assert_int_equal(sequence_match(sequences[1], tokens[1], 3 * KV_BLOCK), 3 * KV_BLOCK);
    n_past[1] = 3 * KV_BLOCK - 1;
    assert_int_equal(sequence_truncate(sequences[1], n_past[1], NULL), WF_OK);
    append(1, 1);
    assert_int_equal(sequence_match(sequences[2], tokens[2], N_CTX), 3 * KV_BLOCK);
}

static void refusals_change_nothing(void **state)
{
    (void)state;
    static const int32_t some[N_BATCH + 1] = {1, 2, 3}, bad[] = {1, FAKE_VOCAB};
    sequence *a = sequences[0], *b = sequences[1];
    step_part good = {a, some, 3, 0};
    assert_int_equal(engine_begin_logits(e, 10, NULL), WF_OK);
    assert_int_equal(engine_step(e, &good, 1, NULL), WF_OK);
    const step_part cases[][2] = {
        {{a, some, 2, 0}, {b, bad, 2, 0}},       // no token
        {{a, some, 2, 0}, {b, some, 2, 3}},      // logits of none
        {{a, some, 2, 0}, {b, some, 0, 0}},      // no tokens
        {{a, some, 2, 0}, {a, some, 2, 0}},      // twice
        {{a, some, 2, 0}, {b, some, N_BATCH, 0}} // too many
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_error err = {0};
        assert_int_equal(engine_step(e, cases[i], 2, &err), WF_ERROR_USAGE);
        assert_true(err.message[0] != 0);
        assert_int_equal(sequence_past(a), 3);
        assert_int_equal(sequence_past(b), 0);
        assert_int_equal(engine_logits_count(e), 3);
    }
    assert_int_equal(engine_step(e, cases[0], 0, NULL), WF_ERROR_USAGE);
    for (int i = 0; i < (N_CTX - 3) / 33; i++)
        assert_int_equal(engine_step(e, &(step_part){a, some, 33, 33}, 1, NULL), WF_OK);
    assert_int_equal(sequence_past(a), N_CTX);
    assert_int_equal(engine_step(e, &(step_part){a, some, 1, 1}, 1, NULL), WF_ERROR_LIMIT);
    assert_int_equal(sequence_copy(b, a, N_CTX + 1, NULL), WF_ERROR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_do_not_mix),
        cmocka_unit_test_setup_teardown(beginnings_are_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_change_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
