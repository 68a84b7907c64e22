// What the verbs share: messages, numbers in options, colours. See tool.h.
#include "tool/tool.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

int tool_fail(const char *verb, const wf_error *err)
{
    fprintf(stderr, "%s: %s\n", verb, err->message);
    return err->status == WF_ERROR_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

void tool_warn_tokenizer(const char *verb, const tokenizer *t)
{
    const char *line;
    for (size_t i = 0; (line = tokenizer_warning(t, i)); i++) fprintf(stderr, "%s: %s\n", verb, line);
}

void tool_warn_model(const char *verb, const wf_model *m)
{
    const char *line;
    for (size_t i = 0; (line = wf_model_warning(m, i)); i++) fprintf(stderr, "%s: %s\n", verb, line);
}

int tool_fail_usage(const char *verb, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", verb);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see %s --help)\n", verb);
    va_end(args);
    return EXIT_USAGE;
}

// Whether `text` is --WORD or --WORD=VALUE, and how many names WORD begins.
static bool find_names(const char *text, const struct option *names, int *count)
{
    size_t length = strcspn(text, "=");
    *count = 0;
    for (; names->name && length > 2; names++) *count += !strncmp(text + 2, names->name, length - 2);
    return !strncmp(text, "--", 2);
}

static int fail_option(char **argv, int found, const struct option *names)
{
    const char *last = argv[optind - 1];
    int n_names;
    bool is_long = find_names(last, names, &n_names);
    if (found == ':') return tool_fail_usage(argv[0], "%s needs a value", last);
    if (optopt && !(is_long && strchr(last, '='))) return tool_fail_usage(argv[0], "there is no option '-%c'", optopt);
    if (n_names == 0) return tool_fail_usage(argv[0], "there is no option '%s'", last);
    return tool_fail_usage(argv[0], optopt ? "%s: the option takes no value" : "%s: several options begin so", last);
}

int tool_next_option(int argc, char **argv, const char *letters, const struct option *names, const char *help,
                     int *exit_code)
{
    static const struct option HELP_ALONE[] = {{"help", no_argument, NULL, 'h'}, {0}};
    char all[64];
    if (!names) names = HELP_ALONE;
    snprintf(all, sizeof all, ":h%s", letters);
    opterr = 0; // getopt's messages do not say where the help is
    int found = getopt_long(argc, argv, all, names, NULL);
    if (found == 'h')
        *exit_code = EXIT_SUCCESS, fputs(help, stdout);
    else if (found == '?' || found == ':')
        *exit_code = fail_option(argv, found, names);
    else
        return found;
    return -1;
}

// strtoll and strtod skip leading white space; an option's number has none.
static bool is_whole_number(const char *text, const char *end)
{
    return end != text && *end == 0 && !isspace((unsigned char)*text);
}

bool tool_parse_int(const char *verb, const char *option, const char *text, int64_t min, int64_t max, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (is_whole_number(text, end) && errno == 0 && number >= min && number <= max) {
        *value = number;
        return true;
    }
    tool_fail_usage(verb, "%s: '%s' is not a whole number in %" PRId64 "..%" PRId64, option, text, min, max);
    return false;
}

bool tool_parse_donation(const char *verb, char *text, wf_donation *donation)
{
    char *equals = strrchr(text, '=');
    int64_t result;
    if (!equals || equals == text) {
        tool_fail_usage(verb, "--donate: not of the form ARGUMENT=RESULT");
        return false;
    }
    if (!tool_parse_int(verb, "--donate", equals + 1, 0, 1023, &result)) return false;
    *equals = 0;
    *donation = (wf_donation){.name = text, .result = (size_t)result};
    return true;
}

bool tool_parse_float(const char *verb, const char *option, const char *text, double min, double max, double *value)
{
    char *end;
    double number = strtod(text, &end); // out of range gives infinity or about 0: the check below is enough
    if (is_whole_number(text, end) && isfinite(number) && number >= min && number <= max) {
        *value = number;
        return true;
    }
    tool_fail_usage(verb, "%s: '%s' is not a number in %g..%g", option, text, min, max);
    return false;
}

bool tool_wants_colour(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (no_colour && *no_colour) return false;
    if (terminal && !strcmp(terminal, "dumb")) return false;
    return isatty(fileno(stream));
}
