// Sets of code points: \p{L}, [a-z], \S.
//
// A set is the ascending list of the code points where membership changes: bounds[0] is in it, bounds[1] is the first
// behind that is not, and so on. On lack of memory a set is marked as failed and keeps what it held.
#ifndef WELFORD_TEXT_UNICODE_CODE_SET_H
#define WELFORD_TEXT_UNICODE_CODE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CODE_SET_END = 0x110000 }; // one past the last code point

typedef struct code_set {
    uint32_t *bounds; // owned; NULL while empty
    size_t count, capacity;
    bool failed;
} code_set;

void code_set_free(code_set *set);
void code_set_add(code_set *set, uint32_t first, uint32_t last); // first <= last < CODE_SET_END
void code_set_add_all(code_set *set, const code_set *other);
void code_set_keep(code_set *set, const code_set *other); // what is in both
void code_set_invert(code_set *set);
bool code_set_has(const code_set *set, uint32_t code);
bool code_set_meets(const code_set *set, uint32_t first, uint32_t last); // whether it has any of these
bool code_set_equal(const code_set *a, const code_set *b);

#endif
