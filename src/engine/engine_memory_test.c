// Memory that runs out while an engine is made and answers: what cannot be made is refused, a request that cannot go on
// ends with the error, and nothing is lost.
#include <stdio.h>

#include "base/failing_memory.h"
#include "base/test_folder.h"
#include "engine/fake_vocabulary.h"
#include "engine/model.h"
#include "welford.h"

enum { N_REQUESTS = 3, N_PROMPT = 70 };

typedef struct place {
    fake_model fake;
    test_vocabulary vocabulary;
    wf_model model;
} place;

static wf_status finish(wf_engine *e, wf_request *const requests[N_REQUESTS], wf_error *err)
{
    bool idle = false;
    wf_status status = WF_OK;
    while (!idle) wf_engine_step(e, &idle, NULL);
    for (int i = 0; i < N_REQUESTS; i++) {
        wf_generation result;
        if (!requests[i]) continue;
        wf_status own = wf_request_wait(requests[i], &result, status == WF_OK ? err : NULL);
        if (own == WF_OK) assert_int_equal(result.finish, WF_FINISH_LENGTH);
        if (status == WF_OK) status = own;
    }
    wf_engine_counts counts = wf_engine_count(e);
    assert_int_equal(counts.n_blocks_used, 0);
    assert_int_equal(counts.n_waiting + counts.n_running, 0);
    return status;
}

static wf_status answer(void *context, wf_error *err)
{
    place *p = context;
    wf_engine *e;
    wf_request *requests[N_REQUESTS] = {NULL};
    int32_t prompt[N_PROMPT];
    wf_sampler_options greedy = wf_sampler_defaults();
    greedy.temperature = 0;
    const char *const stops[] = {"no such text"};
    const wf_engine_options options = {.n_ctx = 100, .n_sequences = 2, .n_batch = 32, .speculate = true};
    const wf_request_options how = {.prompt = prompt,
                                    .n_prompt = N_PROMPT,
                                    .sampler = &greedy,
                                    .n_max = 5,
                                    .stops = stops,
                                    .n_stops = 1,
                                    .ignore_end = true,
                                    .n_top = 3};
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = i % 7;
    TRY(wf_engine_create(&p->model, &options, &e, err));
    wf_status status = WF_OK;
    for (int i = 0; i < N_REQUESTS && status == WF_OK; i++) status = wf_engine_submit(e, &how, &requests[i], err);
    wf_status finished = finish(e, requests, status == WF_OK ? err : NULL);
    for (int i = 0; i < N_REQUESTS; i++) wf_request_free(requests[i]);
    wf_engine_free(e);
    return status == WF_OK ? finished : status;
}

static void test_engine(void **state)
{
    (void)state;
    static place p;
    fake_model_create(&p.fake, 1);
    p.model = (wf_model){.pool = p.fake.pool, .compiled = &p.fake.m, .loaded = true};
    p.model.t = fake_open_tokenizer(&p.fake, &p.vocabulary);
    p.fake.m.sizes = (model_sizes){FAKE_VOCAB, FAKE_CTX, p.fake.m.executable.program.kv};
    fail_each_allocation(answer, &p);
    tokenizer_free(p.model.t);
    fake_model_free(&p.fake);
    free_vocabulary(&p.vocabulary);
}

// ---- blocks on disk

static wf_status keep_block(void *context, wf_error *err)
{
    (void)context;
    static const int32_t tokens[KV_BLOCK];
    static unsigned char block[1000];
    prefix_store *s;
    TRY(prefix_store_open(root, "identity", sizeof block, &s, err));
    prefix_store_write(s, (prefix_key){0}, tokens, block);
    prefix_store_close(s);
    return WF_OK;
}

static void test_store(void **state)
{
    (void)state;
    assert_int_equal(make_root(), 0);
    failing.falls_back = true; // the oldest files stay
    fail_each_allocation(keep_block, NULL);
    failing.falls_back = false;
    remove_root(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine),
        cmocka_unit_test(test_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
