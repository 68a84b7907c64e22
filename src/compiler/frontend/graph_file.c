#define _GNU_SOURCE // memmem
#include "compiler/frontend/graph_file.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mlir-c/Dialect/Affine.h>
#include <mlir-c/Dialect/Bufferization.h>
#include <mlir-c/Dialect/Complex.h>
#include <mlir-c/Dialect/Index.h>
#include <mlir-c/Dialect/Linalg.h>
#include <mlir-c/Dialect/MLProgram.h>
#include <mlir-c/Dialect/Math.h>
#include <mlir-c/Dialect/MemRef.h>
#include <mlir-c/Dialect/Quant.h>
#include <mlir-c/Dialect/Shape.h>
#include <mlir-c/Dialect/Tosa.h>

// What compiler_context_create leaves out, since no checkpoint needs it.
static void load_graph_dialects(MlirContext ctx)
{
    MlirDialectHandle dialects[] = {
        mlirGetDialectHandle__tosa__(),    mlirGetDialectHandle__linalg__(),        mlirGetDialectHandle__math__(),
        mlirGetDialectHandle__memref__(),  mlirGetDialectHandle__bufferization__(), mlirGetDialectHandle__affine__(),
        mlirGetDialectHandle__index__(),   mlirGetDialectHandle__shape__(),         mlirGetDialectHandle__quant__(),
        mlirGetDialectHandle__complex__(), mlirGetDialectHandle__ml_program__(),
    };
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) mlirDialectHandleLoadDialect(dialects[i], ctx);
}

// Text from memory has the name "-" in messages; what comes without a place gets the file's name as well.
static wf_status name_error(const wf_error *inner, const char *name, wf_error *err)
{
    const char *message = inner->message[0] ? inner->message : "the parser gives no reason";
    if (message[0] == '-' && message[1] == ':') return error_set(err, WF_ERROR_FORMAT, "%s%s", name, message + 1);
    return error_set(err, WF_ERROR_FORMAT, "%s: %s", name, message);
}

// ---- hostile files
//
// MLIR's text parser descends once a bracket; its bytecode reader trusts offsets and crashes on some damaged files. So
// text is measured first, and bytecode is read by a child process first, whose death is an answer.

enum { MAX_DEPTH = 500 };

static bool is_bytecode(const char *text, size_t bytes) { return bytes >= 4 && !memcmp(text, "ML\xefR", 4); }

// The offset of the bracket that is nested too deeply; `bytes` when there is none. Brackets in strings count, unpaired
// or not: no sane file comes near.
static size_t find_deep_bracket(const char *text, size_t bytes)
{
    size_t depth = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        bool arrow = i > 0 && text[i - 1] == '-';
        if (c == '(' || c == '[' || c == '{' || c == '<') {
            if (++depth > MAX_DEPTH) return i;
        } else if ((c == ')' || c == ']' || c == '}' || (c == '>' && !arrow)) && depth) {
            depth--;
        }
    }
    return bytes;
}

// Whether linalg's parser of lists of axes, which crashes on anything else, can read what follows text[i]: a list of
// integers. Generic forms have `array<..>` there.
static bool is_axis_list(const char *text, size_t bytes, size_t i)
{
    static const char ARRAY[] = "array<";
    enum { MAX_DIGITS = 18 };
    int digits = 0;
    if (bytes - i >= sizeof ARRAY - 1 && !memcmp(text + i, ARRAY, sizeof ARRAY - 1)) return true;
    if (i == bytes || text[i] != '[') return false;
    for (i++; i < bytes && text[i] != ']'; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && !strchr("-, \t\r\n", text[i] ? text[i] : '?')) return false;
        digits = digit ? digits + 1 : 0;
        if (digits > MAX_DIGITS) return false;
    }
    return true;
}

static size_t skip_space(const char *text, size_t bytes, size_t i)
{
    while (i < bytes && strchr(" \t\r\n", text[i] ? text[i] : '?')) i++;
    return i;
}

// The offset of what should be a list of axes behind `name =`, and is none; `bytes` when there is no such place.
static size_t find_bad_list(const char *text, size_t bytes, const char *name)
{
    const char *end = text + bytes, *found = text;
    for (; (found = memmem(found, (size_t)(end - found), name, strlen(name))); found++) {
        size_t i = (size_t)(found - text);
        if (i > 0 && (isalnum((unsigned char)text[i - 1]) || strchr("_%#!@$.-", text[i - 1]))) continue;
        size_t at = skip_space(text, bytes, i + strlen(name));
        if (at == bytes || text[at] != '=') continue;
        at = skip_space(text, bytes, at + 1);
        if (!is_axis_list(text, bytes, at)) return at < bytes ? at : bytes - 1;
    }
    return bytes;
}

static wf_status error_at(const char *text, size_t at, const char *name, const char *reason, wf_error *err)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    return error_set(err, WF_ERROR_FORMAT, "%s:%zu:%zu: %s", name, line, at - start + 1, reason);
}

static wf_status check_text(const char *text, size_t bytes, const char *name, wf_error *err)
{
    static const char *const LISTS[] = {"permutation", "dimensions"};
    size_t deep = find_deep_bracket(text, bytes);
    if (deep < bytes) return error_at(text, deep, name, "brackets are nested too deeply", err);
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
        size_t list = find_bad_list(text, bytes, LISTS[i]);
        if (list < bytes) return error_at(text, list, name, "not a list of axes", err);
    }
    return WF_OK;
}

static wf_status check_bytecode(compiler_context *c, const char *text, size_t bytes, const char *name, wf_error *err)
{
    pid_t child = fork();
    if (child < 0) return error_set(err, WF_ERROR_IO, "%s: cannot start a process: %s", name, strerror(errno));
    if (child == 0) {
        compiler_context_watch(c, NULL);
        MlirModule module = mlirModuleCreateParse(c->mlir, mlirStringRefCreate(text, bytes));
        _exit(mlirModuleIsNull(module));
    }
    int state;
    while (waitpid(child, &state, 0) < 0)
        if (errno != EINTR) return error_set(err, WF_ERROR_IO, "%s: lost a process: %s", name, strerror(errno));
    if (WIFSIGNALED(state)) return error_set(err, WF_ERROR_FORMAT, "%s: the bytecode is damaged", name);
    return WF_OK; // a file that does not parse gives its reason when it is read again
}

wf_status graph_file_read(compiler_context *c, const char *text, size_t bytes, const char *name, MlirModule *module,
                          wf_error *err)
{
    load_graph_dialects(c->mlir);
    TRY(is_bytecode(text, bytes) ? check_bytecode(c, text, bytes, name, err) : check_text(text, bytes, name, err));
    wf_error inner = {0};
    compiler_context_watch(c, &inner);
    *module = mlirModuleCreateParse(c->mlir, mlirStringRefCreate(text, bytes)); // verifies too
    compiler_context_watch(c, NULL);
    return mlirModuleIsNull(*module) ? name_error(&inner, name, err) : WF_OK;
}
