// Requests of all kinds at once, on a model whose every logit depends on all that came before (fake_model.h): each gets
// the answer that follows from its prompt and options alone, whatever runs beside it, however the prompts are cut, with
// blocks enough or too few, guessed tokens or none.
#include "engine/scheduler.h"

#include <string.h>

#include "base/test_folder.h"
#include "engine/fake_vocabulary.h"

enum { N_REQUESTS = 40, N_CTX = 200, BLOCKS_A_CONTEXT = (N_CTX + KV_BLOCK - 1) / KV_BLOCK };

static fake_model fake;
static test_vocabulary vocabulary;
static wf_model m;
static engine *e;
static scheduler *s;
static prefix_store *store; // NULL: none

// A request, what came of it, and what should.
typedef struct task {
    request r;
    int32_t prompt[N_CTX], answer[N_CTX], wanted[N_CTX];
    size_t n_prompt;
    int n_answer, n_wanted, stop_after; // stop_after: the callback then says that it is enough; 0: never
    double logprobs[N_CTX], wanted_logprobs[N_CTX];
    bool finished, cancelled;
    wf_generation result;
    wf_error error;
    wf_sampler_options sampler;
    int64_t n_max;
} task;

static task tasks[N_REQUESTS];
static int n_finished;

// Time goes on by a little with every look, and by the tokens of a step.
static double now;
static double tick(void) { return now += 1e-3; }

static bool listen(void *context, const wf_piece *piece)
{
    task *t = context;
    assert_false(t->finished);
    if (piece->finished) {
        t->finished = true;
        t->result = *piece->finished;
        if (piece->error) t->error = *piece->error;
        assert_int_equal(piece->token, -1);
        return true;
    }
    t->logprobs[t->n_answer] = piece->logprob;
    assert_int_equal(piece->top[0].token == piece->token, piece->logprob == piece->top[0].logprob);
    assert_true(piece->top[0].logprob >= piece->top[1].logprob && piece->logprob <= piece->top[0].logprob);
    t->answer[t->n_answer++] = piece->token;
    return t->n_answer != t->stop_after;
}

static void let_go(void *context, request *r)
{
    (void)context;
    n_finished++;
    request_free(r);
}

// The answer by definition.
static void answer_alone(task *t)
{
    int32_t tokens[N_CTX + 1];
    float logits[FAKE_VOCAB];
    sampler *choose;
    int64_t n = (int64_t)t->n_prompt;
    memcpy(tokens, t->prompt, t->n_prompt * sizeof *tokens);
    assert_int_equal(sampler_create(&t->sampler, N_TOKENS, &choose, NULL), WF_OK);
    for (int64_t i = 0; i < n; i++) sampler_accept(choose, tokens[i]);
    t->n_wanted = 0;
    while (n <= N_CTX && (t->n_max == 0 || t->n_wanted < t->n_max)) {
        double sum = 0;
        for (int64_t v = 0; v < FAKE_VOCAB; v++) logits[v] = fake_expected(&fake, tokens, n, v);
        for (int64_t v = 0; v < FAKE_VOCAB; v++) sum += exp((double)logits[v]);
        int32_t token;
        assert_int_equal(sampler_pick(choose, logits, &token, NULL), WF_OK);
        sampler_accept(choose, token);
        if (token == IM_END) break;
        t->wanted_logprobs[t->n_wanted] = (double)logits[token] - log(sum);
        t->wanted[t->n_wanted++] = token;
        tokens[n++] = token;
        if (t->n_wanted == t->stop_after) break;
    }
    sampler_free(choose);
}

