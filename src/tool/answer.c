#include "tool/answer.h"

#include <errno.h>
#include <stdio.h>

static const char DIM[] = "\033[2m", PLAIN[] = "\033[0m";

static void print(answer_printer *p, const char *text, size_t bytes)
{
    if (bytes == 0 || p->write_error) return;
    p->in_line = text[bytes - 1] != '\n';
    if (fwrite(text, 1, bytes, stdout) != bytes || fflush(stdout)) p->write_error = errno ? errno : EIO;
}

static void print_dimmed(answer_printer *p, const char *text, size_t bytes)
{
    fputs(DIM, stdout);
    print(p, text, bytes);
    fputs(PLAIN, stdout);
    fflush(stdout);
}

static void take_reasoning(answer_printer *p, const char *text, size_t bytes)
{
    if (p->think == THINK_JSON)
        buffer_append(&p->reasoning, text, bytes);
    else if (p->think == THINK_SHOW)
        print_dimmed(p, text, bytes);
    p->has_reasoning = p->think == THINK_SHOW;
}

static void take_part(void *context, wf_part part, const char *text, size_t bytes)
{
    answer_printer *p = context;
    if (part == WF_PART_REASONING) {
        take_reasoning(p, text, bytes);
        return;
    }
    if (p->has_reasoning) print(p, "\n\n", 2);
    p->has_reasoning = false;
    if (p->keeps)
        buffer_append(&p->text, text, bytes);
    else
        print(p, text, bytes);
}

// Text goes through as it comes where nothing is to be taken out of it.
static bool splits(const answer_printer *p) { return p->think != THINK_SHOW || (p->dims && !p->keeps); }

wf_status answer_begin(answer_printer *p, const wf_model *m, const wf_session *s, wf_error *err)
{
    p->in_line = p->has_reasoning = false;
    return wf_splitter_create(m, wf_session_tokens(s), (size_t)wf_session_past(s), take_part, p, &p->split, err);
}

void answer_write(answer_printer *p, const char *text, size_t bytes)
{
    if (splits(p))
        wf_splitter_feed(p->split, text, bytes);
    else if (p->keeps)
        buffer_append(&p->text, text, bytes);
    else
        print(p, text, bytes);
}

void answer_end(answer_printer *p)
{
    if (wf_splitter_finish(p->split, NULL) != WF_OK) p->text.failed = true;
    p->split = NULL;
    if (p->in_line) print(p, "\n", 1);
}

void answer_free(answer_printer *p)
{
    wf_splitter_finish(p->split, NULL);
    buffer_free(&p->text);
    buffer_free(&p->reasoning);
}
