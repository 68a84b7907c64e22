#include "text/regex/alphabet.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode/utf8.h"

enum { MAX_LETTERS = 255 };

// A stretch of code points that no set tells apart.
typedef struct stretch {
    uint32_t first;
    int letter;
} stretch;

// The stretches between all bounds, of letter 0; NULL when memory is out. The bounds are marked in `marks`
// [CODE_SET_END], all 0.
static stretch *cut_stretches(const code_set *sets, size_t n_sets, unsigned char *marks, size_t *count)
{
    size_t n = 1;
    for (size_t i = 0; i < n_sets; i++) {
        n += sets[i].count;
        for (size_t k = 0; k < sets[i].count; k++)
            if (sets[i].bounds[k] < CODE_SET_END) marks[sets[i].bounds[k]] = 1;
    }
    stretch *list = calloc(n, sizeof *list); // the first begins at 0
    if (!list) return NULL;
    *count = 1;
    for (size_t at = 1; at < CODE_SET_END; at++) {
        const unsigned char *found = memchr(marks + at, 1, CODE_SET_END - at);
        if (!found) break;
        at = (size_t)(found - marks);
        list[(*count)++].first = (uint32_t)at;
    }
    return list;
}

// Gives a stretch in the set another letter than one of the same letter that is not. *n_letters: those that are used
// before, and after; false when there are too many.
static bool split_letters(stretch *list, size_t count, const code_set *set, int *n_letters)
{
    int letters[2][MAX_LETTERS + 1], n = 0;
    memset(letters, -1, sizeof letters);
    size_t bound = 0;
    for (size_t i = 0; i < count; i++) {
        while (bound < set->count && set->bounds[bound] <= list[i].first) bound++;
        int *letter = &letters[bound & 1][list[i].letter];
        if (*letter < 0) *letter = n++;
        if (n > MAX_LETTERS) return false;
        list[i].letter = *letter;
    }
    *n_letters = n;
    return true;
}

wf_status alphabet_create(const code_set *sets, size_t n_sets, alphabet *a, wf_error *err)
{
    *a = (alphabet){.n_letters = 1, .letters = calloc(CODE_SET_END, 1)};
    size_t count = 0;
    stretch *list = a->letters ? cut_stretches(sets, n_sets, a->letters, &count) : NULL;
    bool fits = true;
    for (size_t i = 0; i < n_sets && list && fits; i++) fits = split_letters(list, count, &sets[i], &a->n_letters);
    for (size_t i = 0; i < count && fits; i++) {
        uint32_t end = i + 1 < count ? list[i + 1].first : CODE_SET_END;
        memset(a->letters + list[i].first, list[i].letter + 1, end - list[i].first);
        a->members[list[i].letter + 1] = list[i].first;
    }
    bool has_memory = list != NULL;
    free(list);
    if (has_memory && fits) return WF_OK;
    alphabet_free(a);
    return has_memory ? error_set(err, WF_ERROR_UNSUPPORTED,
                                  "regular expressions that tell apart more than %d kinds of characters", MAX_LETTERS)
                      : error_memory(err, CODE_SET_END);
}

void alphabet_free(alphabet *a)
{
    free(a->letters);
    *a = (alphabet){0};
}

size_t alphabet_spell(const alphabet *a, view text, unsigned char *letters)
{
    unsigned char *out = letters;
    for (size_t pos = 0, length; pos < text.len; pos += length)
        *out++ = a->letters[utf8_read(text.data + pos, &length)];
    return (size_t)(out - letters);
}

void alphabet_print_set(const alphabet *a, const code_set *set, buffer *out)
{
    int n = 0;
    buffer_append_char(out, '[');
    for (int first = 1, last; first <= a->n_letters; first = last + 1) {
        last = first;
        if (!code_set_has(set, a->members[first])) continue;
        while (last < a->n_letters && code_set_has(set, a->members[last + 1])) last++;
        buffer_printf(out, first == last ? "\\x%02x" : "\\x%02x-\\x%02x", first, last);
        n++;
    }
    if (n == 0) buffer_append_view(out, VIEW_LITERAL("^\\x00-\\xff")); // nothing matches
    buffer_append_char(out, ']');
}
