// Each definition is MLIR text for sizes and types at hand, parsed and put in place of the op. Arithmetic is f32 for
// 16-bit floats, rounded where the op says so.
//
// Tensors are seen as a few fixed axes first: rows [r, c] for what works along the last axes; [b, t, h, ..] for heads.
#include "compiler/graph/decompose.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/dialect/wf.h"

typedef struct writer {
    buffer text;
    MlirOperation op;
} writer;

static void append_text(MlirStringRef s, void *out) { buffer_append(out, s.data, s.length); }

// "f32" into a small buffer.
typedef struct type_name {
    char s[16];
} type_name;

static type_name name_of(MlirType t)
{
    buffer text = {0};
    type_name name;
    mlirTypePrint(t, append_text, &text);
    snprintf(name.s, sizeof name.s, "%s", buffer_view(&text).data);
    buffer_free(&text);
    return name;
}

static int64_t product(MlirValue v, int from, int to)
{
    int64_t n = 1;
    for (int d = from; d < to; d++) n *= dim_of(v, d);
    return n;
}

// f32, or f64 for f64.
static const char *wide(type_name t) { return strcmp(t.s, "f64") ? "f32" : "f64"; }

// Within a body: `to` = `from` in another float type.
static void write_cast(writer *w, const char *to, const char *from, const char *old, const char *new)
{
    MlirContext ctx = mlirOperationGetContext(w->op);
    unsigned a = mlirFloatTypeGetWidth(mlirTypeParseGet(ctx, mlir_text(old))),
             b = mlirFloatTypeGetWidth(mlirTypeParseGet(ctx, mlir_text(new)));
    if (!strcmp(old, new)) // x + (-0) is x
        buffer_printf(&w->text, "      %s_0 = arith.constant -0.0 : %s\n      %s = arith.addf %s, %s_0 : %s\n", to, new,
                      to, from, to, new);
    else
        buffer_printf(&w->text, "      %s = arith.%s %s : %s to %s\n", to, a < b ? "extf" : "truncf", from, old, new);
}

// A reshape of `from` to other dimensions.
static void write_reshape(writer *w, const char *to, const char *from, const char *from_type, const char *dims,
                          const char *element)
{
    char list[128];
    int rank = 0;
    size_t len = 0;
    for (const char *p = dims; *p; p++) { // "2x3x" becomes "2, 3"
        if (*p != 'x')
            list[len++] = *p;
        else if (rank++, p[1])
            len += (size_t)snprintf(list + len, sizeof list - len, ", ");
        if (len + 3 > sizeof list) break;
    }
    list[len] = 0;
    buffer_printf(&w->text, "  %s_s = arith.constant dense<[%s]> : tensor<%dxi64>\n", to, list, rank);
    buffer_printf(&w->text, "  %s = tensor.reshape %s(%s_s) : (%s, tensor<%dxi64>) -> tensor<%s%s>\n", to, from, to,
                  from_type, rank, dims, element);
}

// "tensor<2x3xf32>"
static void value_type(MlirValue v, char out[256])
{
    buffer text = {0};
    mlirTypePrint(mlirValueGetType(v), append_text, &text);
    snprintf(out, 256, "%s", buffer_view(&text).data);
    buffer_free(&text);
}

static MlirValue input(const writer *w, int i) { return mlirOperationGetOperand(w->op, i); }
static MlirValue output(const writer *w) { return mlirOperationGetResult(w->op, 0); }

// Reshapes operand i (%arg<i>) to %<name>, of dimensions `dims` ("2x3x").
static void write_operand(writer *w, int i, const char *name, const char *dims)
{
    char from[16], type[256];
    snprintf(from, sizeof from, "%%arg%d", i);
    value_type(input(w, i), type);
    write_reshape(w, name, from, type, dims, name_of(element_type_of(input(w, i))).s);
}

static void write_return(writer *w, const char *value, const char *dims)
{
    type_name y = name_of(element_type_of(output(w)));
    char from[256], type[256], out[256] = "";
    size_t len = 0;
    snprintf(from, sizeof from, "tensor<%s%s>", dims, y.s);
    value_type(output(w), type);
    for (int d = 0; d < rank_of(output(w)); d++)
        len += (size_t)snprintf(out + len, sizeof out - len, "%" PRId64 "x", dim_of(output(w), d));
    write_reshape(w, "%result", value, from, out, y.s);
    buffer_printf(&w->text, "  return %%result : %s\n", type);
}

// A result of linalg.generic, up to its body: %to = generic(ins) over `loops`, reducing where the iterator says so.
static void write_generic(writer *w, const char *to, const char *maps, const char *iterators, const char *ins,
                          const char *in_types, const char *init, const char *type)
{
    buffer_printf(&w->text,
                  "  %s = linalg.generic {indexing_maps = [%s], iterator_types = [%s]} ins(%s : %s) outs(%s : %s) {\n",
                  to, maps, iterators, ins, in_types, init, type);
}

static void write_yield(writer *w, const char *value, const char *element, const char *type)
{
    buffer_printf(&w->text, "      linalg.yield %s : %s\n  } -> %s\n", value, element, type);
}

// %to = a new tensor filled with a number.
static void write_fill(writer *w, const char *to, const char *number, const char *element, const char *type)
{
    buffer_printf(&w->text, "  %s_e = tensor.empty() : %s\n  %s_c = arith.constant %s : %s\n", to, type, to, number,
                  element);
    buffer_printf(&w->text, "  %s = linalg.fill ins(%s_c : %s) outs(%s_e : %s) -> %s\n", to, to, element, to, type,
                  type);
}

static const char ROW_MAPS[] = "affine_map<(d0, d1) -> (d0, d1)>", ROW_STAT[] = "affine_map<(d0, d1) -> (d0)>",
                  ROW_VECTOR[] = "affine_map<(d0, d1) -> (d1)>";
