// Bundles written and read back; and tables that do not fit, with a checksum that does.
#include "format/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#include "format/checkpoint_open.h"
#include "format/gguf_write.h"

static char folder[] = "/tmp/bundle_test.XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][PATH_MAX];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, PATH_MAX, "%s/%s", folder, name);
    return p;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static metadata_value text_value(const char *key, const char *text)
{
    return (metadata_value){.key = view_of(key), .type = METADATA_STRING, .count = 1, .s = view_of(text)};
}

// A checkpoint with a value of every kind, and two tensors.
static checkpoint *make_checkpoint(void)
{
    static const unsigned char numbers[] = {1, 0, 0, 0, 255, 255, 255, 255}, flags[] = {1, 0, 1};
    static const view strings[] = {{"a", 1}, {"", 0}, {"\xff\0z", 3}};
    const metadata_value values[] = {
        text_value("general.architecture", "llama"),
        {.key = view_of("u8"), .type = METADATA_U8, .count = 1, .u = 200},
        {.key = view_of("i8"), .type = METADATA_I8, .count = 1, .i = -3},
        {.key = view_of("u16"), .type = METADATA_U16, .count = 1, .u = 65535},
        {.key = view_of("i32"), .type = METADATA_I32, .count = 1, .i = INT32_MIN},
        {.key = view_of("u64"), .type = METADATA_U64, .count = 1, .u = UINT64_MAX},
        {.key = view_of("i64"), .type = METADATA_I64, .count = 1, .i = INT64_MIN},
        {.key = view_of("f32"), .type = METADATA_F32, .count = 1, .f = 0.1f},
        {.key = view_of("f64"), .type = METADATA_F64, .count = 1, .f = 0.1},
        {.key = view_of("bool"), .type = METADATA_BOOL, .count = 1, .u = 1},
        {.key = view_of("i32s"), .type = METADATA_ARRAY, .item_type = METADATA_I32, .count = 2, .data = numbers},
        {.key = view_of("bools"), .type = METADATA_ARRAY, .item_type = METADATA_BOOL, .count = 3, .data = flags},
        {.key = view_of("none"), .type = METADATA_ARRAY, .item_type = METADATA_F32},
        {.key = view_of("strings"),
         .type = METADATA_ARRAY,
         .item_type = METADATA_STRING,
         .count = 3,
         .strings = strings},
        text_value("replaced", "old"),
    };
    const checkpoint_tensor tensors[] = {
        {.name = view_of("a"), .type = TENSOR_Q8_0, .n_dims = 2, .dims = {32, 3, 1, 1}, .bytes = 102},
        {.name = view_of("b"), .type = TENSOR_F32, .n_dims = 1, .dims = {5, 1, 1, 1}, .bytes = 20},
    };
    checkpoint *file;
    assert_int_equal(checkpoint_create("made", &file, NULL), WF_OK);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(checkpoint_add_value(file, &values[i], NULL), WF_OK);
    for (size_t i = 0; i < 2; i++) assert_int_equal(checkpoint_add_tensor(file, &tensors[i], NULL), WF_OK);
    assert_int_equal(checkpoint_finish(file, (view){0}, NULL), WF_OK);
    return file;
}

static const char *const CPU = "znver4";

