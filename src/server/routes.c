// The paths that are served.
#include <string.h>

#include "server/http.h"

const char TYPE_JSON[] = "application/json";

static const route ROUTES[] = {
    {"GET", "/", .open = true, .answer = answer_page},
    {"GET", "/style.css", .open = true, .answer = answer_page},
    {"GET", "/markdown.js", .open = true, .answer = answer_page},
    {"GET", "/app.js", .open = true, .answer = answer_page},
    {"GET", "/health", .open = true, .answer = answer_health},
    {"GET", "/v1/health", .open = true, .answer = answer_health},
    {"GET", "/metrics", .answer = answer_metrics},
    {"GET", "/props", .needs_model = true, .answer = answer_props},
    // OpenAI's
    {"GET", "/v1/models", .answer = answer_models},
    {"GET", "/v1/models/*", .answer = answer_models},
    {"GET", "/models", .answer = answer_models},
    {"POST", "/v1/chat/completions", .flavour = &flavour_openai_chat},
    {"POST", "/chat/completions", .flavour = &flavour_openai_chat},
    {"POST", "/v1/completions", .flavour = &flavour_openai_completion},
    // Anthropic's
    {"POST", "/v1/messages", .flavour = &flavour_anthropic},
    {"POST", "/v1/messages/count_tokens", .needs_model = true, .flavour = &flavour_anthropic,
     .answer = answer_count_tokens},
    // ollama's
    {"POST", "/api/chat", .flavour = &flavour_ollama_chat},
    {"POST", "/api/generate", .flavour = &flavour_ollama_generate},
    {"GET", "/api/tags", .flavour = &flavour_ollama_chat, .answer = answer_ollama_tags},
    {"GET", "/api/ps", .flavour = &flavour_ollama_chat, .answer = answer_ollama_ps},
    {"GET", "/api/version", .flavour = &flavour_ollama_chat, .answer = answer_ollama_version},
    {"POST", "/api/show", .needs_model = true, .flavour = &flavour_ollama_chat, .answer = answer_ollama_show},
    // llama-server's
    {"POST", "/tokenize", .needs_model = true, .answer = answer_tokenize},
    {"POST", "/detokenize", .needs_model = true, .answer = answer_detokenize},
    {"POST", "/apply-template", .needs_model = true, .answer = answer_template},
};

static bool matches(const route *r, const char *path)
{
    size_t n = strlen(r->path);
    return r->path[n - 1] == '*' ? !strncmp(r->path, path, n - 1) : !strcmp(r->path, path);
}

const route *route_find(const char *method, const char *path, bool *other_method)
{
    *other_method = false;
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++) {
        const route *r = &ROUTES[i];
        if (!matches(r, path)) continue;
        if (!strcmp(r->method, method) || (!strcmp(method, "HEAD") && !strcmp(r->method, "GET"))) return r;
        *other_method = true;
    }
    return NULL;
}