static const char REDUCE_ROWS[] = "\"parallel\", \"reduction\"", ALL_ROWS[] = "\"parallel\", \"parallel\"";
// Numbers as MLIR writes infinities.
static const char *minus_infinity(const char *element)
{
    return strcmp(element, "f64") ? "0xFF800000" : "0xFFF0000000000000";
}

// ---- norms: mean over the last axes, variance about it, then scale and shift

typedef struct rows {
    int64_t rows, cols;
    char dims[64], matrix[112], stats[64]; // "2x3x", "tensor<2x3xf16>", "tensor<2xf32>"
    type_name x, y;
    const char *w; // the type to compute in
} rows;

static rows see_rows(writer *w, int axes)
{
    rows r = {.x = name_of(element_type_of(input(w, 0))), .y = name_of(element_type_of(output(w)))};
    int rank = rank_of(input(w, 0));
    if (axes > rank) axes = rank;
    r.w = wide(r.x);
    r.rows = product(input(w, 0), 0, rank - axes);
    r.cols = product(input(w, 0), rank - axes, rank);
    snprintf(r.dims, sizeof r.dims, "%" PRId64 "x%" PRId64 "x", r.rows, r.cols);
    snprintf(r.matrix, sizeof r.matrix, "tensor<%s%s>", r.dims, r.x.s);
    snprintf(r.stats, sizeof r.stats, "tensor<%" PRId64 "x%s>", r.rows, r.w);
    write_operand(w, 0, "%x", r.dims);
    return r;
}

// %to[r] = sum over the row of (x - mean[r])^power; without a mean: of x^power.
static void write_row_sum(writer *w, const rows *r, const char *to, bool centred, int power)
{
    char maps[256], types[256];
    snprintf(maps, sizeof maps, "%s, %s%s%s", ROW_MAPS, centred ? ROW_STAT : "", centred ? ", " : "", ROW_STAT);
    snprintf(types, sizeof types, "%s%s%s", r->matrix, centred ? ", " : "", centred ? r->stats : "");
    char init[32];
    snprintf(init, sizeof init, "%s_init", to);
    write_fill(w, init, "0.0", r->w, r->stats);
    write_generic(w, to, maps, REDUCE_ROWS, centred ? "%x, %mean" : "%x", types, init, r->stats);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %s%%out: %s):\n", r->x.s,
                  centred ? (!strcmp(r->w, "f64") ? "%m: f64, " : "%m: f32, ") : "", r->w);
    write_cast(w, "%v", "%a", r->x.s, r->w);
    if (centred) buffer_printf(&w->text, "      %%d = arith.subf %%v, %%m : %s\n", r->w);
    const char *term = centred ? "%d" : "%v";
    if (power == 2) {
        buffer_printf(&w->text, "      %%q = arith.mulf %s, %s : %s\n", term, term, r->w);
        term = "%q";
    }
    buffer_printf(&w->text, "      %%t = arith.addf %s, %%out : %s\n", term, r->w);
    write_yield(w, "%t", r->w, r->stats);
}

static void write_norm_body(writer *w, const rows *r, bool layer, const char *gamma, const char *beta,
                            const char *rounded)
{
    write_cast(w, "%v", "%a", r->x.s, r->w);
    buffer_printf(&w->text, "      %%n = arith.constant %" PRId64 ".0 : %s\n      %%eps = arith.constant %.17e : %s\n",
                  r->cols, r->w, op_float(w->op, "eps", 0), r->w);
    if (layer) buffer_printf(&w->text, "      %%c = arith.subf %%v, %%m : %s\n", r->w);
    buffer_printf(&w->text,
                  "      %%ms = arith.divf %%s, %%n : %s\n      %%me = arith.addf %%ms, %%eps : %s\n"
                  "      %%i = math.rsqrt %%me : %s\n      %%k = arith.mulf %s, %%i : %s\n",
                  r->w, r->w, r->w, layer ? "%c" : "%v", r->w);
    const char *value = "%k";
    if (rounded) {
        write_cast(w, "%kr", value, r->w, rounded);
        write_cast(w, "%kw", "%kr", rounded, r->w);
        value = "%kw";
    }
    if (gamma) {
        write_cast(w, "%gw", "%g", gamma, r->w);
        if (op_bool(w->op, "plus_one"))
            buffer_printf(&w->text, "      %%one = arith.constant 1.0 : %s\n      %%g1 = arith.addf %%gw, %%one : %s\n",
                          r->w, r->w);
        buffer_printf(&w->text, "      %%kg = arith.mulf %s, %s : %s\n", value,
                      op_bool(w->op, "plus_one") ? "%g1" : "%gw", r->w);
        value = "%kg";
    }
    if (beta) {
        write_cast(w, "%bw", "%b", beta, r->w);
        buffer_printf(&w->text, "      %%kb = arith.addf %s, %%bw : %s\n", value, r->w);
        value = "%kb";
    }
    write_cast(w, "%y", value, r->w, r->y.s);
}

