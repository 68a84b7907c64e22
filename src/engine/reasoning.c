#include "engine/reasoning.h"

#include <string.h>

static const view OPEN_TAG = VIEW_LITERAL("<think>"), CLOSE_TAG = VIEW_LITERAL("</think>");

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static size_t count_spaces(view text)
{
    size_t n = 0;
    while (n < text.len && is_space(text.data[n])) n++;
    return n;
}

static void drop(reasoning *r, size_t bytes)
{
    memmove(r->held.data, r->held.data + bytes, r->held.len - bytes);
    r->held.len -= bytes;
}

static void give(reasoning *r, wf_part part, size_t bytes)
{
    if (bytes) r->callback(r->context, part, r->held.data, bytes);
    drop(r, bytes);
}

// Trailing white space of the reasoning stays held: it may be what stands before the tag.
static size_t before_spaces(view text, size_t end)
{
    while (end && is_space(text.data[end - 1])) end--;
    return end;
}

// One step; false: nothing more can be said of what is held.
static bool advance(reasoning *r, bool at_end)
{
    view text = buffer_view(&r->held);
    size_t spaces = count_spaces(text);
    bool whole;
    switch (r->state) {
    case REASONING_UNKNOWN: {
        view rest = {text.data + spaces, text.len - spaces};
        size_t n = rest.len < OPEN_TAG.len ? rest.len : OPEN_TAG.len;
        if (memcmp(rest.data, OPEN_TAG.data, n) || (n < OPEN_TAG.len && at_end)) {
            r->state = REASONING_OVER;
            return true;
        }
        if (n < OPEN_TAG.len) return false;
        drop(r, spaces + OPEN_TAG.len);
        r->state = REASONING_OPEN;
        return true;
    }
    case REASONING_OPEN: {
        if (!r->began) {
            drop(r, spaces);
            text = buffer_view(&r->held);
            r->began = text.len > 0;
        }
        size_t at = view_find_begun(text, CLOSE_TAG, &whole);
        if (!whole) {
            give(r, WF_PART_REASONING, at_end ? text.len : before_spaces(text, at));
            return false;
        }
        size_t end = before_spaces(text, at);
        give(r, WF_PART_REASONING, end);
        drop(r, at - end + CLOSE_TAG.len);
        r->state = REASONING_CLOSED;
        return true;
    }
    case REASONING_CLOSED:
        drop(r, spaces);
        if (r->held.len) r->state = REASONING_OVER;
        return r->held.len > 0;
    case REASONING_OVER: give(r, WF_PART_ANSWER, text.len); return false;
    }
    return false;
}

void reasoning_begin(reasoning *r, view prompt_end, wf_part_callback *callback, void *context)
{
    size_t end = before_spaces(prompt_end, prompt_end.len);
    bool opens = end >= OPEN_TAG.len && !memcmp(prompt_end.data + end - OPEN_TAG.len, OPEN_TAG.data, OPEN_TAG.len);
    *r = (reasoning){.state = opens ? REASONING_OPEN : REASONING_UNKNOWN, .callback = callback, .context = context};
}

void reasoning_feed(reasoning *r, const char *text, size_t bytes)
{
    buffer_append(&r->held, text, bytes);
    while (r->held.len && advance(r, false)) continue;
}

bool reasoning_end(reasoning *r)
{
    while (r->held.len && advance(r, true)) continue;
    bool ok = !r->held.failed;
    buffer_free(&r->held);
    return ok;
}
