#include "compiler/frontend/mlir/foreign.h"

#include <ctype.h>
#include <limits.h>
#include <llvm/Config/llvm-config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/frontend/mlir/tokens.h"
#include "format/file_kind.h"

wf_status foreign_check(view file, const char *name, wf_error *err)
{
    const file_kind *kind = file_kind_find(file);
    if (!kind || kind->is_graph || file.len == 0) return WF_OK; // an empty file is an empty module
    return error_set(err, WF_ERROR_FORMAT, "%s: no MLIR, but %s%s%s", name, kind->what, kind->hint ? ": " : "",
                     kind->hint ? kind->hint : "");
}

// ---- dialects

static const struct {
    const char *dialect, *hint;
} HINTS[] = {
    {"torch", "lower it to TOSA or linalg: torch-mlir's fx.export_and_import does, with output_type=\"tosa\""},
    {"torch_c", "lower it to TOSA or linalg: torch-mlir's fx.export_and_import does, with output_type=\"tosa\""},
    {"onnx", "lower it to TOSA or linalg: onnx-mlir or torch-mlir do"},
    {"krnl", "lower it to TOSA or linalg: onnx-mlir does"},
    {"stablehlo", "lower it to linalg: stablehlo-opt does, with --stablehlo-legalize-to-linalg"},
    {"mhlo", "lower it to linalg by way of stablehlo"},
    {"chlo", "lower it to linalg by way of stablehlo"},
    {"vhlo", "lower it to linalg by way of stablehlo"},
    {"tf", "lower it to TOSA: tf-opt does, with --tf-to-tosa-pipeline"},
    {"tfl", "lower it to TOSA: tf-opt does, with --tfl-to-tosa-pipeline"},
    {"gpu", "what is lowered for a GPU cannot be compiled for a CPU"},
};

static view word_at(const char *at)
{
    size_t n = 0;
    while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == '$') n++;
    return (view){at, n};
}

// "line:column" behind the first colon of a message.
static bool read_place(const char *message, size_t *line, size_t *column)
{
    const char *colon = strchr(message, ':');
    char *end;
    if (!colon || !isdigit((unsigned char)colon[1])) return false;
    *line = strtoull(colon + 1, &end, 10);
    if (*end != ':' || !isdigit((unsigned char)end[1])) return false;
    *column = strtoull(end + 1, NULL, 10);
    return true;
}

// The dialect of the op "dialect.op" whose name ends before the place that the message tells.
static view dialect_of_op(view file, const char *message)
{
    size_t line, column, at = 0;
    if (!read_place(message, &line, &column)) return (view){0};
    while (line-- > 1 && at < file.len) at = text_end_of_line(file, at) + 1;
    if (at >= file.len || column > text_end_of_line(file, at) - at + 1) return (view){0};
    size_t end = at + column - 1, quotes = 0;
    while (end > at && quotes < 2) quotes += file.data[--end] == '"';
    return quotes == 2 ? word_at(file.data + end + 1) : (view){0};
}

// The dialect that MLIR does not know; empty where the message is about something else.
static view unknown_dialect(view file, const char *message)
{
    static const char *const BEFORE[] = {"Dialect `", "`!\"", "#\"", "dialect '", ": '"};
    if (strstr(message, "operation being parsed with an unregistered dialect")) return dialect_of_op(file, message);
    if (!strstr(message, "unregistered dialect") && !strstr(message, "not found for custom op") &&
        !strstr(message, "is unknown"))
        return (view){0};
    for (size_t i = 0; i < sizeof BEFORE / sizeof *BEFORE; i++) {
        const char *found = strstr(message, BEFORE[i]);
        if (found) return word_at(found + strlen(BEFORE[i]));
    }
    return (view){0};
}

static const char *hint_of(view dialect)
{
    for (size_t i = 0; i < sizeof HINTS / sizeof *HINTS; i++)
        if (view_is(dialect, HINTS[i].dialect)) return HINTS[i].hint;
    return "lower it to TOSA or linalg";
}

// ---- bytecode

// The producer: behind the magic number and a version of one byte, "MLIR22.1.8" up to a zero. The number in it; 0 where
// there is none.
static int producer_of(view file, const char **producer)
{
    enum { AT = 5 };
    if (file.len <= AT || !memchr(file.data + AT, 0, file.len - AT)) return 0;
    *producer = file.data + AT;
    const char *digits = *producer;
    while (*digits && !isdigit((unsigned char)*digits)) digits++;
    long number = strtol(digits, NULL, 10);
    return number < INT_MAX ? (int)number : INT_MAX;
}

static bool is_of_newer(view file, const char *message, const char **producer)
{
    static const char *const SIGNS[] = {"unknown attribute code", "unknown type code", "is newer than",
                                        "unknown builtin"};
    *producer = "";
    if (producer_of(file, producer) > LLVM_VERSION_MAJOR) return true;
    for (size_t i = 0; i < sizeof SIGNS / sizeof *SIGNS; i++)
        if (strstr(message, SIGNS[i])) return true;
    return false;
}

// ---- all

wf_status foreign_explain(view file, const char *name, const char *reason, wf_error *err)
{
    size_t line, column;
    const char *producer;
    char place[48] = "";
    view dialect = unknown_dialect(file, reason);
    bool bytecode = view_starts_with(file, VIEW_LITERAL("ML\xefR"));
    if (!bytecode && reason[0] == '-' && read_place(reason, &line, &column))
        snprintf(place, sizeof place, ":%zu:%zu", line, column);
    if (dialect.len)
        return error_set(err, WF_ERROR_FORMAT, "%s%s: dialect %.*s is not known here: %s", name, place,
                         NAME_ARG(dialect), hint_of(dialect));
    static const char NOWHERE[] = "-:0:0: "; // of bytecode
    if (bytecode && !strncmp(reason, NOWHERE, sizeof NOWHERE - 1)) reason += sizeof NOWHERE - 1;
    if (bytecode && is_of_newer(file, reason, &producer))
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: written by MLIR of a newer version (%.40s): export as text in generic form, as "
                         "`mlir-opt --mlir-print-op-generic` prints: %s",
                         name, producer, reason);
    // text from memory has the name "-" in messages; what comes without a place gets the file's name as well
    if (reason[0] == '-' && reason[1] == ':') return error_set(err, WF_ERROR_FORMAT, "%s%s", name, reason + 1);
    return error_set(err, WF_ERROR_FORMAT, "%s: %s", name, reason[0] ? reason : "the parser gives no reason");
}