static bool write_norm(writer *w, bool layer)
{
    rows r = see_rows(w, (int)op_int(w->op, "axes", 1));
    if (layer) {
        write_row_sum(w, &r, "%sum", false, 1);
        char maps[256];
        snprintf(maps, sizeof maps, "affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>");
        buffer_printf(&w->text, "  %%mean_e = tensor.empty() : %s\n", r.stats);
        write_generic(w, "%mean", maps, "\"parallel\"", "%sum", r.stats, "%mean_e", r.stats);
        buffer_printf(&w->text,
                      "    ^bb0(%%a: %s, %%out: %s):\n      %%n = arith.constant %" PRId64 ".0 : %s\n"
                      "      %%m = arith.divf %%a, %%n : %s\n",
                      r.w, r.w, r.cols, r.w, r.w);
        write_yield(w, "%m", r.w, r.stats);
    }
    write_row_sum(w, &r, "%squares", layer, 2);
    bool segments = op_attribute(w->op, "operandSegmentSizes").ptr != NULL;
    type_name gamma = {""}, beta = {""};
    char maps[512], ins[112] = "%x", types[256], arguments[160], vector[64], type[112];
    size_t m = (size_t)snprintf(maps, sizeof maps, "%s, ", ROW_MAPS),
           t = (size_t)snprintf(types, sizeof types, "%s", r.matrix),
           a = (size_t)snprintf(arguments, sizeof arguments, "%%a: %s, ", r.x.s);
    snprintf(vector, sizeof vector, "%" PRId64 "x", r.cols);
    for (int i = 1; i <= (layer ? 2 : 1); i++) {
        int64_t at = i, present = segments ? op_segment(w->op, i, &at) : mlirOperationGetNumOperands(w->op) > i;
        if (!present) continue;
        type_name e = name_of(element_type_of(input(w, (int)at)));
        if (product(input(w, (int)at), 0, rank_of(input(w, (int)at))) != r.cols) return false;
        write_operand(w, (int)at, i == 1 ? "%gamma" : "%beta", vector);
        *(i == 1 ? &gamma : &beta) = e;
        strcat(ins, i == 1 ? ", %gamma" : ", %beta");
        m += (size_t)snprintf(maps + m, sizeof maps - m, "%s, ", ROW_VECTOR);
        t += (size_t)snprintf(types + t, sizeof types - t, ", tensor<%s%s>", vector, e.s);
        a += (size_t)snprintf(arguments + a, sizeof arguments - a, "%s: %s, ", i == 1 ? "%g" : "%b", e.s);
    }
    if (layer) {
        strcat(ins, ", %mean");
        m += (size_t)snprintf(maps + m, sizeof maps - m, "%s, ", ROW_STAT);
        t += (size_t)snprintf(types + t, sizeof types - t, ", %s", r.stats);
        a += (size_t)snprintf(arguments + a, sizeof arguments - a, "%%m: %s, ", r.w);
    }
    strcat(ins, ", %squares");
    snprintf(maps + m, sizeof maps - m, "%s, %s", ROW_STAT, ROW_MAPS);
    snprintf(types + t, sizeof types - t, ", %s", r.stats);
    snprintf(arguments + a, sizeof arguments - a, "%%s: %s", r.w);
    snprintf(type, sizeof type, "tensor<%s%s>", r.dims, r.y.s);
    buffer_printf(&w->text, "  %%y_e = tensor.empty() : %s\n", type);
    write_generic(w, "%normed", maps, ALL_ROWS, ins, types, "%y_e", type);
    buffer_printf(&w->text, "    ^bb0(%s, %%out: %s):\n", arguments, r.y.s);
    MlirAttribute rounded = op_attribute(w->op, "rounded");
    type_name to = {""};
    if (rounded.ptr) to = name_of(mlirTypeAttrGetValue(rounded));
    write_norm_body(w, &r, layer, gamma.s[0] ? gamma.s : NULL, beta.s[0] ? beta.s : NULL, rounded.ptr ? to.s : NULL);
    write_yield(w, "%y", r.y.s, type);
    write_return(w, "%normed", r.dims);
    return true;
}

static bool write_rms_norm(writer *w) { return write_norm(w, false); }
static bool write_layer_norm(writer *w) { return write_norm(w, true); }

// ---- softmax: e^(x - max) / sum of that

// %<to> = softmax of the rows of %<from>, both [r, c] of the wide type.
static void write_row_softmax(writer *w, const char *from, const char *to, int64_t n_rows, int64_t n_cols,
                              const char *e, bool zero_masked)
{
    char matrix[112], stats[64], maps[256], ins[112], types[256];
    snprintf(matrix, sizeof matrix, "tensor<%" PRId64 "x%" PRId64 "x%s>", n_rows, n_cols, e);
    snprintf(stats, sizeof stats, "tensor<%" PRId64 "x%s>", n_rows, e);
    snprintf(maps, sizeof maps, "%s, %s", ROW_MAPS, ROW_STAT);
    write_fill(w, "%max_init", minus_infinity(e), e, stats);
    write_generic(w, "%max", maps, REDUCE_ROWS, from, matrix, "%max_init", stats);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%out: %s):\n      %%t = arith.maximumf %%a, %%out : %s\n", e, e, e);
    write_yield(w, "%t", e, stats);

    snprintf(maps, sizeof maps, "%s, %s, %s", ROW_MAPS, ROW_STAT, ROW_MAPS);
    snprintf(ins, sizeof ins, "%s, %%max", from);
    snprintf(types, sizeof types, "%s, %s", matrix, stats);
    buffer_printf(&w->text, "  %%exp_e = tensor.empty() : %s\n", matrix);
    write_generic(w, "%exp", maps, ALL_ROWS, ins, types, "%exp_e", matrix);
    buffer_printf(&w->text,
                  "    ^bb0(%%a: %s, %%m: %s, %%out: %s):\n      %%d = arith.subf %%a, %%m : %s\n"
                  "      %%t = math.exp %%d : %s\n",
                  e, e, e, e, e);
    write_yield(w, "%t", e, matrix);

    snprintf(maps, sizeof maps, "%s, %s", ROW_MAPS, ROW_STAT);
    write_fill(w, "%sum_init", "0.0", e, stats);
    write_generic(w, "%sum", maps, REDUCE_ROWS, "%exp", matrix, "%sum_init", stats);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%out: %s):\n      %%t = arith.addf %%a, %%out : %s\n", e, e, e);
    write_yield(w, "%t", e, stats);

    snprintf(maps, sizeof maps, "%s, %s, %s, %s", ROW_MAPS, ROW_STAT, ROW_STAT, ROW_MAPS);
    snprintf(types, sizeof types, "%s, %s, %s", matrix, stats, stats);
    buffer_printf(&w->text, "  %s_e = tensor.empty() : %s\n", to, matrix);
    char init[32];
    snprintf(init, sizeof init, "%s_e", to);
    write_generic(w, to, maps, ALL_ROWS, "%exp, %sum, %max", types, init, matrix);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%s: %s, %%m: %s, %%out: %s):\n      %%t = arith.divf %%a, %%s : %s\n",
                  e, e, e, e, e);
    if (zero_masked)
        buffer_printf(&w->text,
                      "      %%low = arith.constant %s : %s\n      %%zero = arith.constant 0.0 : %s\n"
                      "      %%hidden = arith.cmpf oeq, %%m, %%low : %s\n"
                      "      %%z = arith.select %%hidden, %%zero, %%t : %s\n",
                      minus_infinity(e), e, e, e, e);
    write_yield(w, zero_masked ? "%z" : "%t", e, matrix);
}

