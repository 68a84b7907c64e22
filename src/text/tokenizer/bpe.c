// Byte-level BPE with a heap of candidate pairs; see bpe.h.
//
// Nothing is looked up by id: a symbol is a stretch of the word's letters with its hash, a merge is found by the hashes
// of its two halves. So creation hashes every token and merge once (150,000 of each: 20 ms) and resolves none.
#include "text/tokenizer/bpe.h"

#include <stdlib.h>

#define XXH_INLINE_ALL // words are short: a call would cost more than the hash
#include <xxhash.h>

#include "text/unicode/utf8.h"

enum {
    N_LETTER_CODES = 256 + 68, // 68 bytes have no printable character of their own
    CACHE_SLOTS = 8192,
    CACHE_WORD = 16, // longest word in the cache, bytes
    CACHE_IDS = 6,
};

// An open-addressing table of indices, probed linearly, at most two thirds full.
typedef struct table {
    struct table_slot {
        uint32_t tag;   // upper half of the hash
        uint32_t index; // plus one; 0 is free
    } *slots;
    size_t mask;
} table;

struct bpe {
    bpe_config config;
    table tokens; // by text
    table merges; // by the hashes of both halves; the index is the rank
    char letters[256][2];
    unsigned char letter_bytes[256]; // 1 or 2
    int32_t byte_token[256];         // -1 when the vocabulary has none
    int16_t letter_byte[N_LETTER_CODES];
};

static uint64_t hash_text(view text) { return XXH3_64bits(text.data, text.len); }

// Not symmetric: "a b" and "b a" are two merges.
static uint64_t hash_pair(uint64_t left, uint64_t right)
{
    uint64_t h = (left ^ (right << 32 | right >> 32)) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 32);
}

static wf_status table_create(table *t, size_t count, wf_error *err)
{
    size_t slots = 16;
    while (slots < count + count / 2) slots *= 2; // count <= INT32_MAX
    t->mask = slots - 1;
    t->slots = calloc(slots, sizeof *t->slots);
    return t->slots ? WF_OK : error_memory(err, slots * sizeof *t->slots);
}

static uint32_t tag_of(uint64_t hash) { return (uint32_t)(hash >> 32); }

static struct table_slot *table_probe(const table *t, uint64_t hash, size_t *at)
{
    for (;; *at = (*at + 1) & t->mask) {
        struct table_slot *slot = &t->slots[*at];
        if (slot->index == 0 || slot->tag == tag_of(hash)) return slot;
    }
}

// The table has room: it was created for as many entries as are put.
static void table_put(struct table_slot *slot, uint64_t hash, size_t index)
{
    *slot = (struct table_slot){tag_of(hash), (uint32_t)index + 1};
}

// The slot of the token `text`, or the free one where it belongs.
static struct table_slot *find_token_slot(const bpe *b, view text, uint64_t hash)
{
    for (size_t at = hash & b->tokens.mask;; at = (at + 1) & b->tokens.mask) {
        struct table_slot *slot = table_probe(&b->tokens, hash, &at);
        if (slot->index == 0 || view_equal(b->config.tokens[slot->index - 1], text)) return slot;
    }
}

static int32_t find_token(const bpe *b, view text, uint64_t hash)
{
    return (int32_t)find_token_slot(b, text, hash)->index - 1;
}

static bool merge_is(view merge, view left, view right)
{
    return merge.len == left.len + 1 + right.len && merge.data[left.len] == ' ' && view_starts_with(merge, left) &&
           !memcmp(merge.data + left.len + 1, right.data, right.len);
}

static struct table_slot *find_merge_slot(const bpe *b, view left, view right, uint64_t hash)
{
    for (size_t at = hash & b->merges.mask;; at = (at + 1) & b->merges.mask) {
        struct table_slot *slot = table_probe(&b->merges, hash, &at);
        if (slot->index == 0 || merge_is(b->config.merges[slot->index - 1], left, right)) return slot;
    }
}

static bool is_printable(int byte) { return (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD); }

static void make_letters(bpe *b)
{
    for (int i = 0; i < N_LETTER_CODES; ++i) b->letter_byte[i] = -1;
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
        int code = is_printable(byte) ? byte : next++;
        b->letter_byte[code] = (int16_t)byte;
        char *letter = b->letters[byte];
        b->letter_bytes[byte] = code < 0x80 ? 1 : 2;
        letter[0] = (char)(code < 0x80 ? code : 0xC0 | code >> 6);
        letter[1] = (char)(0x80 | (code & 0x3F));
    }
}

