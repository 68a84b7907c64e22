// The pace on machines whose steps cost what a formula says, with noise and now and then an interruption.
#include "engine/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct machine {
    double step, stream, token; // seconds: of any step, of each stream, of each token of a prompt
    double drift;               // by how much all become slower in a step
} machine;

static double noise(void) { return 1 + 0.1 * ((double)rand() / RAND_MAX - 0.5); }

static double alone(const machine *m, int64_t n_streams) { return m->step + m->stream * (double)n_streams; }

// Steps of some streams with prompts enough; the part of them that took more than twice as long as the streams alone.
static double run(machine m, pace *p, int n_steps, int64_t *n_prompt)
{
    int slow = 0;
    for (int i = 0; i < n_steps; i++) {
        int64_t n_streams = 1 + i / 100 % 7, share = pace_share(p, n_streams, 512 - n_streams);
        double seconds = (alone(&m, n_streams) + m.token * (double)share) * noise();
        assert_true(share >= 0 && share <= 512 - n_streams);
        if (pace_wants_alone(p, n_streams)) assert_int_equal(share, 0);
        slow += seconds > 2 * alone(&m, n_streams);
        *n_prompt += share;
        pace_note(p, n_streams, share, i % 500 == 77 ? 50 * seconds : seconds);
        m.step *= 1 + m.drift, m.stream *= 1 + m.drift, m.token *= 1 + m.drift;
    }
    return (double)slow / n_steps;
}

static void gaps_are_bounded(void **state)
{
    (void)state;
    static const machine MACHINES[] = {
        {0.03, 0.001, 0.008, 0}, {0.003, 0.0001, 0.0005, 0}, {0.001, 0.01, 0.0001, 0}, {0.03, 0.001, 0.002, 1e-3}};
    for (size_t i = 0; i < sizeof MACHINES / sizeof *MACHINES; i++) {
        pace p = {0};
        int64_t n_prompt = 0, most = 0;
        srand((unsigned)i);
        assert_true(run(MACHINES[i], &p, 3000, &n_prompt) < 0.01);
        for (int k = 0; k < 3000; k++) most += (int64_t)(alone(&MACHINES[i], 1 + k / 100 % 7) / MACHINES[i].token);
        if (MACHINES[i].drift == 0 && most < 3000 * 500) assert_true(n_prompt > most / 2); // nor is time wasted
    }
}

static void nobody_waits_for_ever(void **state)
{
    (void)state;
    pace p = {0};
    const machine slow = {0.001, 0.0001, 10, 0}; // a token of a prompt takes as long as a thousand of answers
    int64_t n_prompt = 0;
    run(slow, &p, 1000, &n_prompt);
    assert_true(n_prompt > 900);
    assert_int_equal(pace_share(&p, 0, 300), 300); // nobody reads
}

static void rows_have_a_cost(void **state)
{
    (void)state;
    pace p = {0};
    assert_true(pace_row_cost(&p, 4) == 0);
    for (int i = 0; i < 200; i++) {
        pace_note(&p, 4, 0, 0.1);
        pace_note(&p, 4, 20, 0.2); // 5 ms a row; a stream's share is 25
    }
    assert_float_equal(pace_row_cost(&p, 4), 0.2, 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_bounded),
        cmocka_unit_test(nobody_waits_for_ever),
        cmocka_unit_test(rows_have_a_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
