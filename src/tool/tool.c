// What the verbs share: messages, numbers in options, colours. See tool.h.
#define _POSIX_C_SOURCE 200809L
#include "tool/tool.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

int tool_fail(const char *program, const wf_error *err)
{
    fprintf(stderr, "%s: %s\n", program, err->message);
    return err->status == WF_ERROR_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

int tool_fail_usage(const char *program, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see %s --help)\n", program);
    va_end(args);
    return EXIT_USAGE;
}

// strtoll and strtod skip leading white space; an option's number has none.
static bool is_whole_number(const char *text, const char *end)
{
    return end != text && *end == 0 && !isspace((unsigned char)*text);
}

bool tool_parse_int(const char *program, const char *option, const char *text, int64_t min, int64_t max, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (is_whole_number(text, end) && errno == 0 && number >= min && number <= max) {
        *value = number;
        return true;
    }
    tool_fail_usage(program, "%s: '%s' is not a whole number in %" PRId64 "..%" PRId64, option, text, min, max);
    return false;
}

bool tool_parse_float(const char *program, const char *option, const char *text, double min, double max, double *value)
{
    char *end;
    double number = strtod(text, &end); // out of range gives infinity or about 0: the check below is enough
    if (is_whole_number(text, end) && isfinite(number) && number >= min && number <= max) {
        *value = number;
        return true;
    }
    tool_fail_usage(program, "%s: '%s' is not a number in %g..%g", option, text, min, max);
    return false;
}

bool tool_wants_colour(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (no_colour && *no_colour) return false;
    if (terminal && !strcmp(terminal, "dumb")) return false;
    return isatty(fileno(stream));
}
