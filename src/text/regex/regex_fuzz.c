// Any behaviour and expression, any text: refused with one line, or words that are pieces of the text, in order; and
// all of the text unless something is removed.
//
//     behaviour u8 · pattern, ended by a zero byte · text
#include <stdlib.h>

#include "text/tokenizer/pretokenize.h"
#include "text/unicode/utf8.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static const char *const BEHAVIOURS[] = {"isolated",
                                         "removed",
                                         "merged_with_previous",
                                         "merged_with_next",
                                         "contiguous",
                                         "isolated inverted",
                                         "removed inverted",
                                         "merged_with_previous inverted",
                                         "merged_with_next inverted",
                                         "contiguous inverted",
                                         "other"};

typedef struct walk {
    const char *at; // where the last word ended
    size_t words_bytes;
} walk;

static void check(bool holds)
{
    if (!holds) abort();
}

static wf_status take_word(void *context, view word, wf_error *err)
{
    (void)err;
    walk *w = context;
    check(word.len > 0 && word.data >= w->at && utf8_is_valid(word));
    w->at = word.data + word.len;
    w->words_bytes += word.len;
    return WF_OK;
}

static void check_line(const wf_error *err) { check(err->message[0] && !strchr(err->message, '\n')); }

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    if (bytes == 0) return 0;
    size_t kind = data[0] % (sizeof BEHAVIOURS / sizeof *BEHAVIOURS);
    const unsigned char *end = memchr(data + 1, 0, bytes - 1);
    size_t length = end ? (size_t)(end - data) - 1 : bytes - 1;
    view pair[] = {view_of(BEHAVIOURS[kind]), {(const char *)data + 1, length}};
    pretokenizer *p = NULL;
    wf_error err = {0};
    if (pretokenizer_create(pair, 1, &p, &err) != WF_OK) {
        check_line(&err);
        return 0;
    }
    buffer text = {0};
    if (end) utf8_append_repaired(&text, (view){(const char *)end + 1, bytes - length - 2});
    view whole = buffer_view(&text);
    walk w = {whole.data, 0};
    wf_status status = pretokenizer_split(p, whole, take_word, &w, &err);
    check(status == WF_OK || status == WF_ERROR_LIMIT); // the expression gave up
    if (status != WF_OK) check_line(&err);
    check(w.at <= whole.data + whole.len);
    if (status == WF_OK && !strstr(BEHAVIOURS[kind], "removed")) check(w.words_bytes == whole.len);
    buffer_free(&text);
    pretokenizer_free(p);
    return 0;
}