static wf_status add_tokens(bpe *b, wf_error *err)
{
    TRY(table_create(&b->tokens, b->config.n_tokens, err));
    for (size_t i = 0; i < b->config.n_tokens; ++i) {
        view text = b->config.tokens[i];
        if (!b->config.usable[i] || text.len == 0) continue;
        uint64_t hash = hash_text(text);
        table_put(find_token_slot(b, text, hash), hash, i);
    }
    for (int byte = 0; byte < 256; ++byte)
        b->byte_token[byte] = b->config.characters ? b->config.byte_tokens[byte]
                                                   : bpe_find_token(b, (view){b->letters[byte], b->letter_bytes[byte]});
    return WF_OK;
}

static wf_status add_merges(bpe *b, wf_error *err)
{
    TRY(table_create(&b->merges, b->config.n_merges, err));
    for (size_t i = 0; i < b->config.n_merges; ++i) {
        view merge = b->config.merges[i];
        const char *space = merge.len ? memchr(merge.data, ' ', merge.len) : NULL;
        size_t cut = space ? (size_t)(space - merge.data) : 0;
        if (cut == 0 || cut + 1 == merge.len)
            return error_set(err, WF_ERROR_FORMAT, "merge %zu '%.*s' is not two parts with a space between", i,
                             VIEW_ARG(merge));
        view left = {merge.data, cut}, right = {space + 1, merge.len - cut - 1};
        uint64_t hash = hash_pair(hash_text(left), hash_text(right));
        struct table_slot *slot = find_merge_slot(b, left, right, hash);
        if (slot->index == 0) table_put(slot, hash, i);
    }
    return WF_OK;
}

wf_status bpe_create(const bpe_config *config, bpe **out, wf_error *err)
{
    bpe *b = calloc(1, sizeof *b);
    if (!b) return error_memory(err, sizeof *b);
    b->config = *config;
    make_letters(b);
    wf_status status = add_tokens(b, err);
    if (status == WF_OK) status = add_merges(b, err);
    b->config.usable = NULL; // the caller's, read once
    b->config.byte_tokens = NULL;
    if (status == WF_OK)
        *out = b;
    else
        bpe_free(b);
    return status;
}

void bpe_free(bpe *b)
{
    if (!b) return;
    free(b->tokens.slots);
    free(b->merges.slots);
    free(b);
}

int32_t bpe_find_token(const bpe *b, view text) { return find_token(b, text, hash_text(text)); }

// The letter at text.data[pos]: its byte and its length; -1 for anything else.
static int read_letter(const bpe *b, view text, size_t pos, size_t *length)
{
    unsigned char first = (unsigned char)text.data[pos];
    utf8_kind kind;
    *length = utf8_next(text, pos, &kind);
    if (kind != UTF8_VALID || *length > 2) return -1;
    int code = *length == 1 ? first : (first & 0x1F) << 6 | (text.data[pos + 1] & 0x3F);
    return code < N_LETTER_CODES ? b->letter_byte[code] : -1;
}

void bpe_decode(const bpe *b, view text, buffer *out)
{
    size_t length;
    for (size_t pos = 0; pos < text.len; pos += length) {
        if (read_letter(b, text, pos, &length) >= 0) continue;
        buffer_append_view(out, text);
        return;
    }
    for (size_t pos = 0; pos < text.len; pos += length) {
        int byte = read_letter(b, text, pos, &length);
        buffer_append_char(out, (char)byte);
    }
}

typedef struct symbol {
    uint32_t start, len; // letters; len is 0 once it went into its left neighbour
    int32_t prev, next;  // -1 at the ends
    uint64_t hash;
} symbol;

typedef struct candidate {
    uint64_t order;         // rank << 32 | left symbol: the smallest is merged next
    uint32_t left_len, len; // of the left half and of the pair when it was found
} candidate;

typedef struct cached_word {
    char word[CACHE_WORD]; // zero-padded
    unsigned char len;     // 0: free
    unsigned char n_ids;
    int32_t ids[CACHE_IDS];
} cached_word;

struct bpe_scratch {
    size_t capacity; // letters that the arrays below have room for
    char *letters;   // [2 * capacity]
    symbol *symbols; // [capacity]
    // A word of n letters has n - 1 pairs at first; a merge takes one candidate off and finds at most two, and there
    // are at most n - 1 merges: never more than 2n. A stale candidate is only taken off.
    candidate *heap; // [2 * capacity]
    size_t n_heap;
    cached_word *cache; // [CACHE_SLOTS], direct-mapped; or NULL
};

wf_status bpe_scratch_create(bool cache, bpe_scratch **out, wf_error *err)
{
    bpe_scratch *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    if (cache) s->cache = calloc(CACHE_SLOTS, sizeof *s->cache); // without memory: without a cache
    *out = s;
    return WF_OK;
}

void bpe_scratch_free(bpe_scratch *s)
{
    if (!s) return;
    free(s->letters);
    free(s->symbols);
    free(s->heap);
    free(s->cache);
    free(s);
}