// %<to> [dims] = %<from> in another element type.
static void write_convert(writer *w, const char *to, const char *from, const char *dims, const char *old,
                          const char *new)
{
    char a[160], b[160], init[32];
    snprintf(a, sizeof a, "tensor<%s%s>", dims, old);
    snprintf(b, sizeof b, "tensor<%s%s>", dims, new);
    snprintf(init, sizeof init, "%s_e", to);
    int rank = 0;
    for (const char *p = dims; *p; p++) rank += *p == 'x';
    char map[256] = "affine_map<(", iterators[128] = "", maps[520];
    for (int i = 0; i < rank; i++) sprintf(map + strlen(map), "%sd%d", i ? ", " : "", i);
    strcat(map, ") -> (");
    for (int i = 0; i < rank; i++) {
        sprintf(map + strlen(map), "%sd%d", i ? ", " : "", i);
        sprintf(iterators + strlen(iterators), "%s\"parallel\"", i ? ", " : "");
    }
    strcat(map, ")>");
    snprintf(maps, sizeof maps, "%s, %s", map, map);
    buffer_printf(&w->text, "  %s = tensor.empty() : %s\n", init, b);
    write_generic(w, to, maps, iterators, from, a, init, b);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%out: %s):\n", old, new);
    write_cast(w, "%v", "%a", old, new);
    write_yield(w, "%v", new, b);
}

static bool write_softmax(writer *w)
{
    rows r = see_rows(w, 1);
    write_convert(w, "%xw", "%x", r.dims, r.x.s, r.w);
    write_row_softmax(w, "%xw", "%soft", r.rows, r.cols, r.w, op_bool(w->op, "zero_masked"));
    write_convert(w, "%softy", "%soft", r.dims, r.w, r.y.s);
    write_return(w, "%softy", r.dims);
    return true;
}

// ---- swiglu: gate / (1 + e^-gate) * up, or with gelu of the gate

// %s = silu(%g)
static void write_silu(writer *w, const char *t)
{
    buffer_printf(
        &w->text,
        "      %%one = arith.constant 1.0 : %s\n      %%n = arith.negf %%g : %s\n      %%e = math.exp %%n : %s\n"
        "      %%d = arith.addf %%one, %%e : %s\n      %%s = arith.divf %%g, %%d : %s\n",
        t, t, t, t, t);
}

// %s = %g / 2 * (1 + tanh(sqrt(2 / pi) * (%g + 0.044715 * %g^3)))
static void write_gelu(writer *w, const char *t)
{
    buffer_printf(&w->text,
                  "      %%half = arith.constant 0.5 : %s\n      %%one = arith.constant 1.0 : %s\n"
                  "      %%c3 = arith.constant 0.044715 : %s\n      %%root = arith.constant 0.79788456080286536 : %s\n"
                  "      %%g2 = arith.mulf %%g, %%g : %s\n      %%g3 = arith.mulf %%g2, %%g : %s\n"
                  "      %%k3 = arith.mulf %%g3, %%c3 : %s\n      %%k = arith.addf %%g, %%k3 : %s\n",
                  t, t, t, t, t, t, t, t);
    buffer_printf(&w->text,
                  "      %%u = arith.mulf %%k, %%root : %s\n      %%th = math.tanh %%u : %s\n"
                  "      %%one_th = arith.addf %%th, %%one : %s\n      %%gh = arith.mulf %%g, %%half : %s\n"
                  "      %%s = arith.mulf %%gh, %%one_th : %s\n",
                  t, t, t, t, t);
}

// %s = %g / 2 * (1 + erf(%g / sqrt(2)))
static void write_gelu_erf(writer *w, const char *t)
{
    buffer_printf(&w->text,
                  "      %%half = arith.constant 0.5 : %s\n      %%one = arith.constant 1.0 : %s\n"
                  "      %%root = arith.constant 0.70710678118654752 : %s\n      %%u = arith.mulf %%g, %%root : %s\n"
                  "      %%er = math.erf %%u : %s\n      %%one_er = arith.addf %%er, %%one : %s\n"
                  "      %%gh = arith.mulf %%g, %%half : %s\n      %%s = arith.mulf %%gh, %%one_er : %s\n",
                  t, t, t, t, t, t, t, t);
}

