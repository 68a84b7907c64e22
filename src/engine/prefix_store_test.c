// What is written is read again, by this store and by another; what is damaged or not what its name says is as good as
// none; a folder that cannot be written to costs nothing but what it would have held.
#include "engine/prefix_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/test_folder.h"

enum { BYTES = 1000, N = 5, HEAD = 320 };

static const char IDENTITY[] = "0123456789abcdef0123456789abcdef";

static int32_t tokens[N][KV_BLOCK];
static unsigned char blocks[N][BYTES];
static prefix_key keys[N + 1]; // before each, and after all
static prefix_store *s;

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < KV_BLOCK; k++) tokens[i][k] = i % 2 ? k : i + k; // two blocks of equal tokens
        for (int k = 0; k < BYTES; k++) blocks[i][k] = (unsigned char)(i * 31 + k);
        keys[i + 1] = prefix_key_next(keys[i], tokens[i]);
    }
    return make_root() || prefix_store_open(root, IDENTITY, BYTES, &s, NULL) != WF_OK;
}

static int tear_down(void **state)
{
    prefix_store_close(s);
    return remove_root(state);
}

static bool reads(prefix_store *from, int i)
{
    unsigned char block[BYTES];
    if (!prefix_store_read(from, keys[i], tokens[i], block)) return false;
    assert_memory_equal(block, blocks[i], BYTES);
    return true;
}

static void path_of(int i, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s/%016llx%016llx", root, IDENTITY, (unsigned long long)keys[i + 1].high,
             (unsigned long long)keys[i + 1].low);
}

static void written_is_read(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        assert_false(prefix_store_has(s, keys[i], tokens[i]) || reads(s, i));
        assert_true(prefix_store_write(s, keys[i], tokens[i], blocks[i]));
        assert_true(prefix_store_has(s, keys[i], tokens[i]));
    }
    prefix_store *again, *other;
    assert_int_equal(prefix_store_open(root, IDENTITY, BYTES, &again, NULL), WF_OK);
    assert_int_equal(prefix_store_open(root, "of another model", BYTES, &other, NULL), WF_OK);
    for (int i = 0; i < N; i++) assert_true(reads(s, i) && reads(again, i) && !reads(other, i));
    prefix_store_counts counts = prefix_store_count(s);
    assert_int_equal(counts.n_written, N);
    assert_int_equal(counts.n_read, N);
    assert_int_equal(counts.n_failed, 0);
    prefix_store_close(again);
    prefix_store_close(other);
    prefix_store_close(NULL);
}

// Every byte of the head, some of the block, and every kind of wrong length.
static void damage_is_ignored(void **state)
{
    (void)state;
    char path[PATH_MAX], *data;
    size_t bytes;
    assert_true(prefix_store_write(s, keys[0], tokens[0], blocks[0]));
    path_of(0, path);
    assert_int_equal(file_read(path, &data, &bytes, NULL), WF_OK);
    assert_int_equal(bytes, HEAD + BYTES);
    for (size_t i = 0; i < bytes; i += i < HEAD ? 1 : 97) {
        data[i] ^= 4;
        assert_int_equal(file_write(path, data, bytes, NULL), WF_OK);
        assert_false(reads(s, 0));
        data[i] ^= 4;
    }
    for (size_t n = 0; n < bytes; n += 1 + n / 2) {
        assert_int_equal(file_write(path, data, n, NULL), WF_OK);
        assert_false(reads(s, 0));
    }
    assert_true(prefix_store_count(s).n_failed > HEAD);
    assert_int_equal(file_write(path, data, bytes, NULL), WF_OK);
    assert_true(reads(s, 0));
    // one that lies under the name of another
    path_of(1, path);
    assert_int_equal(file_write(path, data, bytes, NULL), WF_OK);
    assert_false(reads(s, 1));
    assert_true(prefix_store_write(s, keys[1], tokens[1], blocks[1])); // makes it good
    assert_true(reads(s, 1));
    free(data);
}

static void folders_that_fail(void **state)
{
    (void)state;
    char folder[PATH_MAX];
    wf_error err = {0};
    prefix_store *other;
    snprintf(folder, sizeof folder, "%s/%s", root, IDENTITY);
    assert_int_equal(rmdir(folder), 0);
    for (int i = 0; i < 2; i++) assert_false(prefix_store_write(s, keys[i], tokens[i], blocks[i]));
    assert_int_equal(prefix_store_count(s).n_failed, 2);
    assert_false(reads(s, 0));
    assert_int_equal(file_write(in_root("file"), "x", 1, NULL), WF_OK);
    assert_int_equal(prefix_store_open(in_root("file"), IDENTITY, BYTES, &other, &err), WF_ERROR_IO);
    assert_null(other);
    assert_non_null(strstr(err.message, "file"));
}

static void abandoned_files_go(void **state)
{
    (void)state;
    char old[PATH_MAX], young[PATH_MAX];
    prefix_store *again;
    assert_true(prefix_store_write(s, keys[0], tokens[0], blocks[0]));
    snprintf(old, sizeof old, "%s/%s/00.abc123", root, IDENTITY);
    snprintf(young, sizeof young, "%s/%s/00.abc124", root, IDENTITY);
    assert_int_equal(file_write(old, "x", 1, NULL), WF_OK);
    assert_int_equal(file_write(young, "x", 1, NULL), WF_OK);
    assert_int_equal(utime(old, &(struct utimbuf){1, 1}), 0);
    assert_int_equal(prefix_store_open(root, IDENTITY, BYTES, &again, NULL), WF_OK);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(young, F_OK), 0);
    assert_true(reads(again, 0));
    prefix_store_close(again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(written_is_read),
        TEST(damage_is_ignored),
        TEST(folders_that_fail),
        TEST(abandoned_files_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
