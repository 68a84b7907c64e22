// The smallest whole use of welford: asks a model one question and prints the answer as it comes.
//
//     cc hello.c $(pkg-config --cflags --libs welford) -o hello && ./hello MODEL.gguf "What is the capital of France?"
#include <stdio.h>
#include <welford.h>

static bool print(void *context, int32_t token, const char *text, size_t bytes)
{
    (void)context;
    (void)token;
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
    return true; // go on
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.gguf QUESTION\n", argv[0]);
        return 2;
    }
    wf_model *model = NULL;
    wf_session *session = NULL;
    wf_sampler *sampler = NULL;
    int32_t *prompt = NULL;
    size_t n_prompt = 0;
    wf_generation result;
    wf_error err = {0};
    wf_message question = {"user", argv[2]};
    wf_sampler_options options = wf_sampler_defaults();
    options.temperature = 0; // the likeliest token, always
    bool ok =
        !wf_model_open(argv[1], NULL, &model, &err) && !wf_session_create(model, 0, 0, &session, &err) &&
        !wf_sampler_create(model, &options, &sampler, &err) &&
        !wf_chat_apply(model, &question, 1, &prompt, &n_prompt, &err) &&
        !wf_generate(session, sampler, prompt, n_prompt, &(wf_generate_options){.callback = print}, &result, &err);
    if (ok)
        printf("\n[%lld tokens, %.1f tokens/s]\n", (long long)result.n_generated,
               (double)result.n_decoded / result.decode_seconds);
    else
        fprintf(stderr, "%s\n", err.message);
    wf_free(prompt);
    wf_sampler_free(sampler);
    wf_session_free(session);
    wf_model_close(model);
    return ok ? 0 : 1;
}
