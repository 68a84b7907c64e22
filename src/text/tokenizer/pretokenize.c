// Pre-tokenizers by pcre2.
//
// Stage after stage of a pre-tokenizer cuts the pieces that the stage before it left; what an expression matches and
// what lies between its matches are pieces, which a behaviour drops or joins. Each stage sees its piece alone, as if it
// were the whole text: that decides what a lookahead sees at the end of a piece.
//
// The text is spelled in letters of an alphabet (alphabet.h) that all stages share, one letter a character.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/tokenizer/pretokenize.h"

#include <pcre2.h>
#include <stdlib.h>

#include "text/regex/regex.h"
#include "text/tokenizer/pretokenize_table.h"

enum { MAX_STAGES = 16, MAX_PATTERN = 4096 }; // bytes of a pattern

// What becomes of a match and of its neighbours.
typedef enum behaviour { ISOLATED, REMOVED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } behaviour;

static const char *const BEHAVIOURS[] = {"isolated", "removed", "merged_with_previous", "merged_with_next",
                                         "contiguous"};
static const char INVERTED[] = " inverted";

typedef struct stage_rule {
    pcre2_code *code;
    behaviour behaviour;
    bool inverted; // matches are what lies between, and the other way round
} stage_rule;

struct pretokenizer {
    alphabet alphabet;
    size_t n_stages;
    stage_rule stages[MAX_STAGES];
};

static wf_status compile_stage(view pattern, pcre2_code **code, wf_error *err)
{
    int number;
    PCRE2_SIZE offset;
    *code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, 0, &number, &offset, NULL);
    if (!*code && number == PCRE2_ERROR_HEAP_FAILED) return error_memory(err, pattern.len);
    if (!*code) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(number, reason, sizeof reason);
        return error_set(err, WF_ERROR_UNSUPPORTED, "pcre2 does not compile the pre-tokenizer: %s",
                         (const char *)reason);
    }
    // Where memory may not be made executable this fails, and pcre2_match interprets: slower, with the same words.
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE);
    return WF_OK;
}

static wf_status read_behaviour(view text, stage_rule *s, wf_error *err)
{
    view name = text, suffix = VIEW_LITERAL(INVERTED);
    if (name.len > suffix.len && view_is((view){text.data + text.len - suffix.len, suffix.len}, INVERTED)) {
        name.len -= suffix.len;
        s->inverted = true;
    }
    for (size_t i = 0; i < sizeof BEHAVIOURS / sizeof *BEHAVIOURS; i++) {
        s->behaviour = (behaviour)i;
        if (view_is(name, BEHAVIOURS[i])) return WF_OK;
    }
    return error_set(err, WF_ERROR_UNSUPPORTED, "pre-tokenizer behaviour '%.*s' is not supported", NAME_ARG(text));
}

// What is needed only while a pre-tokenizer is made.
typedef struct builder {
    pretokenizer *p;
    regex_sets sets;           // of all stages
    buffer parsed[MAX_STAGES]; // by regex_parse
    wf_error *err;
} builder;

static wf_status add_stage(builder *b, view behaviour_name, view pattern)
{
    pretokenizer *p = b->p;
    if (p->n_stages == MAX_STAGES)
        return error_set(b->err, WF_ERROR_UNSUPPORTED, "a pre-tokenizer of more than %d stages", MAX_STAGES);
    if (pattern.len > MAX_PATTERN)
        return error_set(b->err, WF_ERROR_UNSUPPORTED, "a regular expression of %zu bytes, more than %d", pattern.len,
                         MAX_PATTERN);
    TRY(read_behaviour(behaviour_name, &p->stages[p->n_stages], b->err));
    return regex_parse(pattern, &b->sets, &b->parsed[p->n_stages++], b->err);
}

static wf_status compile_stages(builder *b)
{
    pretokenizer *p = b->p;
    TRY(alphabet_create(b->sets.items, b->sets.count, &p->alphabet, b->err));
    for (size_t i = 0; i < p->n_stages; i++) {
        buffer text = {0};
        regex_print(buffer_view(&b->parsed[i]), &b->sets, &p->alphabet, &text);
        wf_status status = text.failed ? error_memory(b->err, b->parsed[i].len)
                                       : compile_stage(buffer_view(&text), &p->stages[i].code, b->err);
        buffer_free(&text);
        TRY(status);
    }
    return WF_OK;
}

wf_status pretokenizer_create(const view *pairs, size_t n_pairs, pretokenizer **out, wf_error *err)
{
    builder b = {.p = calloc(1, sizeof *b.p), .err = err};
    if (!b.p) return error_memory(err, sizeof *b.p);
    wf_status status = WF_OK;
    for (size_t i = 0; i < n_pairs && status == WF_OK; ++i) status = add_stage(&b, pairs[2 * i], pairs[2 * i + 1]);
    if (status == WF_OK) status = compile_stages(&b);
    regex_sets_free(&b.sets);
    for (size_t i = 0; i < MAX_STAGES; i++) buffer_free(&b.parsed[i]);
    if (status == WF_OK)
        *out = b.p;
    else
        pretokenizer_free(b.p);
    return status;
}

wf_status pretokenizer_create_named(const pretokenizer_recipe *recipe, pretokenizer **out, wf_error *err)
{
    view pairs[2 * PRETOKENIZER_MAX_EXPRESSIONS];
    size_t n = 0;
    for (; n < PRETOKENIZER_MAX_EXPRESSIONS && recipe->expressions[n]; n++) {
        pairs[2 * n] = view_of(BEHAVIOURS[ISOLATED]);
        pairs[2 * n + 1] = view_of(recipe->expressions[n]);
    }
    return pretokenizer_create(pairs, n, out, err);
}

