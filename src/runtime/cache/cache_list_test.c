// What is listed, what goes when something new comes, and what stays because a process uses it.
#include "runtime/cache/cache_list.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/test_folder.h"
#include "runtime/cache/cache.h"

enum { DAY = 24 * 3600, PAYLOAD = 100000 - CACHE_RECORD_BYTES };

static int set_up(void **state)
{
    (void)state;
    if (make_root()) return -1;
    setenv("WELFORD_CACHE", root, 1);
    unsetenv("WELFORD_CACHE_LIMIT");
    return 0;
}

static cache_id make_id(cache_kind kind, char digit)
{
    cache_id id = {.kind = kind, .origin = "/models/m.gguf"};
    memset(id.key, digit, CACHE_KEY_CHARS - 1);
    return id;
}

static void set_age(cache_kind kind, char digit, time_t days)
{
    char path[PATH_MAX], name[CACHE_NAME_CHARS];
    cache_id id = make_id(kind, digit);
    cache_name(&id, name);
    snprintf(path, sizeof path, "%s/%ss/%s", root, cache_kind_name(kind), name);
    time_t then = time(NULL) - days * DAY;
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){{.tv_sec = then}, {.tv_sec = then}}, 0), 0);
}

// An entry of 100000 bytes.
static void put(cache_kind kind, char digit, time_t days)
{
    cache_id id = make_id(kind, digit);
    cache_draft d;
    char *data = calloc(PAYLOAD, 1);
    assert_non_null(data);
    assert_true(cache_draft_open(&id, PAYLOAD, &d));
    assert_true(file_write_at(d.file.fd, data, PAYLOAD, CACHE_RECORD_BYTES));
    assert_true(cache_draft_publish(&d, 0));
    cache_draft_close(&d);
    free(data);
    set_age(kind, digit, days);
}

// First digits of the keys of what is there, in order.
static void expect(const char *digits)
{
    cache_items list;
    char seen[64] = "";
    wf_error err;
    if (cache_list(&list, &err) != WF_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < list.count; i++) strncat(seen, list.items[i].name, 1);
    for (size_t i = 0; seen[i]; i++) // sorts
        for (size_t k = i + 1; seen[k]; k++)
            if (seen[k] < seen[i]) {
                char c = seen[i];
                seen[i] = seen[k], seen[k] = c;
            }
    assert_string_equal(seen, digits);
    cache_items_free(&list);
}

static void write_file(const char *name, size_t bytes)
{
    char path[PATH_MAX], *data = calloc(bytes + 1, 1);
    assert_non_null(data);
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(file_write(path, data, bytes, NULL), WF_OK);
    free(data);
}

static bool exists(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return access(path, F_OK) == 0;
}

static void test_list_and_clear(void **state)
{
    (void)state;
    cache_items list;
    assert_int_equal(cache_list(&list, NULL), WF_OK); // nothing there yet
    assert_int_equal(list.count, 0);
    cache_items_free(&list);
    assert_int_equal(cache_clear(&list, NULL), WF_OK);
    cache_items_free(&list);

    put(CACHE_PROGRAM, '1', 3);
    put(CACHE_PACK, '2', 0);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/models", root);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file("programs/00000000000000000000000000000003.wfprog.aB3xYz", 5);
    write_file("packs/00000000000000000000000000000004.wfpack", 9); // of another format
    write_file("programs/notes.txt", 100);
    write_file("models/smollm2.gguf", 7);
    snprintf(path, sizeof path, "%s/packs/00000000000000000000000000000005.wfpack", root);
    assert_int_equal(mkdir(path, 0755), 0);

    assert_int_equal(cache_list(&list, NULL), WF_OK);
    assert_int_equal(list.count, 4);
    size_t bytes = 0;
    for (size_t i = 0; i < list.count; i++) {
        const cache_item *item = &list.items[i];
        bytes += item->bytes;
        assert_string_equal(item->origin, strchr("12", item->name[0]) ? "/models/m.gguf" : "");
        assert_int_equal(item->is_draft, item->bytes == 5);
        assert_false(item->removed);
        int64_t age = time(NULL) - item->used;
        assert_true(item->name[0] == '1' ? age >= 3 * DAY && age < 4 * DAY : age >= 0 && age < DAY);
    }
    assert_int_equal(bytes, 200014);
    cache_items_free(&list);

    assert_int_equal(cache_clear(&list, NULL), WF_OK);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < list.count; i++) assert_true(list.items[i].removed);
    cache_items_free(&list);
    expect("");
    assert_true(exists("programs/notes.txt")); // not ours
    assert_true(exists("models/smollm2.gguf"));
    unsetenv("WELFORD_CACHE");
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    unsetenv("HOME");
    unsetenv("XDG_CACHE_HOME");
    wf_error err;
    assert_int_equal(cache_list(&list, &err), WF_ERROR_IO);
    cache_items_free(&list);
    if (home) setenv("HOME", home, 1);
    free(home);
}

