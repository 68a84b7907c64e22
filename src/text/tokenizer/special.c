// A sorted array as a trie: each byte of the text narrows the range of tokens that still agree with it.
#include "text/tokenizer/special.h"

#include <stdlib.h>

#include "text/unicode/unicode.h"
#include "text/unicode/utf8.h"

wf_status special_set_create(special_set *set, size_t capacity, wf_error *err)
{
    *set = (special_set){0};
    set->tokens = calloc(capacity ? capacity : 1, sizeof *set->tokens);
    return set->tokens ? WF_OK : error_memory(err, capacity * sizeof *set->tokens);
}

void special_set_free(special_set *set)
{
    free(set->tokens);
    *set = (special_set){0};
}

void special_set_add(special_set *set, view text, int32_t id)
{
    if (text.len == 0 || !utf8_is_valid(text)) return;
    set->tokens[set->count++] = (special_token){text, id};
    set->first[(unsigned char)text.data[0]] = true;
}

static int compare_texts(view a, view b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    if (order) return order;
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_tokens(const void *left, const void *right)
{
    const special_token *a = left, *b = right;
    int order = compare_texts(a->text, b->text);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

void special_set_sort(special_set *set)
{
    if (set->count == 0) return;
    qsort(set->tokens, set->count, sizeof *set->tokens, compare_tokens);
    size_t kept = 0;
    for (size_t i = 0; i < set->count; ++i) {
        if (i + 1 < set->count && view_equal(set->tokens[i].text, set->tokens[i + 1].text)) continue;
        set->tokens[kept++] = set->tokens[i];
    }
    set->count = kept;
}

// The first token in [low, high) whose byte at `depth` is at least `byte`; all there are longer than depth.
static size_t lower_bound(const special_set *set, size_t low, size_t high, size_t depth, int byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)set->tokens[middle].text.data[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const special_token *special_set_match(const special_set *set, view text, size_t pos)
{
    const special_token *longest = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; low < high; ++depth) {
        // In the range all agree on `depth` bytes, so that only its first can be that short.
        if (set->tokens[low].text.len == depth) longest = &set->tokens[low++];
        if (pos + depth == text.len) break;
        int byte = (unsigned char)text.data[pos + depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return longest;
}

static size_t skip_space(view text, size_t pos)
{
    for (size_t length; pos < text.len; pos += length)
        if (!(length = utf8_space_at(text, pos))) break;
    return pos;
}

// Where the space begins that ends at `pos`, not before `start`.
static size_t skip_space_back(view text, size_t start, size_t pos)
{
    for (size_t length = 1; pos > start && length <= 3 && length <= pos - start;) {
        if (utf8_space_at(text, pos - length) == length)
            pos -= length, length = 1;
        else
            ++length;
    }
    return pos;
}

// Whether the character of exactly `length` bytes at text.data[pos] is part of a word.
static bool is_word_at(view text, size_t pos, size_t length)
{
    utf8_kind kind;
    size_t found;
    return utf8_next((view){text.data, pos + length}, pos, &kind) == length && kind == UTF8_VALID &&
           unicode_is_word(utf8_read(text.data + pos, &found));
}

static bool touches_word(view text, size_t start, size_t end)
{
    for (size_t length = 1; length <= 4; ++length) {
        if (length <= start && is_word_at(text, start - length, length)) return true;
        if (length <= text.len - end && is_word_at(text, end, length)) return true;
    }
    return false;
}

static bool is_blocked(special_walk *walk, size_t pos)
{
    while (walk->n_blocked && walk->blocked[0] < pos) ++walk->blocked, --walk->n_blocked;
    return walk->n_blocked && walk->blocked[0] == pos;
}

bool special_walk_next(special_walk *walk, view text, size_t start, special_match *match)
{
    for (size_t pos = start; pos < text.len;) {
        bool may_begin = walk->set->first[(unsigned char)text.data[pos]] && !is_blocked(walk, pos);
        const special_token *found = may_begin ? special_set_match(walk->set, text, pos) : NULL;
        if (!found) {
            ++pos;
            continue;
        }
        int flags = walk->flags ? walk->flags[found->id] : 0;
        size_t end = pos + found->text.len;
        if (flags & TOKEN_SINGLE_WORD && touches_word(text, pos, end)) {
            pos = end; // nor does another one begin inside, as in Hugging Face tokenizers
            continue;
        }
        *match = (special_match){.id = found->id,
                                 .start = flags & TOKEN_STRIP_LEFT ? skip_space_back(text, start, pos) : pos,
                                 .end = flags & TOKEN_STRIP_RIGHT ? skip_space(text, end) : end};
        return true;
    }
    return false;
}

const special_token *special_set_find(const special_set *set, view text)
{
    const special_token *found = text.len ? special_set_match(set, text, 0) : NULL;
    return found && found->text.len == text.len ? found : NULL;
}