void pretokenizer_free(pretokenizer *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->n_stages; ++i) pcre2_code_free(p->stages[i].code);
    alphabet_free(&p->alphabet);
    free(p);
}

// ---- cutting

typedef struct letters {
    const unsigned char *data;
    size_t len;
} letters;

typedef struct splitter {
    const pretokenizer *p;
    pcre2_match_data *match; // read before a deeper stage writes it again
    view text;
    letters whole;      // of the text, a letter for each character
    size_t done, bytes; // letters in front of the place that was reached, and bytes of text
    word_function word;
    void *context;
} splitter;

typedef struct piece {
    size_t start, end;
    bool matches;
} piece;

// The next match at or behind `from`; false when there is none.
static wf_status find_match(const splitter *s, const pcre2_code *code, letters text, size_t from, piece *match,
                            bool *found, wf_error *err)
{
    int n = pcre2_match(code, text.data, text.len, from, 0, s->match, NULL);
    // The interpreter keeps its backtracking on the heap, where the machine code has a fixed stack.
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) n = pcre2_match(code, text.data, text.len, from, PCRE2_NO_JIT, s->match, NULL);
    *found = n >= 0;
    if (n == PCRE2_ERROR_NOMATCH) return WF_OK;
    if (n == PCRE2_ERROR_NOMEMORY) return error_memory(err, text.len);
    if (n < 0) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(n, reason, sizeof reason);
        return error_set(err, WF_ERROR_LIMIT, "the text cannot be cut into words at character %zu of %zu: %s", from,
                         text.len, (const char *)reason);
    }
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(s->match);
    *match = (piece){range[0], range[1], true};
    return WF_OK;
}

// Words come in order, so that their bytes are found by going on.
static size_t bytes_before(splitter *s, size_t letter)
{
    if (s->whole.len == s->text.len) return letter;
    for (; s->done < letter; s->done++) {
        s->bytes++;
        while (s->bytes < s->text.len && ((unsigned char)s->text.data[s->bytes] & 0xC0) == 0x80) s->bytes++;
    }
    return s->bytes;
}

static wf_status give_word(splitter *s, letters word, wf_error *err)
{
    size_t at = (size_t)(word.data - s->whole.data), start = bytes_before(s, at), end = bytes_before(s, at + word.len);
    return s->word(s->context, (view){s->text.data + start, end - start}, err);
}

// A walk over the pieces of one stage: the last piece waits for the next one, which may join it.
typedef struct stage_walk {
    splitter *s;
    size_t stage;
    letters text;
    piece last;
    bool waits;
} stage_walk;

static wf_status split_stage(splitter *s, size_t stage, letters text, wf_error *err);

static bool joins(behaviour b, bool last, bool next)
{
    switch (b) {
    case MERGED_WITH_PREVIOUS: return next && !last;
    case MERGED_WITH_NEXT: return last && !next;
    case CONTIGUOUS: return last == next;
    default: return false;
    }
}

static wf_status end_piece(stage_walk *w, wf_error *err)
{
    const stage_rule *rule = &w->s->p->stages[w->stage];
    piece done = w->last;
    if (!w->waits || done.start == done.end || (rule->behaviour == REMOVED && done.matches)) return WF_OK;
    return split_stage(w->s, w->stage + 1, (letters){w->text.data + done.start, done.end - done.start}, err);
}

static wf_status add_piece(stage_walk *w, size_t start, size_t end, bool matches, wf_error *err)
{
    const stage_rule *rule = &w->s->p->stages[w->stage];
    piece next = {start, end, matches != rule->inverted};
    if (w->waits && joins(rule->behaviour, w->last.matches, next.matches))
        next.start = w->last.start;
    else
        TRY(end_piece(w, err));
    w->last = next;
    w->waits = true;
    return WF_OK;
}

static wf_status split_stage(splitter *s, size_t stage, letters text, wf_error *err)
{
    if (stage == s->p->n_stages) return give_word(s, text, err);
    stage_walk w = {.s = s, .stage = stage, .text = text};
    // An empty match cuts the text where it lies, but not right behind another match.
    for (size_t from = 0, done = 0, last = SIZE_MAX; from <= text.len;) {
        piece match;
        bool found;
        TRY(find_match(s, s->p->stages[stage].code, text, from, &match, &found, err));
        if (!found) match = (piece){text.len, text.len, false};
        if (found && match.start == match.end && match.end == last) {
            from++;
            continue;
        }
        if (match.start > done) TRY(add_piece(&w, done, match.start, false, err));
        if (!found) break;
        TRY(add_piece(&w, match.start, match.end, true, err));
        done = last = match.end;
        from = match.end;
    }
    return end_piece(&w, err);
}

static wf_status split_text(splitter *s, unsigned char *memory, wf_error *err)
{
    s->whole = (letters){memory, alphabet_spell(&s->p->alphabet, s->text, memory)};
    s->match = pcre2_match_data_create(1, NULL);
    if (!s->match) return error_memory(err, 0);
    wf_status status = split_stage(s, 0, s->whole, err);
    pcre2_match_data_free(s->match);
    return status;
}

wf_status pretokenizer_split(const pretokenizer *p, view text, word_function word, void *context, wf_error *err)
{
    splitter s = {.p = p, .text = text, .word = word, .context = context};
    unsigned char small[1024], *memory = text.len <= sizeof small ? small : malloc(text.len);
    if (text.len == 0) return WF_OK;
    if (!memory) return error_memory(err, text.len);
    wf_status status = split_text(&s, memory, err);
    if (memory != small) free(memory);
    return status;
}
