#include "tool/model_options.h"

#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/weight/weight_type.h"
#include "text/unicode/utf8.h"

bool model_option_take(const char *verb, int option, const char *value, wf_model_options *options)
{
    int64_t number;
    switch (option) {
    case 't':
        if (!tool_parse_int(verb, "--threads", value, 1, MAX_THREADS, &number)) return false;
        options->n_threads = (int)number;
        return true;
    case OPTION_KV:
        if (!strcmp(value, "f16") || !strcmp(value, "f32") || !strcmp(value, "q8")) {
            options->kv = value;
            return true;
        }
        tool_fail_usage(verb, "--kv: '%s' is none of f16, f32 and q8", value);
        return false;
    case OPTION_WEIGHTS: {
        const weight_type *type;
        wf_error err;
        options->weights = value;
        if (weight_type_parse(value, &type, &err) == WF_OK) return true;
        tool_fail_usage(verb, "--%s", err.message);
        return false;
    }
    case OPTION_WEIGHTS_FROM: options->weights_from = value; return true;
    case OPTION_NO_CACHE: options->no_cache = true; return true;
    case OPTION_FUSE: options->fuse = value; return true;
    case OPTION_NO_FUSE: options->no_fuse = value; return true;
    case OPTION_REPORT: options->print_report = true; return true;
    case OPTION_PRINT_IR: options->print_ir_after = value; return true;
    case OPTION_PRINT_PLAN: options->print_plan = true; return true;
    default: return false;
    }
}

void model_progress_show(void *context, const char *what, size_t done, size_t all)
{
    enum { WIDTH = 40 };
    model_progress *bar = context;
    double now = clock_seconds();
    if (bar->started == 0) bar->started = now;
    if (all == 0 || now - bar->started < 1 || now - bar->shown < 0.1) return;
    bar->shown = now;
    int filled = (int)((double)done / (double)all * (double)WIDTH);
    char cells[WIDTH + 1] = {0};
    for (int i = 0; i < WIDTH; i++) cells[i] = i < filled ? '#' : ' ';
    fprintf(stderr, "\r%s [%s] %3.0f %% of %.1f MB", what, cells, 100.0 * (double)done / (double)all,
            (double)all / 1e6);
    fflush(stderr);
}

void model_progress_set(model_progress *bar, wf_model_options *options)
{
    *bar = (model_progress){0};
    if (!isatty(STDERR_FILENO)) return;
    options->progress = model_progress_show;
    options->progress_context = bar;
}

void model_progress_end(const model_progress *bar)
{
    if (bar->shown > 0) fputs("\r\033[K", stderr);
}

wf_status read_prompt(const char *text, const char *path, bool exact, char **data, view *prompt, wf_error *err)
{
    *data = NULL;
    if (text) {
        *prompt = view_of(text);
        return WF_OK;
    }
    size_t bytes;
    TRY(file_read(path ? path : "-", data, &bytes, err));
    if (!path && bytes == 0) {
        free(*data);
        *data = NULL;
        return error_set(err, WF_ERROR_USAGE, "no prompt: give -p, -f, or pipe it in");
    }
    if (!exact && bytes && (*data)[bytes - 1] == '\n') bytes--;
    if (!exact && bytes && (*data)[bytes - 1] == '\r') bytes--;
    *prompt = (view){*data, bytes};
    return WF_OK;
}

void print_sampling(FILE *out, const wf_sampler_options *s)
{
    fprintf(out, "temp %g, top-k %" PRId64 ", top-p %g, min-p %g, repeat-penalty %g over %" PRId64, s->temperature,
            s->top_k, s->top_p, s->min_p, s->repeat_penalty, s->repeat_last_n);
}

void print_json_string(FILE *out, view text)
{
    buffer repaired = {0};
    utf8_append_repaired(&repaired, text);
    json_t *string = json_stringn(buffer_view(&repaired).data, repaired.len);
    if (string) json_dumpf(string, out, JSON_ENCODE_ANY);
    json_decref(string);
    buffer_free(&repaired);
}