static void make_task(task *t, int number)
{
    *t = (task){.n_prompt = (size_t)(1 + rand() % (rand() % 2 ? N_CTX : 30)), .sampler = sampler_defaults()};
    int shared = rand() % 3; // prompts begin alike
    for (size_t i = 0; i < t->n_prompt; i++)
        t->prompt[i] = i < 70 ? (int32_t)(i * i + (size_t)shared) % 250 : rand() % (rand() % 2 ? 4 : 250);
    t->sampler.seed = (uint64_t)number;
    t->sampler.temperature = rand() % 2 ? 0 : 1;
    t->sampler.repeat_penalty = rand() % 4 ? 1 : 1.3;
    t->n_max = rand() % 3 ? 1 + rand() % 60 : 0;
    t->stop_after = rand() % 8 ? 0 : 1 + rand() % 10;
    answer_alone(t);
    const wf_request_options options = {.prompt = t->prompt,
                                        .n_prompt = t->n_prompt,
                                        .sampler = &t->sampler,
                                        .n_max = t->n_max,
                                        .n_top = 2,
                                        .callback = listen,
                                        .context = t};
    assert_int_equal(request_create(&m, &options, N_CTX, &t->r, NULL), WF_OK);
    scheduler_add(s, &t->r);
}

static int set_up(const engine_options *sizes, int64_t n_sequences, bool speculate, int n_threads)
{
    fake_model_create(&fake, n_threads);
    m = (wf_model){.pool = fake.pool, .compiled = &fake.m, .loaded = true};
    m.t = fake_open_tokenizer(&fake, &vocabulary);
    fake.m.sizes = (model_sizes){FAKE_VOCAB, FAKE_CTX, fake.m.executable.program.kv};
    assert_int_equal(engine_create(&fake.m, fake.pool, sizes, &e, NULL), WF_OK);
    engine_set_store(e, store);
    const scheduler_options options = {
        .n_sequences = n_sequences, .speculate = speculate, .clock = tick, .finished = let_go};
    assert_int_equal(scheduler_create(e, &options, &s, NULL), WF_OK);
    n_finished = 0;
    return 0;
}

static void tear_down(void)
{
    scheduler_free(s);
    assert_int_equal(engine_blocks(e).n_used, 0);
    engine_free(e);
    tokenizer_free(m.t);
    fake_model_free(&fake);
    free_vocabulary(&vocabulary);
}

static void check_task(const task *t)
{
    assert_true(t->finished);
    if (t->cancelled) {
        assert_int_equal(t->result.finish, WF_FINISH_CALLBACK);
        assert_true(t->n_answer <= t->n_wanted);
    } else {
        int64_t n = (int64_t)t->n_prompt + t->n_wanted;
        assert_int_equal(t->n_answer, t->n_wanted);
        if (t->stop_after && t->n_answer == t->stop_after)
            assert_int_equal(t->result.finish, WF_FINISH_CALLBACK);
        else if (t->n_wanted == t->n_max || n > N_CTX)
            assert_int_equal(t->result.finish, WF_FINISH_LENGTH);
        else
            assert_int_equal(t->result.finish, WF_FINISH_STOP);
    }
    assert_memory_equal(t->answer, t->wanted, (size_t)t->n_answer * sizeof *t->answer);
    for (int i = 0; i < t->n_answer; i++) assert_float_equal(t->logprobs[i], t->wanted_logprobs[i], 1e-9);
    assert_int_equal(t->result.n_prompt, t->n_prompt);
    assert_int_equal(t->result.n_generated, t->n_answer);
    assert_true(t->result.n_reused < t->result.n_prompt);
    assert_true(t->result.n_right <= t->result.n_guesses);
}

// Requests come while others run; some are cancelled on the way.
static scheduler_counts run_requests(int cancel_one_in)
{
    int n_made = 0;
    bool idle = false;
    for (int i = 0; n_made < N_REQUESTS || !idle; i++) {
        assert_true(i < 100000);
        while (n_made < N_REQUESTS && rand() % 3 == 0) make_task(&tasks[n_made], n_made), n_made++;
        int any = rand() % N_REQUESTS;
        if (cancel_one_in && any < n_made && !tasks[any].finished && rand() % cancel_one_in == 0) {
            atomic_store(&tasks[any].r.cancelled, true);
            tasks[any].cancelled = true;
        }
        scheduler_step(s, &idle);
    }
    assert_int_equal(n_finished, N_REQUESTS);
    for (int i = 0; i < N_REQUESTS; i++) check_task(&tasks[i]);
    scheduler_counts counts = scheduler_count(s);
    assert_int_equal(counts.n_waiting + counts.n_running, 0);
    assert_int_equal(counts.n_finished, N_REQUESTS);
    return counts;
}