static bool write_swiglu(writer *w)
{
    MlirStringRef activation = op_string(w->op, "activation");
    rows r = see_rows(w, 1);
    type_name up = name_of(element_type_of(input(w, 1)));
    char maps[256], types[256], type[112];
    write_operand(w, 1, "%up", r.dims);
    snprintf(maps, sizeof maps, "%s, %s, %s", ROW_MAPS, ROW_MAPS, ROW_MAPS);
    snprintf(types, sizeof types, "%s, tensor<%s%s>", r.matrix, r.dims, up.s);
    snprintf(type, sizeof type, "tensor<%s%s>", r.dims, r.y.s);
    buffer_printf(&w->text, "  %%y_e = tensor.empty() : %s\n", type);
    write_generic(w, "%gated", maps, ALL_ROWS, "%x, %up", types, "%y_e", type);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%out: %s):\n", r.x.s, up.s, r.y.s);
    write_cast(w, "%g", "%a", r.x.s, r.w);
    write_cast(w, "%v", "%b", up.s, r.w);
    if (mlirStringRefEqual(activation, mlir_text("gelu_erf")))
        write_gelu_erf(w, r.w);
    else if (activation.length)
        write_gelu(w, r.w);
    else
        write_silu(w, r.w);
    const char *gated = "%s";
    MlirAttribute rounded = op_attribute(w->op, "rounded");
    if (rounded.ptr) {
        type_name to = name_of(mlirTypeAttrGetValue(rounded));
        write_cast(w, "%sr", "%s", r.w, to.s);
        write_cast(w, "%sw", "%sr", to.s, r.w);
        gated = "%sw";
    }
    buffer_printf(&w->text, "      %%p = arith.mulf %s, %%v : %s\n", gated, r.w);
    write_cast(w, "%y", "%p", r.w, r.y.s);
    write_yield(w, "%y", r.y.s, type);
    write_return(w, "%gated", r.dims);
    return true;
}

// ---- linear: x W^T + b, one weight

static bool write_linear(writer *w)
{
    linear_parts parts;
    if (!linear_read(w->op, &parts) || parts.n_weights != 1 || parts.swiglu) return false;
    rows r = see_rows(w, 1);
    int64_t n = dim_of(parts.weights[0], 0);
    type_name wt = name_of(element_type_of(parts.weights[0]));
    if (rank_of(parts.weights[0]) != 2 || dim_of(parts.weights[0], 1) != r.cols) return false;
    char dims[64], type[112], types[256], out[112];
    snprintf(dims, sizeof dims, "%" PRId64 "x%" PRId64 "x", r.rows, n);
    snprintf(type, sizeof type, "tensor<%s%s>", dims, r.w);
    snprintf(types, sizeof types, "%s, tensor<%" PRId64 "x%" PRId64 "x%s>", r.matrix, n, r.cols, wt.s);
    write_fill(w, "%zero", "0.0", r.w, type);
    write_generic(w, "%product",
                  "affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, "
                  "affine_map<(d0, d1, d2) -> (d0, d1)>",
                  "\"parallel\", \"parallel\", \"reduction\"", "%x, %arg1", types, "%zero", type);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%out: %s):\n", r.x.s, wt.s, r.w);
    write_cast(w, "%v", "%a", r.x.s, r.w);
    write_cast(w, "%u", "%b", wt.s, r.w);
    buffer_printf(&w->text, "      %%p = arith.mulf %%v, %%u : %s\n      %%t = arith.addf %%out, %%p : %s\n", r.w, r.w);
    write_yield(w, "%t", r.w, type);

    // bias and residual, then the result's type
    char maps[400], ins[112] = "%product", more[512], arguments[160];
    size_t m = (size_t)snprintf(maps, sizeof maps, "%s, ", ROW_MAPS),
           t = (size_t)snprintf(more, sizeof more, "%s", type),
           a = (size_t)snprintf(arguments, sizeof arguments, "%%a: %s", r.w);
    int at = 2;
    type_name bias = {""}, residual = {""};
    if (parts.n_biases) {
        char vector[32];
        snprintf(vector, sizeof vector, "%" PRId64 "x", n);
        bias = name_of(element_type_of(parts.biases[0]));
        write_operand(w, at++, "%bias", vector);
        strcat(ins, ", %bias");
        m += (size_t)snprintf(maps + m, sizeof maps - m, "%s, ", ROW_VECTOR);
        t += (size_t)snprintf(more + t, sizeof more - t, ", tensor<%s%s>", vector, bias.s);
        a += (size_t)snprintf(arguments + a, sizeof arguments - a, ", %%b: %s", bias.s);
    }
    if (parts.residual.ptr) {
        residual = name_of(element_type_of(parts.residual));
        write_operand(w, at++, "%resid", dims);
        strcat(ins, ", %resid");
        m += (size_t)snprintf(maps + m, sizeof maps - m, "%s, ", ROW_MAPS);
        t += (size_t)snprintf(more + t, sizeof more - t, ", tensor<%s%s>", dims, residual.s);
        a += (size_t)snprintf(arguments + a, sizeof arguments - a, ", %%r: %s", residual.s);
    }
    snprintf(maps + m, sizeof maps - m, "%s", ROW_MAPS);
    snprintf(out, sizeof out, "tensor<%s%s>", dims, r.y.s);
    buffer_printf(&w->text, "  %%y_e = tensor.empty() : %s\n", out);
    write_generic(w, "%linear", maps, ALL_ROWS, ins, more, "%y_e", out);
    buffer_printf(&w->text, "    ^bb0(%s, %%out: %s):\n", arguments, r.y.s);
    const char *value = "%a";
    if (bias.s[0]) {
        write_cast(w, "%bw", "%b", bias.s, r.w);
        buffer_printf(&w->text, "      %%ab = arith.addf %s, %%bw : %s\n", value, r.w);
        value = "%ab";
    }
    if (residual.s[0]) {
        write_cast(w, "%rw", "%r", residual.s, r.w);
        buffer_printf(&w->text, "      %%ar = arith.addf %s, %%rw : %s\n", value, r.w);
        value = "%ar";
    }
    write_cast(w, "%y", value, r.w, r.y.s);
    write_yield(w, "%y", r.y.s, out);
    write_return(w, "%linear", dims);
    return true;
}

