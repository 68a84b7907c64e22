// For tests: an operation with each of its allocations failing in turn.
//
// A program x_memory_test.c includes this once; cmake/WelfordTests.cmake links it so that the project's own calls of
// the functions below come here first, and JSON's do by json_set_alloc_funcs. What other libraries allocate for
// themselves is not seen: of PCRE2, whether an expression could be compiled stands for it.
#ifndef WELFORD_BASE_FAILING_MEMORY_H
#define WELFORD_BASE_FAILING_MEMORY_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <execinfo.h>
#include <jansson.h>
#include <pcre2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/status.h"

static struct {
    bool armed, lasting; // lasting: all from `at` on fail, not that one alone
    bool falls_back;     // the operation may do without: set by the test
    size_t count, at;
    void *stack[12]; // where the first failure was
    int n_stack;
} failing;

static bool fails_now(void)
{
    if (!failing.armed) return false;
    failing.count++;
    if (failing.count == failing.at) failing.n_stack = backtrace(failing.stack, 12);
    if (failing.count != failing.at && !(failing.lasting && failing.count > failing.at)) return false;
    errno = ENOMEM;
    return true;
}

// What `ld --wrap=f` puts in the place of each function f.
#define WRAPPED(type, function, failure, parameters, arguments)                                                        \
    type __real_##function parameters;                                                                                 \
    type __wrap_##function parameters;                                                                                 \
    type __wrap_##function parameters { return fails_now() ? (failure) : __real_##function arguments; }

WRAPPED(void *, malloc, NULL, (size_t bytes), (bytes))
WRAPPED(void *, calloc, NULL, (size_t count, size_t bytes), (count, bytes))
WRAPPED(void *, realloc, NULL, (void *old, size_t bytes), (old, bytes))
WRAPPED(void *, aligned_alloc, NULL, (size_t alignment, size_t bytes), (alignment, bytes))
WRAPPED(char *, strdup, NULL, (const char *text), (text))
WRAPPED(char *, strndup, NULL, (const char *text, size_t length), (text, length))
WRAPPED(void *, arena_alloc, NULL, (arena * a, size_t count, size_t bytes), (a, count, bytes))
WRAPPED(char *, arena_strdup, NULL, (arena * a, view text), (a, text))
WRAPPED(void *, mmap, MAP_FAILED, (void *at, size_t bytes, int protection, int flags, int fd, off_t offset),
        (at, bytes, protection, flags, fd, offset))
WRAPPED(pcre2_match_data *, pcre2_match_data_create_8, NULL, (uint32_t pairs, pcre2_general_context *context),
        (pairs, context))

pcre2_code *__real_pcre2_compile_8(PCRE2_SPTR, PCRE2_SIZE, uint32_t, int *, PCRE2_SIZE *, pcre2_compile_context *);
pcre2_code *__wrap_pcre2_compile_8(PCRE2_SPTR, PCRE2_SIZE, uint32_t, int *, PCRE2_SIZE *, pcre2_compile_context *);
pcre2_code *__wrap_pcre2_compile_8(PCRE2_SPTR pattern, PCRE2_SIZE length, uint32_t options, int *error,
                                   PCRE2_SIZE *offset, pcre2_compile_context *context)
{
    if (!fails_now()) return __real_pcre2_compile_8(pattern, length, options, error, offset, context);
    *error = PCRE2_ERROR_HEAP_FAILED;
    *offset = 0;
    return NULL;
}

// Must free all it made, whether it succeeds or not.
typedef wf_status failing_operation(void *context, wf_error *err);

static void fail_showing(const wf_error *err, wf_status status)
{
    failing.armed = false;
    backtrace_symbols_fd(failing.stack, failing.n_stack, 2); // addr2line reads them
    fail_msg("allocation %zu%s failed: status %d: %s", failing.at, failing.lasting ? " and all later ones" : "",
             (int)status, err->message);
}

// Runs the operation with the first allocation failing, the second, and so on until there is no further one: each time
// WF_ERROR_MEMORY with one line. Then the same with all later ones failing too. It succeeds when none fails. Returns
// how many there are.
static size_t fail_each_allocation(failing_operation *operation, void *context)
{
    size_t n_allocations = 0;
    json_set_alloc_funcs(__wrap_malloc, free);
    for (int lasting = 0; lasting < 2; lasting++)
        for (size_t at = 1;; at++) {
            wf_error err = {0};
            failing.count = 0;
            failing.at = at;
            failing.lasting = lasting;
            failing.armed = true;
            wf_status status = operation(context, &err);
            failing.armed = false;
            bool failed = failing.count >= at;
            bool good = status == (failed ? WF_ERROR_MEMORY : WF_OK) || (failing.falls_back && status == WF_OK);
            if (!good) fail_showing(&err, status);
            if (status != WF_OK && (!err.message[0] || strchr(err.message, '\n'))) fail_showing(&err, status);
            if (!failed) break;
            n_allocations = at;
        }
    assert_true(n_allocations > 0);
    return n_allocations;
}

#endif
