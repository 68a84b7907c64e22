#include "tool/model_path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hub/hub.h"
#include "tool/model_options.h"

typedef struct finder {
    const char *verb; // the verb's argv[0]
    model_progress bar;
} finder;

static void show_progress(void *context, const char *what, size_t done, size_t all)
{
    finder *f = context;
    model_progress_show(&f->bar, what, done, all);
}

static void show_notice(void *context, const char *text)
{
    const finder *f = context;
    fprintf(stderr, "%s: %s\n", f->verb, text);
}

static wf_find_options finder_options(finder *f)
{
    return (wf_find_options){
        .progress = isatty(STDERR_FILENO) ? show_progress : NULL, .notice = show_notice, .context = f};
}

wf_status model_path_fetch(const char *verb, const char *name, char path[PATH_MAX], wf_error *err)
{
    finder f = {.verb = verb};
    const wf_find_options o = finder_options(&f);
    const hub_options options = {.progress = o.progress, .notice = o.notice, .context = o.context};
    wf_status status = hub_find(name, &options, path, err);
    model_progress_end(&f.bar);
    return status;
}

int model_path_find(const char *verb, const char **model, char path[PATH_MAX])
{
    wf_error err;
    char *found;
    finder f = {.verb = verb};
    const wf_find_options options = finder_options(&f);
    wf_status status = wf_model_find(*model, &options, &found, &err);
    model_progress_end(&f.bar);
    if (status != WF_OK) return tool_fail(verb, &err);
    if (strcmp(found, *model)) {
        snprintf(path, PATH_MAX, "%s", found);
        *model = path;
    }
    wf_free(found);
    return -1;
}

int model_paths_find(const char *verb, const char **model, wf_model_options *options, model_paths *paths)
{
    int exit_code = model_path_find(verb, model, paths->model);
    if (exit_code >= 0 || !options->weights_from) return exit_code;
    return model_path_find(verb, &options->weights_from, paths->weights);
}
