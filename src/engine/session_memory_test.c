// Memory that runs out while a session is made, evaluates, and is kept in a file.
#include <stdio.h>
#include <unistd.h>

#include "base/failing_memory.h"
#include "engine/fake_model.h"
#include "engine/session_file.h"

typedef struct place {
    fake_model fake;
    wf_model model;
    char path[64];
} place;

// One sequence, whose logits are checked after the failures too: a session that could not grow is as it was.
static wf_status evaluate(session *s, const fake_model *fake, wf_error *err)
{
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8};
    TRY(session_eval(s, tokens, 2, 1, err));
    wf_status status = session_eval(s, tokens + 2, 6, 0, err);
    if (status != WF_OK) {
        assert_int_equal(session_past(s), 2);
        assert_int_equal(session_logits_count(s), 1);
        assert_true(session_logits(s, 0)[3] == fake_expected(fake, tokens, 2, 3));
        return status;
    }
    assert_true(session_logits(s, 5)[3] == fake_expected(fake, tokens, 8, 3));
    return WF_OK;
}

static wf_status use_session(void *context, wf_error *err)
{
    place *p = context;
    session *s;
    TRY(session_create(&p->fake.m, p->fake.pool, 0, 4, &s, err));
    wf_status status = evaluate(s, &p->fake, err);
    session_free(s);
    return status;
}

static wf_status keep_session(void *context, wf_error *err)
{
    place *p = context;
    session *s, *other = NULL;
    bool restored;
    wf_status status;
    TRY(session_create(&p->fake.m, p->fake.pool, 0, 4, &s, err));
    TRY_GOTO(evaluate(s, &p->fake, err), done);
    TRY_GOTO(session_save(s, &p->model, p->path, err), done);
    TRY_GOTO(session_file_check(&p->model, 100, p->path, err), done);
    TRY_GOTO(session_create(&p->fake.m, p->fake.pool, 0, 4, &other, err), done);
    TRY_GOTO(session_restore(other, &p->model, p->path, &restored, err), done);
    assert_true(restored);
    assert_int_equal(session_past(other), 8);
done:
    session_free(other);
    session_free(s);
    remove(p->path);
    return status;
}

static void test_session(void **state)
{
    (void)state;
    static place p;
    fake_model_create(&p.fake, 1);
    fail_each_allocation(use_session, &p);
    fake_model_free(&p.fake);
}

static void test_file(void **state)
{
    (void)state;
    static place p;
    fake_model_create(&p.fake, 1);
    fake_model_add_file(&p.fake);
    p.model.compiled = &p.fake.m;
    snprintf(p.path, sizeof p.path, "/tmp/welford-session-memory-%d", (int)getpid());
    fail_each_allocation(keep_session, &p);
    fake_model_free(&p.fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
