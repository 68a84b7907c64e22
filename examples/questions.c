// Several questions at once: an engine answers them together, each as if it were alone.
//
//     cc questions.c $(pkg-config --cflags --libs welford) -o questions
//     ./questions MODEL.gguf "What is the capital of France?" "What is the capital of Italy?"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <welford.h>

typedef struct answer {
    wf_request *request;
    char text[4096];
    size_t bytes;
} answer;

// Called on the engine's thread, which computes for all: it should be short.
static bool collect(void *context, const wf_piece *piece)
{
    answer *a = context;
    if (piece->bytes >= sizeof a->text - a->bytes) return false; // enough
    memcpy(a->text + a->bytes, piece->text, piece->bytes);
    a->bytes += piece->bytes;
    return true; // go on
}

static wf_status ask(wf_model *model, wf_engine *engine, const char *question, answer *a, wf_error *err)
{
    wf_message message = {"user", question};
    wf_sampler_options greedy = wf_sampler_defaults();
    greedy.temperature = 0; // the likeliest token, always
    wf_request_options options = {.sampler = &greedy, .n_max = 200, .callback = collect, .context = a};
    int32_t *prompt = NULL;
    wf_status status = wf_chat_apply(model, &message, 1, &prompt, &options.n_prompt, err);
    options.prompt = prompt;
    if (!status) status = wf_engine_submit(engine, &options, &a->request, err);
    wf_free(prompt);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL.gguf QUESTION..\n", argv[0]);
        return 2;
    }
    int n = argc - 2, n_answered = 0;
    answer *answers = calloc((size_t)n, sizeof *answers);
    wf_model *model = NULL;
    wf_engine *engine = NULL;
    wf_error err = {0};
    bool ok = answers && !wf_model_open(argv[1], NULL, &model, &err) &&
              !wf_engine_create(model, NULL, &engine, &err) && !wf_engine_start(engine, &err);
    for (int i = 0; ok && i < n; i++) ok = !ask(model, engine, argv[2 + i], &answers[i], &err);
    for (int i = 0; ok && i < n; i++) {
        ok = !wf_request_wait(answers[i].request, NULL, &err);
        if (ok) printf("%s\n    %.*s\n", argv[2 + i], (int)answers[i].bytes, answers[i].text), n_answered++;
    }
    if (!ok) fprintf(stderr, "%s\n", err.message);
    for (int i = 0; answers && i < n; i++) wf_request_free(answers[i].request);
    wf_engine_free(engine);
    wf_model_close(model);
    free(answers);
    return n_answered == n ? 0 : 1;
}
