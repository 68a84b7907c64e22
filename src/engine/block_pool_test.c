// Random operations on a pool, against a model that is a list of blocks: none is given away while it is held, none is
// lost, what is held keeps its bytes, and of the blocks that are kept the one that was released first goes first.
#include "engine/block_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_BLOCKS = 24, N_CHAINS = 6, MOST = 8, N_SYMBOLS = 3, BLOCK_BYTES = 128 };

// What the model knows of a block.
typedef struct twin {
    int holders;
    int content, behind; // 0: not known; numbers that are given once, as the pool's serials
    int symbol;          // every token of it
    int released;        // when, while it is kept
    unsigned char mark;  // its bytes
} twin;

typedef struct chain {
    int32_t blocks[MOST];
    int n;
} chain;

static block_pool *pool;
static twin twins[N_BLOCKS];
static chain chains[N_CHAINS];
static int n_contents, now;

static int set_up(void **state)
{
    (void)state;
    memset(twins, 0, sizeof twins);
    memset(chains, 0, sizeof chains);
    n_contents = now = 0;
    assert_int_equal(block_pool_create(BLOCK_BYTES, N_BLOCKS, &pool, NULL), WF_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    block_pool_free(pool);
    return 0;
}

static bool is_kept(const twin *t) { return t->holders == 0 && t->content; }

static void check(void)
{
    int n_used = 0, n_kept = 0;
    for (int i = 0; i < N_BLOCKS; i++) {
        n_used += twins[i].holders > 0;
        n_kept += is_kept(&twins[i]);
        assert_int_equal(block_pool_holders(pool, i), twins[i].holders);
        assert_int_equal(block_pool_is_known(pool, i), twins[i].content != 0);
        const unsigned char *data = block_pool_data(pool, i);
        assert_int_equal((uintptr_t)data % 64, 0);
        for (int k = 0; k < BLOCK_BYTES && (twins[i].holders || twins[i].content); k++)
            assert_int_equal(data[k], twins[i].mark);
    }
    block_pool_counts c = block_pool_count(pool);
    assert_int_equal(c.n_blocks, N_BLOCKS);
    assert_int_equal(c.n_used, n_used);
    assert_int_equal(c.n_kept, n_kept);
    assert_int_equal(block_pool_left(c), N_BLOCKS - n_used);
}

static void fill_tokens(int32_t tokens[KV_BLOCK], int symbol)
{
    for (int i = 0; i < KV_BLOCK; i++) tokens[i] = symbol;
}

static int32_t last_of(const chain *c) { return c->n ? c->blocks[c->n - 1] : BLOCK_NONE; }

// The block that is known to hold the symbol behind a parent.
static int32_t model_find(int32_t parent, int symbol)
{
    for (int i = 0; i < N_BLOCKS; i++)
        if (twins[i].content && twins[i].symbol == symbol &&
            twins[i].behind == (parent == BLOCK_NONE ? 0 : twins[parent].content))
            return i;
    return BLOCK_NONE;
}

// What `block`, which was taken just now, may be.
static void model_take(int32_t block)
{
    int n_free = 0;
    int32_t oldest = BLOCK_NONE;
    for (int i = 0; i < N_BLOCKS; i++) {
        n_free += twins[i].holders == 0 && !twins[i].content;
        if (is_kept(&twins[i]) && (oldest == BLOCK_NONE || twins[i].released < twins[oldest].released)) oldest = i;
    }
    if (n_free == 0) {
        assert_int_equal(block, oldest);
        if (block == BLOCK_NONE) return;
    }
    assert_int_equal(twins[block].holders, 0);
    if (n_free) assert_int_equal(twins[block].content, 0);
    twins[block] = (twin){.holders = 1, .mark = (unsigned char)rand()};
}

static void model_release(int32_t block)
{
    if (--twins[block].holders == 0) twins[block].released = ++now;
}

static void release_last(chain *c)
{
    int32_t block = c->blocks[--c->n];
    block_pool_release(pool, block);
    model_release(block);
}

static void publish(chain *c, int32_t block, int symbol)
{
    int32_t parent = last_of(c), tokens[KV_BLOCK], known = model_find(parent, symbol);
    fill_tokens(tokens, symbol);
    int32_t got = block_pool_publish(pool, block, parent, tokens);
    if (known == BLOCK_NONE) {
        assert_int_equal(got, block);
        twins[block].content = ++n_contents;
        twins[block].behind = parent == BLOCK_NONE ? 0 : twins[parent].content;
        twins[block].symbol = symbol;
    } else {
        assert_int_equal(got, known);
        twins[known].holders++;
        model_release(block);
    }
    c->blocks[c->n++] = got;
}

static void write_mark(int32_t block) { memset(block_pool_data(pool, block), twins[block].mark, BLOCK_BYTES); }

// As a sequence goes on: by what is known, or else by a block of its own.
static void extend(chain *c, bool look)
{
    int symbol = rand() % N_SYMBOLS;
    int32_t tokens[KV_BLOCK];
    if (c->n == MOST) return;
    fill_tokens(tokens, symbol);
    if (look) {
        int32_t known = model_find(last_of(c), symbol), found = block_pool_find(pool, last_of(c), tokens);
        assert_int_equal(found, known);
        if (found != BLOCK_NONE) {
            twins[found].holders++;
            c->blocks[c->n++] = found;
            return;
        }
    }
    int32_t block = block_pool_take(pool);
    model_take(block);
    if (block == BLOCK_NONE) return;
    write_mark(block);
    assert_true(block_pool_is_own(pool, block));
    publish(c, block, symbol);
}

// As a sequence is truncated into its last block and goes on otherwise.
static void rewrite_last(chain *c)
{
    if (c->n == 0) return;
    int32_t block = c->blocks[c->n - 1];
    unsigned char mark = twins[block].mark;
    assert_false(block_pool_is_own(pool, block));
    int32_t own = block_pool_own(pool, block);
    bool in_place = own == block;
    if (in_place) { // there was no other
        for (int i = 0; i < N_BLOCKS; i++) assert_true(twins[i].holders > 0);
        assert_int_equal(twins[block].holders, 1);
        twins[block].content = 0;
    } else {
        if (own == BLOCK_NONE) assert_true(twins[block].holders > 1);
        model_take(own);
        if (own == BLOCK_NONE) return;
        twins[own].mark = mark; // copied
        model_release(block);
    }
    check();
    c->n--;
    twins[own].mark = (unsigned char)rand();
    write_mark(own);
    publish(c, own, rand() % N_SYMBOLS);
}

static void copy_chain(chain *to, const chain *from)
{
    if (to == from) return;
    while (to->n) release_last(to);
    to->n = from->n ? rand() % (from->n + 1) : 0;
    for (int i = 0; i < to->n; i++) {
        block_pool_hold(pool, to->blocks[i] = from->blocks[i]);
        twins[to->blocks[i]].holders++;
    }
}

static void random_operations(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        set_up(NULL);
        srand(seed);
        for (int i = 0; i < 3000; i++) {
            chain *c = &chains[rand() % N_CHAINS];
            int what = rand() % 16;
            if (what < 8)
                extend(c, what > 0);
            else if (what < 12 && c->n)
                release_last(c);
            else if (what == 12)
                copy_chain(c, &chains[rand() % N_CHAINS]);
            else if (what == 13)
                rewrite_last(c);
            check();
        }
        for (int i = 0; i < N_CHAINS; i++)
            while (chains[i].n) release_last(&chains[i]);
        check();
        assert_int_equal(block_pool_count(pool).n_used, 0);
        tear_down(NULL);
    }
}