static wf_status reserve_letters(bpe_scratch *s, size_t count, wf_error *err)
{
    if (count <= s->capacity) return WF_OK;
    size_t capacity = count < 64 ? 64 : count + count / 2;
    free(s->letters);
    free(s->symbols);
    free(s->heap);
    s->capacity = 0;
    s->letters = malloc(2 * capacity);
    s->symbols = malloc(capacity * sizeof *s->symbols);
    s->heap = malloc(2 * capacity * sizeof *s->heap);
    if (!s->letters || !s->symbols || !s->heap) return error_memory(err, capacity * sizeof *s->symbols);
    s->capacity = capacity;
    return WF_OK;
}

static void heap_push(bpe_scratch *s, candidate c)
{
    size_t i = s->n_heap++;
    for (; i > 0 && c.order < s->heap[(i - 1) / 2].order; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = c;
}

static candidate heap_pop(bpe_scratch *s)
{
    candidate top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->n_heap; i = child) {
        if (child + 1 < s->n_heap && s->heap[child + 1].order < s->heap[child].order) ++child;
        if (last.order <= s->heap[child].order) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

static view symbol_text(const bpe_scratch *s, const symbol *sym) { return (view){s->letters + sym->start, sym->len}; }

// The better the score, the smaller the rank; not a number comes last. A float's bits are in the order of its value
// once negative ones are turned around.
static int64_t rank_of_score(float score)
{
    uint32_t bits = 0;
    if (score == score) {
        memcpy(&bits, &score, sizeof bits);
        bits = bits >> 31 ? ~bits : bits | 0x80000000u;
        if (score == 0) bits = 0x80000000u; // both zeros
    }
    return UINT32_MAX - bits;
}

// The rank of the merge of a symbol with its right neighbour, or -1.
static int64_t find_rank(const bpe *b, const bpe_scratch *s, int32_t left)
{
    if (left < 0 || s->symbols[left].next < 0) return -1;
    const symbol *l = &s->symbols[left], *r = &s->symbols[l->next];
    if (b->config.scores) {
        int32_t id = bpe_find_token(b, (view){s->letters + l->start, l->len + r->len}); // neighbours in the letters too
        return id < 0 ? -1 : rank_of_score(b->config.scores[id]);
    }
    uint64_t hash = hash_pair(l->hash, r->hash);
    return (int64_t)find_merge_slot(b, symbol_text(s, l), symbol_text(s, r), hash)->index - 1;
}

static void push_pair(const bpe *b, bpe_scratch *s, int32_t left)
{
    int64_t rank = find_rank(b, s, left);
    if (rank < 0) return;
    const symbol *l = &s->symbols[left];
    heap_push(s, (candidate){(uint64_t)rank << 32 | (uint32_t)left, l->len, l->len + s->symbols[l->next].len});
}

// Spells the word as symbols of one letter each and returns their number; *dropped when a byte had no token.
static size_t spell_word(const bpe *b, bpe_scratch *s, view word, bool *dropped)
{
    size_t n = 0;
    uint32_t at = 0;
    *dropped = false;
    for (size_t i = 0; i < word.len; ++i) {
        unsigned char byte = (unsigned char)word.data[i];
        uint32_t len = b->letter_bytes[byte];
        if (b->byte_token[byte] < 0) {
            *dropped = true;
            continue;
        }
        memcpy(s->letters + at, b->letters[byte], len);
        uint64_t hash = hash_text((view){s->letters + at, len});
        s->symbols[n] = (symbol){at, len, (int32_t)n - 1, (int32_t)n + 1, hash};
        at += len;
        ++n;
    }
    if (n) s->symbols[n - 1].next = -1;
    return n;
}

// The same in characters; none is dropped.
static size_t spell_characters(bpe_scratch *s, view word)
{
    size_t n = 0, length;
    utf8_kind kind;
    memcpy(s->letters, word.data, word.len);
    for (size_t pos = 0; pos < word.len; pos += length) {
        length = utf8_next(word, pos, &kind);
        s->symbols[n] = (symbol){(uint32_t)pos, (uint32_t)length, (int32_t)n - 1, (int32_t)n + 1,
                                 hash_text((view){s->letters + pos, length})};
        ++n;
    }
    if (n) s->symbols[n - 1].next = -1;
    return n;
}

static void merge_symbols(const bpe *b, bpe_scratch *s, size_t n)
{
    s->n_heap = 0;
    for (size_t i = 0; i + 1 < n; ++i) push_pair(b, s, (int32_t)i);
    while (s->n_heap) {
        candidate c = heap_pop(s);
        int32_t left = (int32_t)(uint32_t)c.order;
        symbol *l = &s->symbols[left];
        if (l->len == 0 || l->next < 0) continue;
        symbol *r = &s->symbols[l->next];
        // Stale: the pair grew. Cut otherwise but of the same text, it is merged, as the reference does.
        if (l->len + r->len != c.len || (l->len != c.left_len && find_rank(b, s, left) < 0)) continue;
        l->len = c.len;
        l->hash = hash_text(symbol_text(s, l));
        l->next = r->next;
        r->len = 0;
        if (l->next >= 0) s->symbols[l->next].prev = left;
        push_pair(b, s, l->prev);
        push_pair(b, s, left);
    }
}

// A character that is no token: its bytes, or else the unknown token. *unknown: that was the last one appended.
static wf_status append_bytes(const bpe *b, view character, bool *unknown, token_list *out, wf_error *err)
{
    bool all = true, fuse = *unknown && b->config.fuse_unknown;
    for (size_t i = 0; i < character.len; ++i) all = all && b->byte_token[(unsigned char)character.data[i]] >= 0;
    *unknown = !all;
    if (!all) return fuse || b->config.unknown < 0 ? WF_OK : token_list_append(out, b->config.unknown, err);
    for (size_t i = 0; i < character.len; ++i)
        TRY(token_list_append(out, b->byte_token[(unsigned char)character.data[i]], err));
    return WF_OK;
}

// Falls apart into its characters.
static wf_status append_characters(const bpe *b, view text, bool *unknown, token_list *out, wf_error *err)
{
    size_t length;
    utf8_kind kind;
    for (size_t pos = 0; pos < text.len; pos += length) {
        length = utf8_next(text, pos, &kind);
        view character = {text.data + pos, length};
        int32_t id = bpe_find_token(b, character);
        if (id < 0) {
            TRY(append_bytes(b, character, unknown, out, err));
        } else {
            *unknown = false;
            TRY(token_list_append(out, id, err));
        }
    }
    return WF_OK;
}

static wf_status append_symbol(const bpe *b, const bpe_scratch *s, const symbol *sym, bool *unknown, token_list *out,
                               wf_error *err)
{
    view text = symbol_text(s, sym);
    int32_t id = find_token(b, text, sym->hash);
    if (id < 0 && b->config.characters) return append_characters(b, text, unknown, out, err);
    *unknown = false;
    if (id >= 0) return token_list_append(out, id, err);
    size_t length;
    for (size_t pos = 0; pos < text.len; pos += length) {
        int byte = read_letter(b, text, pos, &length);
        TRY(token_list_append(out, b->byte_token[byte], err));
    }
    return WF_OK;
}

static wf_status encode_uncached(const bpe *b, bpe_scratch *s, view word, token_list *out, wf_error *err)
{
    if (word.len > (size_t)512 << 20)
        return error_set(err, WF_ERROR_LIMIT, "a word of %zu bytes is too long to tokenize", word.len);
    TRY(reserve_letters(s, word.len, err));
    bool dropped = false, unknown = false;
    size_t n = b->config.characters ? spell_characters(s, word) : spell_word(b, s, word, &dropped);
    if (n == 0) return WF_OK;
    if (b->config.ignore_merges && !dropped) {
        const symbol *last = &s->symbols[n - 1];
        int32_t id = bpe_find_token(b, (view){s->letters, last->start + last->len});
        if (id >= 0) return token_list_append(out, id, err);
    }
    merge_symbols(b, s, n);
    for (int32_t i = 0; i >= 0; i = s->symbols[i].next) TRY(append_symbol(b, s, &s->symbols[i], &unknown, out, err));
    return WF_OK;
}

wf_status bpe_encode_word(const bpe *b, bpe_scratch *s, view word, token_list *out, wf_error *err)
{
    if (!s->cache || word.len == 0 || word.len > CACHE_WORD) return encode_uncached(b, s, word, out, err);
    char key[CACHE_WORD] = {0};
    memcpy(key, word.data, word.len);
    cached_word *c = &s->cache[hash_text(word) % CACHE_SLOTS];
    if (c->len == word.len && !memcmp(c->word, key, CACHE_WORD)) {
        for (int i = 0; i < c->n_ids; ++i) TRY(token_list_append(out, c->ids[i], err));
        return WF_OK;
    }
    size_t before = out->count;
    TRY(encode_uncached(b, s, word, out, err));
    size_t n_ids = out->count - before;
    if (n_ids > CACHE_IDS) return WF_OK;
    c->len = (unsigned char)word.len;
    c->n_ids = (unsigned char)n_ids;
    memcpy(c->word, key, CACHE_WORD);
    if (n_ids) memcpy(c->ids, out->ids + before, n_ids * sizeof *c->ids);
    return WF_OK;
}