static void write_bundle(const char *path, size_t pack_bytes)
{
    wf_error err = {0};
    bundle_writer w;
    buffer header = {0};
    checkpoint *file = make_checkpoint();
    const metadata_value more = text_value("replaced", "new");
    gguf_write_header(file, &more, 1, &header);
    char *pack = malloc(pack_bytes);
    assert_non_null(pack);
    memset(pack, 'p', pack_bytes);
    const bundle_section sections[] = {
        {.kind = BUNDLE_METADATA, .bytes = buffer_view(&header)},
        {.kind = BUNDLE_PROGRAM, .bytes = {"program", 7}, .cpu = CPU, .cpu_sets = 5},
        {.kind = BUNDLE_PACK, .bytes = {pack, pack_bytes}, .checksum = 99},
    };
    assert_int_equal(bundle_create(path, &w, &err), WF_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(bundle_add(&w, &sections[i], &err), WF_OK);
    assert_int_equal(bundle_finish(&w, &err), WF_OK);
    bundle_abandon(&w);
    buffer_free(&header);
    checkpoint_close(file);
    free(pack);
}

static void check_value(const metadata_value *want, const metadata_value *have)
{
    assert_non_null(have);
    assert_int_equal(want->type, have->type);
    assert_int_equal(want->count, have->count);
    if (want->type == METADATA_STRING) assert_true(view_equal(want->s, have->s));
    if (metadata_number_bytes(want->type)) assert_memory_equal(&want->u, &have->u, sizeof want->u);
    if (want->type != METADATA_ARRAY) return;
    assert_int_equal(want->item_type, have->item_type);
    for (uint64_t i = 0; i < want->count; i++)
        if (want->strings)
            assert_true(view_equal(want->strings[i], have->strings[i]));
        else
            assert_int_equal(metadata_item_int(want, i), metadata_item_int(have, i));
}

static void check_checkpoint(const checkpoint *have)
{
    checkpoint *want = make_checkpoint();
    assert_int_equal(checkpoint_value_count(have), checkpoint_value_count(want));
    for (size_t i = 0; i < checkpoint_value_count(want); i++) {
        const metadata_value *value = checkpoint_value_at(want, i);
        char key[32];
        snprintf(key, sizeof key, "%.*s", VIEW_ARG(value->key));
        if (strcmp(key, "replaced")) check_value(value, checkpoint_find(have, key));
    }
    assert_true(view_is(checkpoint_find(have, "replaced")->s, "new"));
    assert_int_equal(checkpoint_tensor_count(have), 2);
    for (size_t i = 0; i < 2; i++) {
        const checkpoint_tensor *a = checkpoint_tensor_at(want, i), *b = checkpoint_tensor_at(have, i);
        assert_true(view_equal(a->name, b->name) && a->type == b->type && a->n_dims == b->n_dims);
        assert_memory_equal(a->dims, b->dims, sizeof a->dims);
        assert_int_equal(a->bytes, b->bytes);
        assert_null(b->data);
    }
    checkpoint_close(want);
}

static void test_write_and_read_back(void **state)
{
    (void)state;
    static const size_t packs[] = {0, 1, 5000, 3 << 20};
    const char *path = in_folder("a.wf");
    for (size_t i = 0; i < sizeof packs / sizeof *packs; i++) {
        wf_error err = {0};
        bundle b;
        checkpoint *file;
        write_bundle(path, packs[i]); // over the one before
        assert_true(bundle_is(path));
        assert_int_equal(bundle_open(path, &b, &err), WF_OK);
        assert_int_equal(b.n_sections, 3);
        const bundle_section *p = bundle_find(&b, BUNDLE_PROGRAM), *pack = bundle_find(&b, BUNDLE_PACK);
        assert_true(view_is(p->bytes, "program") && p->cpu_sets == 5);
        assert_string_equal(p->cpu, CPU);
        assert_int_equal(pack->bytes.len, packs[i]);
        assert_int_equal(pack->checksum, 99);
        assert_int_equal((uintptr_t)pack->bytes.data % BUNDLE_ALIGNMENT, 0);
        if (packs[i] > 2 << 20) // behind a header, as in the cache: pieces are huge pages
            assert_int_equal(((const unsigned char *)pack->bytes.data - b.map.data) % (2 << 20), BUNDLE_ALIGNMENT);
        for (size_t k = 0; k < packs[i]; k++)
            if (pack->bytes.data[k] != 'p') fail_msg("byte %zu", k);
        assert_int_equal(bundle_checkpoint(&b, false, &file, &err), WF_OK);
        check_checkpoint(file);
        checkpoint_close(file);
        bundle_close(&b);
        assert_int_equal(checkpoint_open(path, &file, &err), WF_OK); // as any checkpoint
        check_checkpoint(file);
        checkpoint_close(file);
    }
    unlink(path);
}

static void test_outputs(void **state)
{
    (void)state;
    wf_error err = {0};
    bundle_writer w;
    struct stat st;
    const char *path = in_folder("b.wf"), *link = in_folder("link.wf");
    assert_int_equal(bundle_create(path, &w, &err), WF_OK);
    bundle_abandon(&w); // nothing is left
    assert_int_equal(stat(path, &st), -1);
    write_bundle(path, 10);
    assert_int_equal(symlink("b.wf", link), 0);
    write_bundle(link, 20); // the link stays one
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    bundle b;
    assert_int_equal(bundle_open(path, &b, &err), WF_OK);
    assert_int_equal(bundle_find(&b, BUNDLE_PACK)->bytes.len, 20);
    bundle_close(&b);
    assert_int_equal(bundle_create("/dev/null", &w, &err), WF_ERROR_IO);
    assert_string_equal(err.message, "/dev/null: not a regular file");
    bundle_abandon(&w);
    assert_int_equal(bundle_create(folder, &w, &err), WF_ERROR_IO);
    bundle_abandon(&w);
    assert_false(bundle_is(in_folder("nothing")) || bundle_is(folder));
    unlink(link);
    unlink(path);
}

// What a table may not say.
static void test_tables(void **state)
{
    (void)state;
    enum { METADATA = 32, PROGRAM = 160, PACK = 288 };
    static const struct {
        size_t at;
        uint64_t value;
        const char *reason;
    } cases[] = {
        {16, 100, "its header says 100"},
        {24, 32, "more sections"},
        {24, 1, "it holds no program"},
        {24, 0, "it holds no program"},
        {PROGRAM, 0, "unknown kind 0"},
        {PROGRAM, 5, "unknown kind 5"},
        {PROGRAM, BUNDLE_FUNCTIONS, "wrong checksum of the metadata"},
        {PROGRAM, BUNDLE_PROGRAM | (uint64_t)1 << 32, "its functions make no sense"},
        {PROGRAM, BUNDLE_PACK, "it holds no program"},
        {PACK, BUNDLE_METADATA, "wrong checksum of the metadata"},
        {METADATA, BUNDLE_PROGRAM, "do not fit together"},
        {PROGRAM + 8, 4096, "does not fit into the file"}, // it overlaps the metadata
        {PROGRAM + 8, 8191, "does not fit into the file"},
        {PACK + 8, (uint64_t)1 << 40, "does not fit into the file"},
        {PACK + 16, UINT64_MAX, "does not fit into the file"},
        {PACK + 16, 1 << 20, "does not fit into the file"},
        {METADATA + 24, 1, "wrong checksum of the metadata"},
        {METADATA + 16, 1, "wrong checksum of the metadata"},
        {PROGRAM + 40, 0x0a4d5041, "no printable name"},
    };
    wf_error err = {0};
    file_map map;
    const char *path = in_folder("c.wf");
    write_bundle(path, 5000);
    assert_int_equal(file_map_open(path, &map, &err), WF_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bundle b;
        char *copy = malloc(map.bytes);
        assert_non_null(copy);
        memcpy(copy, map.data, map.bytes);
        memcpy(copy + cases[i].at, &cases[i].value, 8);
        assert_int_not_equal(bundle_parse((view){copy, map.bytes}, "x.wf", &b, &err), WF_OK);
        assert_string_equal(err.message, "x.wf: wrong checksum of the header");
        uint64_t sum = XXH3_64bits(copy + 16, BUNDLE_ALIGNMENT - 16);
        memcpy(copy + 8, &sum, 8);
        assert_int_not_equal(bundle_parse((view){copy, map.bytes}, "x.wf", &b, &err), WF_OK);
        if (!strstr(err.message, cases[i].reason)) fail_msg("case %zu: %s", i, err.message);
        free(copy);
    }
    static const size_t lengths[] = {0, 7, 8, 4095, 4096, 9000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        bundle b;
        assert_int_equal(bundle_parse((view){(const char *)map.data, lengths[i]}, "x.wf", &b, &err), WF_ERROR_FORMAT);
    }
    file_map_close(&map);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read_back),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
