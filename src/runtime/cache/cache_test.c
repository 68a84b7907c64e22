// Keys, records, entries made and found, what is damaged, and two writers at once.
#include "runtime/cache/cache.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/test_folder.h"

static const cache_id ID = {CACHE_PROGRAM, "0123456789abcdef0123456789abcdef", "/models/a.gguf"};

static char entry_path[PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    if (make_root()) return -1;
    setenv("WELFORD_CACHE", root, 1);
    snprintf(entry_path, sizeof entry_path, "%s/programs/%s.wfprog", root, ID.key);
    return 0;
}

static bool put(const cache_id *id, const char *data, size_t bytes)
{
    cache_draft d;
    if (!cache_draft_open(id, bytes, &d)) return false;
    bool good = file_write_at(d.file.fd, data, bytes, CACHE_RECORD_BYTES) && cache_draft_publish(&d, 77);
    cache_draft_close(&d);
    return good;
}

static bool has(const cache_id *id)
{
    cache_entry entry;
    bool found = cache_open(id, &entry);
    cache_entry_close(&entry);
    return found;
}

static void test_key(void **state)
{
    (void)state;
    char a[CACHE_KEY_CHARS], b[CACHE_KEY_CHARS];
    cache_key((view[]){VIEW_LITERAL("header"), VIEW_LITERAL("1")}, 2, a);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    cache_key((view[]){VIEW_LITERAL("header"), VIEW_LITERAL("1")}, 2, b);
    assert_string_equal(a, b);
    // Another order, other borders, an empty part: other keys.
    const view others[][3] = {
        {VIEW_LITERAL("1"), VIEW_LITERAL("header")},
        {VIEW_LITERAL("heade"), VIEW_LITERAL("r1")},
        {VIEW_LITERAL("header1"), {NULL, 0}},
        {{NULL, 0}, VIEW_LITERAL("header1")},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cache_key(others[i], 2, b);
        assert_string_not_equal(a, b);
    }
    cache_key((view[]){VIEW_LITERAL("header"), VIEW_LITERAL("1"), {NULL, 0}}, 3, b);
    assert_string_not_equal(a, b);
    cache_key(NULL, 0, b);
    assert_int_equal(strlen(b), 32);
}

static void test_entry(void **state)
{
    (void)state;
    cache_entry entry;
    assert_false(cache_open(&ID, &entry));
    assert_int_equal(access(entry_path, F_OK), -1);
    assert_true(put(&ID, "program", 7));
    struct stat st;
    assert_int_equal(stat(entry_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(cache_open(&ID, &entry));
    assert_int_equal(entry.payload.len, 7);
    assert_memory_equal(entry.payload.data, "program", 7);
    assert_int_equal((uintptr_t)entry.payload.data % 4096, 0);
    assert_int_equal(entry.checksum, 77);
    assert_true(put(&ID, "another", 7)); // in its place; what is mapped stays
    assert_memory_equal(entry.payload.data, "program", 7);
    cache_entry_close(&entry);
    assert_true(cache_open(&ID, &entry));
    assert_memory_equal(entry.payload.data, "another", 7);
    cache_entry_close(&entry);
    cache_id other = ID;
    other.kind = CACHE_PACK;
    assert_false(has(&other));
}

static void test_draft(void **state)
{
    (void)state;
    cache_draft d;
    assert_true(cache_draft_open(&ID, 4, &d));
    assert_true(file_write_at(d.file.fd, "text", 4, CACHE_RECORD_BYTES));
    assert_false(has(&ID));
    assert_true(cache_draft_publish(&d, 5));
    file_map map;
    assert_true(cache_draft_map(&d, &map));
    cache_draft_close(&d);
    assert_true(has(&ID));
    assert_memory_equal(map.data + CACHE_RECORD_BYTES, "text", 4);
    file_map_close(&map);
    assert_true(cache_draft_open(&ID, 4, &d));
    cache_draft_close(&d); // given up
    assert_true(has(&ID));
    assert_false(cache_draft_open(&ID, SIZE_MAX, &d));
    assert_false(cache_draft_open(&ID, SIZE_MAX / 2, &d)); // no disk has that
    assert_true(d.room > 0 && d.room < SIZE_MAX / 2);
}

static void test_damaged(void **state)
{
    (void)state;
    assert_true(put(&ID, "program", 7));
    for (long at = 0; at < CACHE_RECORD_BYTES; at += at < 100 ? 1 : 997) {
        assert_true(flip_bit(entry_path, at));
        assert_false(has(&ID));
        assert_true(flip_bit(entry_path, at));
        assert_true(has(&ID));
    }
    const off_t sizes[] = {0, 1, 4095, 4096, 4102, 4104};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(entry_path, sizes[i]), 0);
        assert_false(has(&ID));
        assert_true(put(&ID, "program", 7));
    }
    cache_id other = ID; // a good entry of another name
    other.key[0] = 'f';
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/programs/%s.wfprog", root, other.key);
    assert_int_equal(rename(entry_path, path), 0);
    assert_false(has(&other));
}

