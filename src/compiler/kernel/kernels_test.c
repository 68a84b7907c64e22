// Kernels whose parameters differ never share a name.
#include "compiler/kernel/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // needs those above

#include "compiler/kernel/testing.h"
#include "compiler/registry.h"

enum { TEXTS_MAX = 64, PARAMS_MAX = 256, ROUNDS = 200 };

// One of the field's values; `other`: not the one whose text that of `than` is. False: there is no other.
static bool draw_text(const kernel_field *f, rng *r, const int *than, int *drawn)
{
    int start = (int)(random_bits(r) % TEXTS_MAX);
    for (int i = 0; i < TEXTS_MAX; i++) {
        *drawn = (start + i) % TEXTS_MAX;
        if (f->text(*drawn) && (!than || strcmp(f->text(*drawn), f->text(*than)))) return true;
    }
    return false;
}

// Writes a random value; with `flip`, another one than is there. False: the field has one text only.
static bool draw(const kernel_field *f, rng *r, unsigned char *params, bool flip)
{
    int64_t number = random_bits(r) % 3 ? random_bits(r) % 5000 : 0;
    double x = random_bits(r) % 3 ? random_normal(r) : 0;
    int drawn, before;
    unsigned char *at = params + f->offset;
    bool flag = random_bits(r) % 2;
    switch (f->form) {
    case FIELD_INT:
        if (flip && !memcmp(at, &number, sizeof number)) number++;
        memcpy(at, &number, sizeof number);
        return true;
    case FIELD_F64:
        if (flip && !memcmp(at, &x, sizeof x)) x += 1e-15; // its last digits count too
        memcpy(at, &x, sizeof x);
        return true;
    case FIELD_BOOL:
        if (flip) flag = !*at;
        memcpy(at, &flag, sizeof flag);
        return true;
    case FIELD_TEXT:
        memcpy(&before, at, sizeof before);
        if (!draw_text(f, r, flip ? &before : NULL, &drawn)) return false;
        memcpy(at, &drawn, sizeof drawn);
        return true;
    }
    return false;
}

static void check_flips(const kernel_kind *kind, const unsigned char *params, rng *r)
{
    buffer name = {0}, other = {0};
    kernel_write_name(kind, params, &name);
    for (size_t i = 0; i < kind->n_fields; i++) {
        unsigned char flipped[PARAMS_MAX];
        memcpy(flipped, params, kind->params_bytes);
        if (!draw(&kind->fields[i], r, flipped, true)) continue;
        buffer_clear(&other);
        kernel_write_name(kind, flipped, &other);
        if (!strcmp(name.data, other.data)) fail_msg("%s: field %zu changes, the name does not", name.data, i);
    }
    buffer_free(&name);
    buffer_free(&other);
}

static void test_every_field_is_in_the_name(void **state)
{
    (void)state;
    rng r = {11};
    for (const kernel_kind *const *kind = KERNELS; *kind; kind++)
        for (int round = 0; round < ROUNDS; round++) {
            unsigned char params[PARAMS_MAX] = {0};
            assert_true((*kind)->params_bytes <= sizeof params);
            for (size_t i = 0; i < (*kind)->n_fields; i++) draw(&(*kind)->fields[i], &r, params, false);
            check_flips(*kind, params, &r);
        }
}

// No member of the parameters is missing among the fields: what lies between them is padding.
static void test_every_member_is_a_field(void **state)
{
    (void)state;
    for (const kernel_kind *const *kind = KERNELS; *kind; kind++) {
        static const size_t SIZES[] = {[FIELD_INT] = 8, [FIELD_BOOL] = 1, [FIELD_TEXT] = 4, [FIELD_F64] = 8};
        size_t end = 0, found = 0;
        if ((*kind)->write_key) continue; // nest_test.c
        for (size_t i = 0; i < (*kind)->n_fields; i++)
            assert_int_equal((*kind)->fields[i].bytes, SIZES[(*kind)->fields[i].form]);
        for (; !(*kind)->ignores_others && found < (*kind)->n_fields; found++) {
            const kernel_field *next = NULL;
            for (size_t i = 0; i < (*kind)->n_fields; i++) {
                const kernel_field *f = &(*kind)->fields[i];
                if (f->offset >= end && (!next || f->offset < next->offset)) next = f;
            }
            if (!next || next->offset != (end + next->bytes - 1) / next->bytes * next->bytes)
                fail_msg("%s: a member at byte %zu is not among the fields", (*kind)->name, end);
            end = next->offset + next->bytes;
        }
        if (found) assert_int_equal((end + 7) / 8 * 8, ((*kind)->params_bytes + 7) / 8 * 8);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    for (const kernel_kind *const *a = KERNELS; *a; a++) {
        assert_true((*a)->build && (*a)->file && (*a)->help);
        assert_true((*a)->n_fields || (*a)->write_key || !(*a)->params_bytes);
        for (const kernel_kind *const *b = KERNELS; b < a; b++) assert_string_not_equal((*a)->name, (*b)->name);
    }
}

// Names are as long as they must be: nothing is cut.
static void test_long_names(void **state)
{
    (void)state;
    rng r = {5};
    for (const kernel_kind *const *kind = KERNELS; *kind; kind++) {
        unsigned char params[PARAMS_MAX] = {0};
        for (size_t i = 0; i < (*kind)->n_fields; i++) {
            const kernel_field *f = &(*kind)->fields[i];
            int64_t large = INT64_MAX;
            draw(f, &r, params, false);
            if (f->form == FIELD_INT) memcpy(params + f->offset, &large, sizeof large);
            if (f->form == FIELD_BOOL) params[f->offset] = 1;
        }
        check_flips(*kind, params, &r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_in_the_name),
        cmocka_unit_test(test_every_member_is_a_field),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
