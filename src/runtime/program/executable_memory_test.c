// Memory that runs out while programs are written, read, loaded and run.
#include <unistd.h>

#include "base/failing_memory.h"
#include "runtime/execute.h"
#include "runtime/function.h"
#include "runtime/program/test_program.h"

static wf_status load(void *context, wf_error *err)
{
    const buffer *image = context;
    executable exe;
    TRY(executable_load(image->data, image->len, "test", &exe, err));
    executable_free(&exe);
    return WF_OK;
}

static wf_status open_file(void *context, wf_error *err)
{
    executable exe;
    TRY(executable_open(context, &exe, err));
    executable_free(&exe);
    return WF_OK;
}

static wf_status read_plan(void *context, wf_error *err)
{
    const buffer *bytes = context;
    program p;
    TRY(program_read(bytes->data, bytes->len, "test", &p, err));
    program_free(&p);
    return WF_OK;
}

typedef struct source {
    program p;
    view object;
} source;

// A writer says it in its buffer.
static wf_status write_program(void *context, wf_error *err)
{
    const source *s = context;
    buffer image = {0};
    executable_write(&s->p, &s->object, 1, VIEW_LITERAL("constants"), &image);
    wf_status status = image.failed ? error_memory(err, image.len) : WF_OK;
    buffer_free(&image);
    return status;
}

static void test_program(void **state)
{
    (void)state;
    object o = compile(KERNELS, "");
    source s = {make_plan(), {o.data, o.bytes}};
    buffer image = {0}, program_bytes = {0};
    executable_write(&s.p, &s.object, 1, VIEW_LITERAL(""), &image);
    program_write(&s.p, &program_bytes);
    assert_false(image.failed || program_bytes.failed);
    fail_each_allocation(load, &image);
    fail_each_allocation(read_plan, &program_bytes);
    fail_each_allocation(write_program, &s);

    char path[] = "/tmp/welford-program-memory-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_write(path, image.data, image.len, NULL), WF_OK);
    fail_each_allocation(open_file, path);
    remove(path);
    buffer_free(&image);
    buffer_free(&program_bytes);
    free(o.data);
}

// ---- running

typedef struct machine {
    executable exe;
    thread_pool *pool;
} machine;

static void add_one(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    (void)dims;
    for (int64_t i = begin; i < end; i++) ((int32_t *)buffers[1])[i] = ((const int32_t *)buffers[0])[i] + 1;
}

static void count_runs(void *context, const execute_record *record)
{
    (void)record;
    ++*(int *)context;
}

// Where there is no memory to watch a run with, it goes unwatched (execute.c), and is right.
static wf_status call(void *context, wf_error *err)
{
    machine *m = context;
    function *f;
    int n_runs = 0;
    static _Alignas(64) int32_t in[4] = {1, 2, 3, 4}, out[4];
    TRY(function_of_program(&m->exe, NULL, m->pool, &f, err));
    function_observe(f, count_runs, &n_runs);
    wf_status status = function_call(f, (void *const[]){in, out}, err);
    function_close(f);
    if (status != WF_OK) return status;
    assert_int_equal(out[3], 5);
    return n_runs == 1 ? WF_OK : error_memory(err, 0);
}

static void test_function(void **state)
{
    (void)state;
    static const program_area AREAS[] = {{"arena", AREA_ARENA, {{64}}},    {"constants", AREA_CONSTANTS, {{0}}},
                                         {"math", AREA_MATH, {{8}}},       {"fault", AREA_FAULT, {{8}}},
                                         {"weights", AREA_WEIGHTS, {{0}}}, {"a", AREA_ARGUMENT, {{16}}},
                                         {"b", AREA_RESULT, {{16}}}};
    static const program_array ARRAYS[] = {{ARRAY_I32, 0, 1, {{{4}}}}, {ARRAY_I32, 0, 1, {{{4}}}}};
    static const program_buffer BUFFERS[] = {{.area = FUNCTION_ARRAYS, .bytes = {{16}}},
                                             {.area = FUNCTION_ARRAYS + 1, .bytes = {{16}}, .written = true}};
    static const program_call ADD = {.label = "add",
                                     .n_buffers = 2,
                                     .buffers = BUFFERS,
                                     .tiles = {.a = {{4}}, .divisor = 1, .factor = 1},
                                     .grain = 1};
    static const char *const NAMES_OF_ONE[] = {"add_one"};
    kernel_fn kernels[] = {add_one};
    machine m = {.exe = {.program = {.name = "f",
                                     .n_dims = 1,
                                     .dims = program_sequence_dims,
                                     .n_areas = FUNCTION_ARRAYS + 2,
                                     .areas = AREAS,
                                     .n_arguments = 1,
                                     .n_results = 1,
                                     .arrays = ARRAYS,
                                     .n_kernels = 1,
                                     .kernels = NAMES_OF_ONE,
                                     .n_calls = 1,
                                     .calls = &ADD},
                         .kernels = kernels}};
    assert_int_equal(program_check(&m.exe.program, NULL), WF_OK);
    assert_int_equal(thread_pool_create(1, &m.pool, NULL), WF_OK);
    unsetenv("WELFORD_POISON");
    fail_each_allocation(call, &m);
    thread_pool_free(m.pool);
}

static wf_status make_pool(void *context, wf_error *err)
{
    (void)context;
    thread_pool *pool;
    TRY(thread_pool_create(3, &pool, err));
    thread_pool_free(pool);
    return WF_OK;
}

static void test_pool(void **state)
{
    (void)state;
    failing.falls_back = true; // whether there are more threads than cores is then not known
    fail_each_allocation(make_pool, NULL);
    failing.falls_back = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_function),
        cmocka_unit_test(test_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