// ---- rope: the two halves of each head's features, or those at even and odd places, rotated

static bool write_rope(writer *w)
{
    MlirValue x = input(w, 0), cos = input(w, 1);
    int rank = rank_of(x);
    type_name e = name_of(element_type_of(x)), y = name_of(element_type_of(output(w))),
              c = name_of(element_type_of(cos)), s = name_of(element_type_of(input(w, 2)));
    int64_t heads = op_int(w->op, "n_heads", 0), half = dim_of(cos, rank_of(cos) - 1);
    if (rank < 2 || heads < 1 || half < 1 || strcmp(c.s, s.s)) return false;
    int64_t batch = product(x, 0, rank - 2), tokens = dim_of(x, rank - 2),
            rows_of_cos = product(cos, 0, rank_of(cos) - 1);
    if (dim_of(x, rank - 1) != heads * half * 2 || (rows_of_cos != tokens && rows_of_cos != 1)) return false;
    if (product(input(w, 2), 0, rank_of(input(w, 2))) != rows_of_cos * half) return false;
    char dims[128], table[64], whole[192], part[128], types[640], maps[512], tables[112];
    const char *wt = wide(e);
    bool interleaved = op_bool(w->op, "interleaved"); // [.., half, 2], else [.., 2, half]
    snprintf(dims, sizeof dims, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", batch, tokens, heads,
             interleaved ? half : 2, interleaved ? 2 : half);
    snprintf(table, sizeof table, "%" PRId64 "x%" PRId64 "x", rows_of_cos, half);
    snprintf(tables, sizeof tables, "tensor<%s%s>", table, c.s);
    snprintf(whole, sizeof whole, "tensor<%s%s>", dims, y.s);
    snprintf(part, sizeof part, "tensor<%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", batch, tokens, heads, half);
    write_operand(w, 0, "%x", dims);
    write_operand(w, 1, "%cos", table);
    write_operand(w, 2, "%sin", table);
    char windows[2][160]; // of the two halves
    for (int p = 0; p < 2; p++) {
        snprintf(windows[p], sizeof windows[p],
                 "[0, 0, 0, %d, %d] [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "] [1, 1, 1, 1, 1]",
                 interleaved ? 0 : p, interleaved ? p : 0, batch, tokens, heads, interleaved ? half : 1,
                 interleaved ? 1 : half);
        buffer_printf(&w->text, "  %%h%d = tensor.extract_slice %%x%s : tensor<%s%s> to %s%s>\n", p, windows[p], dims,
                      e.s, part, e.s);
    }
    const char *id = "affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>",
               *row = rows_of_cos == 1 && tokens != 1 ? "affine_map<(d0, d1, d2, d3) -> (0, d3)>"
                                                      : "affine_map<(d0, d1, d2, d3) -> (d1, d3)>";
    snprintf(maps, sizeof maps, "%s, %s, %s, %s, %s", id, id, row, row, id);
    snprintf(types, sizeof types, "%s%s>, %s%s>, %s, %s", part, e.s, part, e.s, tables, tables);
    buffer_printf(&w->text, "  %%r_1 = tensor.empty() : %s\n", whole);
    for (int p = 0; p < 2; p++) {
        char to[8], out[192], ins[112];
        snprintf(to, sizeof to, "%%y%d", p);
        snprintf(out, sizeof out, "%s%s>", part, y.s);
        snprintf(ins, sizeof ins, "%%h%d, %%h%d, %%cos, %%sin", p, 1 - p);
        buffer_printf(&w->text, "  %%y%d_e = tensor.empty() : %s\n", p, out);
        write_generic(w, to, maps, "\"parallel\", \"parallel\", \"parallel\", \"parallel\"", ins, types,
                      p ? "%y1_e" : "%y0_e", out);
        buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%c: %s, %%s: %s, %%out: %s):\n", e.s, e.s, c.s, s.s, y.s);
        write_cast(w, "%aw", "%a", e.s, wt);
        write_cast(w, "%bw", "%b", e.s, wt);
        write_cast(w, "%cw", "%c", c.s, wt);
        write_cast(w, "%sw", "%s", s.s, wt);
        buffer_printf(&w->text,
                      "      %%k = arith.mulf %%aw, %%cw : %s\n      %%l = arith.mulf %%bw, %%sw : %s\n"
                      "      %%t = arith.%s %%k, %%l : %s\n",
                      wt, wt, p ? "addf" : "subf", wt);
        write_cast(w, "%v", "%t", wt, y.s);
        write_yield(w, "%v", y.s, out);
        buffer_printf(&w->text, "  %%r%d = tensor.insert_slice %%y%d into %%r%s%s : %s into %s\n", p, p, p ? "0" : "_1",
                      windows[p], out, whole);
    }
    write_return(w, "%r1", dims);
    return true;
}

// ---- attention: softmax(scale q k^T + mask) v, each head of k and v for a group of heads of q