// Noise, or tokens that repeat themselves, so that guesses come true.
static void write_script(bool repeats)
{
    for (int i = 0; i < FAKE_CAPACITY; i++) fake.script[i] = repeats ? i % 7 : FAKE_NOISE;
}

static void answers_do_not_depend_on_others(void **state)
{
    (void)state;
    int64_t n_put_aside = 0, n_reused = 0, n_right = 0;
    size_t block_bytes;
    assert_int_equal(make_root(), 0);
    assert_true(kv_block_bytes(&(kv_layout){1, 1, 1, KV_F32}, &block_bytes));
    prefix_store *kept;
    assert_int_equal(prefix_store_open(root, "fake", block_bytes, &kept, NULL), WF_OK);
    for (int run = 0; run < 24; run++) {
        const engine_options sizes = {.n_ctx = N_CTX,
                                      .n_batch = 8 + run % 5 * 30,
                                      .n_sequences = 8,
                                      .n_blocks = run % 2 ? BLOCKS_A_CONTEXT + run % 3 * 2 : 0};
        store = run % 4 == 3 ? kept : NULL;
        set_up(&sizes, 1 + run % 8, run % 3 == 0, 1 + run % 2);
        write_script(run % 4 < 2);
        srand((unsigned)run);
        scheduler_counts counts = run_requests(run % 5 ? 0 : 20);
        n_put_aside += counts.n_put_aside;
        n_reused += counts.n_reused;
        n_right += counts.n_right;
        tear_down();
    }
    assert_true(n_put_aside > 10); // the cases that this is about came up
    assert_true(n_reused > 1000);
    prefix_store_counts counts = prefix_store_count(kept);
    assert_true(counts.n_written > 10 && counts.n_read > 10 && counts.n_failed == 0);
    prefix_store_close(kept);
    store = NULL;
    remove_root(NULL);
    assert_true(n_right > 10);
}

static void what_is_left_is_finished(void **state)
{
    (void)state;
    set_up(&(engine_options){.n_ctx = N_CTX, .n_sequences = 2}, 2, false, 1);
    srand(5);
    bool idle;
    for (int i = 0; i < 6; i++) make_task(&tasks[i], i);
    for (int i = 0; i < 3; i++) scheduler_step(s, &idle);
    scheduler_finish_all(s);
    for (int i = 0; i < 6; i++) assert_true(tasks[i].finished);
    scheduler_step(s, &idle);
    assert_true(idle);
    tear_down();
}

// A model that computes no numbers fails those who see it, and nobody else.
static void failures_stay_where_they_are(void **state)
{
    (void)state;
    set_up(&(engine_options){.n_ctx = N_CTX, .n_sequences = 2}, 2, false, 1);
    srand(6);
    bool idle = false;
    make_task(&tasks[0], 0);
    while (tasks[0].n_prompt > 60 || tasks[0].n_max != 0 || tasks[0].stop_after) {
        scheduler_finish_all(s);
        make_task(&tasks[0], 0);
    }
    int64_t at = (int64_t)tasks[0].n_prompt + 10; // of a long answer
    make_task(&tasks[1], 1);
    while (tasks[1].n_prompt > 20 || tasks[1].n_max == 0 || tasks[1].n_max > 10) {
        request *r = &tasks[1].r;
        atomic_store(&r->cancelled, true);
        scheduler_step(s, &idle);
        make_task(&tasks[1], 1);
    }
    if (tasks[0].n_answer < 10) fake.script[at - 1] = FAKE_NAN;
    while (!idle) scheduler_step(s, &idle);
    check_task(&tasks[1]);
    assert_int_equal(tasks[0].result.finish, WF_FINISH_ERROR);
    assert_non_null(strstr(tasks[0].error.message, "NaN"));
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_do_not_depend_on_others),
        cmocka_unit_test(what_is_left_is_finished),
        cmocka_unit_test(failures_stay_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
