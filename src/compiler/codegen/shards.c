#include "compiler/codegen/shards.h"

#include "compiler/codegen/object.h"
#include "runtime/threads.h"

wf_status shards_create(kernel_shards *s, const cpu_features *cpu, wf_error *err)
{
    *s = (kernel_shards){.cpu = *cpu};
    wf_status status = WF_OK;
    for (int i = 0; i < N_SHARDS && status == WF_OK; i++) {
        status = compiler_context_create(&s->contexts[i], err);
        if (status == WF_OK) builder_init(&s->builders[i], s->contexts[i].mlir, cpu);
    }
    if (status != WF_OK) shards_free(s);
    return status;
}

void shards_free(kernel_shards *s)
{
    for (int i = 0; i < N_SHARDS; i++) {
        buffer_free(&s->objects[i]);
        if (!mlirModuleIsNull(s->builders[i].module)) mlirModuleDestroy(s->builders[i].module);
        compiler_context_destroy(&s->contexts[i]);
    }
    *s = (kernel_shards){0};
}

builder *shards_next(kernel_shards *s)
{
    builder *next = &s->builders[0];
    for (int i = 1; i < N_SHARDS; i++)
        if (s->builders[i].n_ops < next->n_ops) next = &s->builders[i];
    return next;
}

const kernel_target *shards_target(const kernel_shards *s) { return &s->builders[0].target; }

typedef struct compilation {
    kernel_shards *shards;
    thread_pool *pool;
    wf_status status[N_SHARDS];
    wf_error errors[N_SHARDS];
} compilation;

static void compile_shards(void *context, int thread)
{
    compilation *c = context;
    kernel_shards *s = c->shards;
    for (;;) {
        tile_range taken = work_take(c->pool, 0, thread, N_SHARDS, 1);
        if (taken.begin == taken.end) return;
        int64_t i = taken.begin;
        if (s->builders[i].n_ops)
            c->status[i] =
                object_emit(&s->contexts[i], s->builders[i].module, &s->cpu, &s->objects[i], NULL, &c->errors[i]);
        work_finish(c->pool, 0, 1, N_SHARDS);
    }
}

wf_status shards_compile(kernel_shards *s, int n_threads, view *objects, size_t *n_objects, wf_error *err)
{
    thread_pool *pool;
    if (n_threads > N_SHARDS) n_threads = N_SHARDS;
    TRY(thread_pool_create(n_threads < 1 ? 1 : n_threads, &pool, err));
    compilation c = {.shards = s, .pool = pool};
    bool begun = work_begin(pool, 1);
    if (begun) thread_pool_run(pool, compile_shards, &c);
    thread_pool_free(pool);
    if (!begun) return error_memory(err, 0);
    *n_objects = 0;
    for (int i = 0; i < N_SHARDS; i++) {
        if (c.status[i] != WF_OK) return error_set(err, c.status[i], "%s", c.errors[i].message);
        if (s->objects[i].len) objects[(*n_objects)++] = buffer_view(&s->objects[i]);
    }
    return WF_OK;
}