static void test_record(void **state)
{
    (void)state;
    unsigned char bytes[CACHE_RECORD_BYTES];
    cache_record r = {.kind = CACHE_PACK, .key = "00112233445566778899aabbccddeeff", .payload_bytes = 5, .checksum = 9},
                 s;
    char path[2 * PATH_MAX], expected[PATH_MAX];
    snprintf(path, sizeof path, "%s/./a.gguf", root);
    snprintf(expected, sizeof expected, "%s/a.gguf", root);
    assert_int_equal(symlink("blob", path), 0);
    cache_record_set_origin(&r, path);
    assert_string_equal(r.origin, path); // leads nowhere
    char blob[PATH_MAX];
    snprintf(blob, sizeof blob, "%s/blob", root);
    assert_int_equal(file_write(blob, "x", 1, NULL), WF_OK);
    cache_record_set_origin(&r, path);
    assert_string_equal(r.origin, expected); // the name that the user gave, not the link's target
    cache_record_write(&r, bytes);
    assert_true(cache_record_read(bytes, sizeof bytes, &s));
    assert_int_equal(s.kind, r.kind);
    assert_string_equal(s.key, r.key);
    assert_string_equal(s.origin, r.origin);
    assert_int_equal(s.payload_bytes, 5);
    assert_int_equal(s.checksum, 9);
    assert_false(cache_record_read(bytes, sizeof bytes - 1, &s));
    assert_false(cache_record_read(NULL, 0, &s));
    snprintf(path, sizeof path, "%s/.", root);
    cache_record_set_origin(&r, path);
    assert_string_equal(r.origin, root);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    s = (cache_record){0};
    cache_record_set_origin(&s, path);
    assert_string_equal(s.origin, "");
}

static time_t set_age(time_t seconds)
{
    time_t then = time(NULL) - seconds;
    assert_int_equal(utimensat(AT_FDCWD, entry_path, (struct timespec[]){{.tv_sec = then}, {.tv_sec = then}}, 0), 0);
    return then;
}

static time_t last_use(void)
{
    struct stat st;
    assert_int_equal(stat(entry_path, &st), 0);
    return st.st_mtime;
}

// To the hour, since that is a write.
static void test_last_use(void **state)
{
    (void)state;
    assert_true(put(&ID, "program", 7));
    time_t then = set_age(1800);
    assert_true(has(&ID));
    assert_int_equal(last_use(), then);
    then = set_age(3700);
    assert_true(has(&ID));
    assert_true(last_use() >= then + 3700);
    then = set_age(-86400); // a clock that was set back
    assert_true(has(&ID));
    assert_true(last_use() < then);
}

static void test_untrusted_entry_is_made_anew(void **state)
{
    (void)state;
    assert_true(put(&ID, "program", 7));
    assert_int_equal(chmod(entry_path, 0666), 0);
    assert_false(has(&ID));
    assert_true(cache_has_warned());
    assert_true(put(&ID, "program", 7));
    assert_true(has(&ID));
    assert_int_equal(chmod(root, 0777), 0);
    assert_false(has(&ID));
    assert_false(put(&ID, "program", 7));
    assert_int_equal(chmod(root, 0700), 0);
    assert_true(has(&ID));
}

// Two processes start on an empty cache and write the same entry over and over while this one reads it: always whole.
static void test_two_writers(void **state)
{
    (void)state;
    enum { BYTES = 200000, ROUNDS = 40 };
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/not/yet", root);
    setenv("WELFORD_CACHE", folder, 1);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i]) continue;
        char *data = malloc(BYTES);
        if (!data) _exit(1);
        int bad = 0;
        for (int round = 0; round < ROUNDS; round++) {
            memset(data, 'a' + 2 * (round % 13) + i, BYTES);
            bad |= !put(&ID, data, BYTES);
        }
        free(data);
        _exit(bad);
    }
    int n_read = 0, n_ended = 0, result;
    while (n_ended < 2) {
        cache_entry entry;
        if (cache_open(&ID, &entry)) {
            assert_int_equal(entry.payload.len, BYTES);
            for (size_t i = 1; i < BYTES; i++)
                if (entry.payload.data[i] != entry.payload.data[0]) fail_msg("mixed entry at byte %zu", i);
            cache_entry_close(&entry);
            n_read++;
        }
        if (waitpid(children[n_ended], &result, WNOHANG) == children[n_ended]) {
            assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
            n_ended++;
        }
    }
    assert_true(n_read > 0);
    char command[2 * PATH_MAX];
    snprintf(command, sizeof command, "test $(ls -A %s/programs | wc -l) = 1", folder); // no drafts left
    assert_int_equal(system(command), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_key),    TEST(test_entry),    TEST(test_draft),       TEST(test_damaged),
        TEST(test_record), TEST(test_last_use), TEST(test_two_writers), TEST(test_untrusted_entry_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
