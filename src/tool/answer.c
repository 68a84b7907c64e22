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

static void take_part(void *context, answer_part part, const char *text, size_t bytes)
{
    answer_printer *p = context;
    if (part == PART_REASONING) {
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

void answer_begin(answer_printer *p, view prompt_end)
{
    p->in_line = p->has_reasoning = false;
    reasoning_begin(&p->split, prompt_end, take_part, p);
}

void answer_write(answer_printer *p, const char *text, size_t bytes)
{
    if (splits(p))
        reasoning_feed(&p->split, text, bytes);
    else if (p->keeps)
        buffer_append(&p->text, text, bytes);
    else
        print(p, text, bytes);
}

void answer_end(answer_printer *p)
{
    if (p->split.callback && !reasoning_end(&p->split)) p->text.failed = true;
    p->split = (reasoning){0};
    if (p->in_line) print(p, "\n", 1);
}

void answer_free(answer_printer *p)
{
    buffer_free(&p->split.held);
    buffer_free(&p->text);
    buffer_free(&p->reasoning);
}
