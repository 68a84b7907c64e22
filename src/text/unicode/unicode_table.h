// The tables of unicode_table.c, which tools/make_unicode.py makes; only unicode.c reads them.
#ifndef WELFORD_TEXT_UNICODE_UNICODE_TABLE_H
#define WELFORD_TEXT_UNICODE_UNICODE_TABLE_H

#include <stddef.h>
#include <stdint.h>

// Runs of code points of one value, ascending: the first code point << 5 | the general category, << 8 | the script.
extern const uint32_t UNICODE_CATEGORIES[], UNICODE_SCRIPTS[];
extern const size_t UNICODE_N_CATEGORIES, UNICODE_N_SCRIPTS;
extern const char *const UNICODE_SCRIPT_NAMES[]; // in lower case, without underscores; then NULL

// Every step-th code point from first to last equals, but for its case, the one that lies `distance` below: the
// smallest of those that are equal.
typedef struct unicode_fold {
    uint32_t first, last, step, distance;
} unicode_fold;

extern const unicode_fold UNICODE_FOLDS[];
extern const size_t UNICODE_N_FOLDS;

#endif