// The least recently used goes, whatever its kind, when something new comes.
static void test_limit(void **state)
{
    (void)state;
    setenv("WELFORD_CACHE_LIMIT", "300000", 1);
    put(CACHE_PACK, '1', 2);
    put(CACHE_PROGRAM, '2', 3);
    put(CACHE_PACK, '3', 1);
    expect("123");
    put(CACHE_PACK, '3', 1); // in its own place
    expect("123");
    put(CACHE_PACK, '4', 0);
    expect("134");
    cache_id id = make_id(CACHE_PACK, '1');
    cache_entry entry;
    assert_true(cache_open(&id, &entry)); // used now
    cache_entry_close(&entry);
    put(CACHE_PROGRAM, '5', 0);
    expect("145");
    setenv("WELFORD_CACHE_LIMIT", "50000", 1); // smaller than what comes: it is written nevertheless
    put(CACHE_PROGRAM, '6', 0);
    expect("6");
    setenv("WELFORD_CACHE_LIMIT", "0", 1);
    put(CACHE_PROGRAM, '7', 0);
    expect("7");
    setenv("WELFORD_CACHE_LIMIT", "none", 1);
    for (char c = '1'; c < '7'; c++) put(CACHE_PACK, c, 29);
    expect("1234567");
    set_age(CACHE_PACK, '2', 31);
    put(CACHE_PACK, '8', 0);
    expect("1345678");
}

static void test_default_limit(void **state)
{
    (void)state;
    struct statvfs st;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstatvfs(fd, &st), 0);
    size_t tenth = st.f_blocks * st.f_frsize / 10;
    assert_int_equal(cache_limit(fd), tenth);
    setenv("WELFORD_CACHE_LIMIT", "", 1);
    assert_int_equal(cache_limit(fd), tenth);
    setenv("WELFORD_CACHE_LIMIT", "2K", 1);
    assert_int_equal(cache_limit(fd), 2048);
    assert_false(cache_has_warned());
    setenv("WELFORD_CACHE_LIMIT", "much", 1);
    assert_int_equal(cache_limit(fd), tenth);
    assert_true(cache_has_warned());
    close(fd);
}

static void test_prune(void **state)
{
    (void)state;
    cache_items list;
    assert_int_equal(cache_prune(&list, NULL), WF_OK);
    cache_items_free(&list);
    put(CACHE_PACK, '1', 29);
    put(CACHE_PROGRAM, '2', 3);
    put(CACHE_PACK, '3', 1);
    put(CACHE_PACK, '4', 2);
    set_age(CACHE_PROGRAM, '2', 30);
    setenv("WELFORD_CACHE_LIMIT", "200000", 1);
    assert_int_equal(cache_prune(&list, NULL), WF_OK);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < list.count; i++) assert_int_equal(list.items[i].removed, list.items[i].name[0] <= '2');
    cache_items_free(&list);
    expect("34");
}

// Nothing goes for what there is no room for anyhow.
static void test_hopeless(void **state)
{
    (void)state;
    put(CACHE_PACK, '1', 1);
    setenv("WELFORD_CACHE_LIMIT", "0", 1);
    cache_id id = make_id(CACHE_PACK, '2');
    cache_draft d;
    assert_false(cache_draft_open(&id, SIZE_MAX / 2, &d));
    expect("1");
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = PAYLOAD;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool opened = cache_draft_open(&id, PAYLOAD, &d);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(opened);
    assert_int_equal(d.room, PAYLOAD);
    expect("1");
}

// Another process has mapped an entry: it stays, and others go, until that process ends.
static void test_in_use_by_another_process(void **state)
{
    (void)state;
    put(CACHE_PACK, '1', 2);
    put(CACHE_PACK, '2', 1);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        cache_id id = make_id(CACHE_PACK, '1');
        cache_entry entry;
        if (!cache_open(&id, &entry) || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ready[1]);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    set_age(CACHE_PACK, '1', 40);
    setenv("WELFORD_CACHE_LIMIT", "0", 1);
    put(CACHE_PACK, '3', 0);
    expect("13");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    put(CACHE_PACK, '4', 0);
    expect("4");
    close(ready[0]);
}

// So does what was just written and is mapped still.
static void test_in_use_by_its_writer(void **state)
{
    (void)state;
    cache_id id = make_id(CACHE_PACK, '1');
    cache_draft d;
    file_map map;
    assert_true(cache_draft_open(&id, 4, &d));
    assert_true(file_write_at(d.file.fd, "text", 4, CACHE_RECORD_BYTES));
    assert_true(cache_draft_publish(&d, 0));
    assert_true(cache_draft_map(&d, &map));
    cache_draft_close(&d);
    setenv("WELFORD_CACHE_LIMIT", "0", 1);
    put(CACHE_PACK, '2', 0);
    expect("12");
    file_map_close(&map);
    put(CACHE_PACK, '3', 0);
    expect("3");
}

static void test_sweep(void **state)
{
    (void)state;
    put(CACHE_PACK, '1', 100);
    write_file("packs/22222222222222222222222222222222.wfpack.aaaaaa", 5);
    write_file("packs/33333333333333333333333333333333.wfpack.aaaaaa", 5);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/packs/33333333333333333333333333333333.wfpack.aaaaaa", root);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    cache_sweep();
    expect("13"); // drafts only
    close(fd);
    cache_sweep();
    expect("1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_list_and_clear),
        TEST(test_limit),
        TEST(test_default_limit),
        TEST(test_prune),
        TEST(test_hopeless),
        TEST(test_in_use_by_another_process),
        TEST(test_in_use_by_its_writer),
        TEST(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