// Of a chain that nobody holds, the end goes first, and the beginning is still found.
static void ends_go_first(void **state)
{
    (void)state;
    int32_t tokens[KV_BLOCK];
    chain *c = &chains[0];
    for (int i = 0; i < MOST; i++) {
        int32_t block = block_pool_take(pool);
        model_take(block);
        write_mark(block);
        publish(c, block, i);
    }
    while (c->n) release_last(c);
    for (int i = 0; i < N_BLOCKS - MOST + 2; i++) assert_true(block_pool_take(pool) != BLOCK_NONE);
    int32_t parent = BLOCK_NONE;
    for (int i = 0; i < MOST; i++) {
        fill_tokens(tokens, i);
        int32_t found = block_pool_find(pool, parent, tokens);
        assert_int_equal(found != BLOCK_NONE, i < MOST - 2);
        if (found != BLOCK_NONE) parent = found;
    }
}

static void sizes_that_cannot_be(void **state)
{
    (void)state;
    block_pool *p;
    wf_error err = {0};
    assert_int_equal(block_pool_create(SIZE_MAX / 2, 3, &p, &err), WF_ERROR_MEMORY);
    assert_null(p);
    assert_int_equal(block_pool_create(64, INT64_C(1) << 40, &p, &err), WF_ERROR_MEMORY);
    assert_int_equal(block_pool_create((size_t)1 << 50, 3, &p, &err), WF_ERROR_MEMORY); // no such address space
    block_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test_setup_teardown(ends_go_first, set_up, tear_down),
        cmocka_unit_test(sizes_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
