// What the verbs of the command line share. A verb is one file with one function, and one line in the table in main.c.
//
// Conventions: text goes to stdout, everything else to stderr; exit 0, EXIT_FAILURE (1), or EXIT_USAGE (2) when the
// command line makes no sense. A failure prints one line, "welford VERB: message".
#ifndef WELFORD_TOOL_TOOL_H
#define WELFORD_TOOL_TOOL_H

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "text/tokenizer/tokenizer.h"

enum { EXIT_USAGE = 2 };

// A verb. argv[0] is "welford VERB", as messages begin; argv[argc] is NULL.
typedef int tool_function(int argc, char **argv);

tool_function tool_cache;
tool_function tool_bench;
tool_function tool_compile;
tool_function tool_exec;
tool_function tool_info;
tool_function tool_list;
tool_function tool_logits;
tool_function tool_opt;
tool_function tool_ppl;
tool_function tool_pull;
tool_function tool_rm;
tool_function tool_run;
tool_function tool_serve;
tool_function tool_tokenize;
tool_function tool_template;

// Prints "PROGRAM: message", where `verb` is the verb's argv[0]. Returns EXIT_FAILURE, or EXIT_USAGE if that is what
// err->status says.
int tool_fail(const char *verb, const wf_error *err);

// Prints what the tokenizer guessed about its file, a line each, in the same form.
void tool_warn_tokenizer(const char *verb, const tokenizer *t);
void tool_warn_model(const char *verb, const wf_model *m);

// Prints "PROGRAM: message (see PROGRAM --help)". Returns EXIT_USAGE.
int tool_fail_usage(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The next option, as getopt_long gives it; -1 after the last, and when the verb is to stop: *exit_code is then what it
// returns, after `help` was printed for -h and --help (names must have {"help", no_argument, NULL, 'h'}), or a usage
// error for what is no option. NULL names: these two alone.
int tool_next_option(int argc, char **argv, const char *letters, const struct option *names, const char *help,
                     int *exit_code);

// An option's number: all of `text`, decimal, in [min, max]. False after having printed a usage error that names
// `option` ("--top-k"); the caller returns EXIT_USAGE.
bool tool_parse_int(const char *verb, const char *option, const char *text, int64_t min, int64_t max, int64_t *value);
bool tool_parse_float(const char *verb, const char *option, const char *text, double min, double max, double *value);

// "ARGUMENT=RESULT" of --donate; the text is cut at its last "=". False after having printed a usage error.
bool tool_parse_donation(const char *verb, char *text, wf_donation *donation);

// Colours are wanted: `stream` is a terminal that is not "dumb", and NO_COLOR is unset or empty.
bool tool_wants_colour(FILE *stream);

#endif