static bool write_attention(writer *w)
{
    MlirValue q = input(w, 0), k = input(w, 1), v = input(w, 2);
    int rank = rank_of(q);
    int64_t heads = op_int(w->op, "n_heads", 0), kv = op_int(w->op, "n_kv_heads", 0);
    bool has_mask = mlirOperationGetNumOperands(w->op) == 4;
    if (rank < 2 || rank_of(k) != rank || rank_of(v) != rank || heads < 1 || kv < 1 || heads % kv ||
        op_attribute(w->op, "cache").ptr || (op_int(w->op, "window", 0) && !op_bool(w->op, "causal")))
        return false;
    int64_t b = product(q, 0, rank - 2), t = dim_of(q, rank - 2), d = dim_of(q, rank - 1) / heads,
            s = dim_of(k, rank - 2), dv = dim_of(v, rank - 1) / kv, group = heads / kv;
    if (product(k, 0, rank - 2) != b || dim_of(k, rank - 1) != kv * d || dim_of(v, rank - 2) != s) return false;
    type_name e = name_of(element_type_of(q)), ke = name_of(element_type_of(k)), ve = name_of(element_type_of(v)),
              y = name_of(element_type_of(output(w)));
    const char *wt = wide(e);
    char qd[128], kd[128], vd[128], sd[128], od[128], types[512], stype[192], otype[192], rd[112], row_type[160];
    snprintf(qd, sizeof qd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, t, kv, group, d);
    snprintf(kd, sizeof kd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, s, kv, d);
    snprintf(vd, sizeof vd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, s, kv, dv);
    snprintf(sd, sizeof sd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, kv, group, t, s);
    snprintf(od, sizeof od, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, t, kv, group, dv);
    snprintf(stype, sizeof stype, "tensor<%s%s>", sd, wt);
    snprintf(otype, sizeof otype, "tensor<%s%s>", od, wt);
    write_operand(w, 0, "%queries", qd);
    write_operand(w, 1, "%keys", kd);
    write_operand(w, 2, "%values", vd);
    // loops of both products: b, kv, group, t, s, d
    write_fill(w, "%zs", "0.0", wt, stype);
    snprintf(types, sizeof types, "tensor<%s%s>, tensor<%s%s>", qd, e.s, kd, ke.s);
    write_generic(w, "%scores",
                  "affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d1, d2, d5)>, affine_map<(d0, d1, d2, d3, d4, d5) "
                  "-> (d0, d4, d1, d5)>, "
                  "affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2, d3, d4)>",
                  "\"parallel\", \"parallel\", \"parallel\", \"parallel\", \"parallel\", \"reduction\"",
                  "%queries, %keys", types, "%zs", stype);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%out: %s):\n", e.s, ke.s, wt);
    write_cast(w, "%aw", "%a", e.s, wt);
    write_cast(w, "%bw", "%b", ke.s, wt);
    buffer_printf(&w->text, "      %%p = arith.mulf %%aw, %%bw : %s\n      %%t = arith.addf %%out, %%p : %s\n", wt, wt);
    write_yield(w, "%t", wt, stype);

    // scale, mask
    const char *all = "affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>";
    const char *five = "\"parallel\", \"parallel\", \"parallel\", \"parallel\", \"parallel\"";
    char maps[400], ins[32] = "%scores", more[512];
    type_name me = {""};
    snprintf(maps, sizeof maps, "%s, %s", all, all);
    snprintf(more, sizeof more, "%s", stype);
    if (has_mask) {
        MlirValue mask = input(w, 3);
        int n = rank_of(mask);
        int64_t last[4] = {1, 1, 1, 1}; // batch, heads, t, s
        if (n < 2 || n > 4) return false;
        for (int i = 0; i < n; i++) last[4 - n + i] = dim_of(mask, i);
        const int64_t full[] = {b, heads, t, s};
        for (int i = 0; i < 4; i++)
            if (last[i] != 1 && last[i] != full[i]) return false;
        me = name_of(element_type_of(mask));
        char md[128];
        int64_t mk = last[1] == 1 ? 1 : kv, mg = last[1] == 1 ? 1 : group;
        snprintf(md, sizeof md, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", last[0], mk, mg,
                 last[2], last[3]);
        write_operand(w, 3, "%mask", md);
        strcat(ins, ", %mask");
        snprintf(more, sizeof more, "%s, tensor<%s%s>", stype, md, me.s);
        snprintf(maps, sizeof maps, "%s, affine_map<(d0, d1, d2, d3, d4) -> (%s, %s, %s, %s, %s)>, %s", all,
                 last[0] == b ? "d0" : "0", mk == kv ? "d1" : "0", mg == group ? "d2" : "0", last[2] == t ? "d3" : "0",
                 last[3] == s ? "d4" : "0", all);
    }
    buffer_printf(&w->text, "  %%masked_e = tensor.empty() : %s\n", stype);
    write_generic(w, "%masked", maps, five, ins, more, "%masked_e", stype);
    buffer_printf(&w->text,
                  "    ^bb0(%%a: %s, %s%s%s%%out: %s):\n      %%scale = arith.constant %.17e : %s\n"
                  "      %%x = arith.mulf %%a, %%scale : %s\n",
                  wt, has_mask ? "%b: " : "", me.s, has_mask ? ", " : "", wt, op_float(w->op, "scale", 1), wt, wt);
    const char *value = "%x";
    if (op_attribute(w->op, "softcap").ptr) {
        buffer_printf(&w->text,
                      "      %%cap = arith.constant %.17e : %s\n      %%xd = arith.divf %%x, %%cap : %s\n"
                      "      %%xt = math.tanh %%xd : %s\n      %%xk = arith.mulf %%xt, %%cap : %s\n",
                      op_float(w->op, "softcap", 1), wt, wt, wt, wt);
        value = "%xk";
    }
    if (has_mask && !strcmp(me.s, "i1")) {
        buffer_printf(&w->text, "      %%low = arith.constant %s : %s\n      %%xm = arith.select %%b, %s, %%low : %s\n",
                      minus_infinity(wt), wt, value, wt);
        value = "%xm";
    } else if (has_mask) {
        write_cast(w, "%bw", "%b", me.s, wt);
        buffer_printf(&w->text, "      %%xm = arith.addf %s, %%bw : %s\n", value, wt);
        value = "%xm";
    }
    if (op_bool(w->op, "causal")) {
        int64_t window = op_int(w->op, "window", 0);
        buffer_printf(
            &w->text,
            "      %%past = arith.constant %" PRId64
            " : index\n      %%i = linalg.index 3 : index\n      %%j = linalg.index 4 : index\n"
            "      %%e = arith.addi %%i, %%past : index\n      %%come = arith.cmpi sle, %%j, %%e : index\n"
            "      %%window = arith.constant %" PRId64 " : index\n      %%first = arith.subi %%e, %%window : index\n"
            "      %%stay = arith.cmpi sgt, %%j, %%first : index\n      %%see = arith.andi %%come, %%stay : i1\n"
            "      %%lo = arith.constant %s : %s\n      %%xc = arith.select %%see, %s, %%lo : %s\n",
            s - t, window > 0 ? window : s + 1, minus_infinity(wt), wt, value, wt);
        value = "%xc";
    }
    write_yield(w, value, wt, stype);

    snprintf(rd, sizeof rd, "%" PRId64 "x%" PRId64 "x", b * heads * t, s);
    snprintf(row_type, sizeof row_type, "tensor<%s%s>", rd, wt);
    write_reshape(w, "%rows", "%masked", stype, rd, wt);
    write_row_softmax(w, "%rows", "%soft", b * heads * t, s, wt, op_bool(w->op, "zero_masked"));
    write_reshape(w, "%weights", "%soft", row_type, sd, wt);

    write_fill(w, "%zo", "0.0", wt, otype);
    snprintf(types, sizeof types, "%s, tensor<%s%s>", stype, vd, ve.s);
    write_generic(w, "%mixed",
                  "affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2, d3, d5)>, affine_map<(d0, d1, d2, d3, d4, d5) "
                  "-> (d0, d5, d1, d4)>, "
                  "affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d1, d2, d4)>",
                  "\"parallel\", \"parallel\", \"parallel\", \"parallel\", \"parallel\", \"reduction\"",
                  "%weights, %values", types, "%zo", otype);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%out: %s):\n", wt, ve.s, wt);
    write_cast(w, "%bw", "%b", ve.s, wt);
    buffer_printf(&w->text, "      %%p = arith.mulf %%a, %%bw : %s\n      %%t = arith.addf %%out, %%p : %s\n", wt, wt);
    write_yield(w, "%t", wt, otype);
    write_convert(w, "%mixedy", "%mixed", od, wt, y.s);
    write_return(w, "%mixedy", od);
    return true;
}

// ---- all

static const struct {
    const char *name;
    bool (*write)(writer *w);
} DEFINITIONS[] = {
    {"wf.rms_norm", write_rms_norm},   {"wf.layer_norm", write_layer_norm}, {"wf.softmax", write_softmax},
    {"wf.swiglu", write_swiglu},       {"wf.linear", write_linear},         {"wf.rope", write_rope},
    {"wf.attention", write_attention},
};

static bool write_definition(writer *w)
{
    for (size_t i = 0; i < sizeof DEFINITIONS / sizeof *DEFINITIONS; i++) {
        if (!op_is(w->op, DEFINITIONS[i].name)) continue;
        intptr_t n = mlirOperationGetNumOperands(w->op);
        char type[256];
        buffer_printf(&w->text, "func.func @reference(");
        for (intptr_t k = 0; k < n; k++) {
            value_type(input(w, (int)k), type);
            buffer_printf(&w->text, "%s%%arg%zd: %s", k ? ", " : "", k, type);
        }
        value_type(output(w), type);
        buffer_printf(&w->text, ") -> %s {\n", type);
        bool written = DEFINITIONS[i].write(w);
        buffer_printf(&w->text, "}\n");
        return written && !w->text.failed;
    }
    return false;
}

// Moves the ops of the definition in front of the op, which they replace.
static void splice(MlirModule definition, MlirOperation op)
{
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(definition));
    MlirBlock from = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0)), to = mlirOperationGetBlock(op);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        replace_value(mlirBlockGetArgument(from, i), mlirOperationGetOperand(op, i));
    MlirOperation end = mlirBlockGetTerminator(from), next;
    for (MlirOperation o = mlirBlockGetFirstOperation(from); !mlirOperationEqual(o, end); o = next) {
        next = mlirOperationGetNextInBlock(o);
        mlirOperationSetLocation(o, mlirOperationGetLocation(op));
        mlirOperationRemoveFromParent(o);
        mlirBlockInsertOwnedOperationBefore(to, op, o);
    }
    replace_value(mlirOperationGetResult(op, 0), mlirOperationGetOperand(end, 0));
    mlirOperationDestroy(op);
}

typedef struct run {
    compiler_context *c;
    bool (*keep)(MlirOperation op);
    wf_error *err;
    wf_status status;
} run;

static void decompose(MlirOperation op, void *context)
{
    run *r = context;
    if (r->status != WF_OK || !op_name_starts_with(op, "wf.") || (r->keep && r->keep(op))) return;
    writer w = {.op = op};
    wf_error reason = {0};
    MlirModule definition = {0};
    bool defined = mlirOperationGetNumResults(op) == 1 && write_definition(&w);
    if (defined) {
        compiler_context_watch(r->c, &reason);
        definition = mlirModuleCreateParse(r->c->mlir, mlir_text(w.text.data));
        compiler_context_watch(r->c, NULL);
    }
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    if (!defined) {
        r->status = error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: %.*s of this form cannot be compiled",
                              buffer_view(&where).data, (int)name.length, name.data);
    } else if (!definition.ptr) {
        r->status = error_set(r->err, WF_ERROR_COMPILE, "%s: the definition of %.*s: %s", buffer_view(&where).data,
                              (int)name.length, name.data, reason.message);
    } else {
        splice(definition, op);
        mlirModuleDestroy(definition);
    }
    buffer_free(&where);
    buffer_free(&w.text);
}

wf_status decompose_function(compiler_context *c, MlirOperation function, bool (*keep)(MlirOperation op), wf_error *err)
{
    run r = {c, keep, err, WF_OK};
    for_each_op(function, decompose, &r);
    return r.status;
}
