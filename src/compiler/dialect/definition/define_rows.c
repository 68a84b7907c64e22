// rms_norm, layer_norm, softmax, glu and linear: what works along the rows of the last axes.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/dialect/definition/definition.h"

// ---- norms: mean over the last axes, variance about it, then scale and shift

rows see_rows(writer *w, MlirValue x, int axes)
{
    rows r = {.x = type_name_of(element_type_of(x)), .y = type_name_of(element_type_of(result_of(w)))};
    int rank = rank_of(x);
    if (axes > rank) axes = rank;
    r.w = wide_type(r.x);
    r.rows = count_sizes(x, 0, rank - axes);
    r.cols = count_sizes(x, rank - axes, rank);
    snprintf(r.dims, sizeof r.dims, "%" PRId64 "x%" PRId64 "x", r.rows, r.cols);
    snprintf(r.matrix, sizeof r.matrix, "tensor<%s%s>", r.dims, r.x.s);
    snprintf(r.stats, sizeof r.stats, "tensor<%" PRId64 "x%s>", r.rows, r.w);
    write_operand(w, x, "%x", r.dims);
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

static void write_norm_body(writer *w, const rows *r, const norm_op *norm, const char *gamma, const char *beta,
                            const char *rounded)
{
    bool layer = norm->kind == NORM_LAYER;
    write_cast(w, "%v", "%a", r->x.s, r->w);
    buffer_printf(&w->text, "      %%n = arith.constant %" PRId64 ".0 : %s\n      %%eps = arith.constant %.17e : %s\n",
                  r->cols, r->w, norm->eps, r->w);
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
        if (norm->plus_one)
            buffer_printf(&w->text, "      %%one = arith.constant 1.0 : %s\n      %%g1 = arith.addf %%gw, %%one : %s\n",
                          r->w, r->w);
        buffer_printf(&w->text, "      %%kg = arith.mulf %s, %s : %s\n", value, norm->plus_one ? "%g1" : "%gw", r->w);
        value = "%kg";
    }
    if (beta) {
        write_cast(w, "%bw", "%b", beta, r->w);
        buffer_printf(&w->text, "      %%kb = arith.addf %s, %%bw : %s\n", value, r->w);
        value = "%kb";
    }
    write_cast(w, "%y", value, r->w, r->y.s);
}

bool define_norm(writer *w)
{
    norm_op norm;
    if (!norm_read(w->op, &norm) || norm.n_heads || norm.residual.ptr) return false;
    bool layer = norm.kind == NORM_LAYER;
    rows r = see_rows(w, norm.x, (int)norm.axes);
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
    const MlirValue vectors[] = {norm.gamma, norm.beta};
    type_name gamma = {""}, beta = {""};
    char maps[512], ins[112] = "%x", types[256], arguments[160], vector[64], type[112];
    size_t m = (size_t)snprintf(maps, sizeof maps, "%s, ", ROW_MAPS),
           t = (size_t)snprintf(types, sizeof types, "%s", r.matrix),
           a = (size_t)snprintf(arguments, sizeof arguments, "%%a: %s, ", r.x.s);
    snprintf(vector, sizeof vector, "%" PRId64 "x", r.cols);
    for (int i = 1; i <= 2; i++) {
        MlirValue v = vectors[i - 1];
        if (!v.ptr) continue;
        type_name e = type_name_of(element_type_of(v));
        if (count_sizes(v, 0, rank_of(v)) != r.cols) return false;
        write_operand(w, v, i == 1 ? "%gamma" : "%beta", vector);
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
    type_name to = {""};
    if (norm.rounded.ptr) to = type_name_of(norm.rounded);
    write_norm_body(w, &r, &norm, gamma.s[0] ? gamma.s : NULL, beta.s[0] ? beta.s : NULL,
                    norm.rounded.ptr ? to.s : NULL);
    write_yield(w, "%y", r.y.s, type);
    write_return(w, "%normed", r.dims);
    return true;
}

// ---- softmax: e^(x - max) / sum of that

// %sum_init [r] = e^(sink - max)
static void write_sink_weight(writer *w, const char *sink, const char *stats, const char *e)
{
    char ins[48], types[160];
    snprintf(ins, sizeof ins, "%s, %%max", sink);
    snprintf(types, sizeof types, "%s, %s", stats, stats);
    buffer_printf(&w->text, "  %%sum_init_e = tensor.empty() : %s\n", stats);
    write_generic(w, "%sum_init", "affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>",
                  "\"parallel\"", ins, types, "%sum_init_e", stats);
    buffer_printf(&w->text,
                  "    ^bb0(%%a: %s, %%m: %s, %%out: %s):\n      %%d = arith.subf %%a, %%m : %s\n"
                  "      %%t = math.exp %%d : %s\n",
                  e, e, e, e, e);
    write_yield(w, "%t", e, stats);
}

// %<to> = softmax of the rows of %<from>, both [r, c] of the wide type.
void write_row_softmax(writer *w, const char *from, const char *to, int64_t n_rows, int64_t n_cols, const char *e,
                       bool zero_masked, const char *sink)
{
    char matrix[112], stats[64], maps[256], ins[112], types[256];
    snprintf(matrix, sizeof matrix, "tensor<%" PRId64 "x%" PRId64 "x%s>", n_rows, n_cols, e);
    snprintf(stats, sizeof stats, "tensor<%" PRId64 "x%s>", n_rows, e);
    snprintf(maps, sizeof maps, "%s, %s", ROW_MAPS, ROW_STAT);
    if (!sink) write_fill(w, "%max_init", lowest_number(e), e, stats);
    write_generic(w, "%max", maps, REDUCE_ROWS, from, matrix, sink ? sink : "%max_init", stats);
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
    if (sink)
        write_sink_weight(w, sink, stats, e);
    else
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
                      lowest_number(e), e, e, e, e);
    write_yield(w, zero_masked ? "%z" : "%t", e, matrix);
}

// %sinks [r] from the operand with its size of 1 along the last axis. False when it does not fit x.
static bool write_row_sinks(writer *w, const rows *r, const softmax_op *softmax)
{
    MlirValue x = softmax->x, sink = softmax->sink;
    int64_t from[8], sizes[8];
    char type[256], dims[32];
    int rank = rank_of(x), n = 0;
    if (rank_of(sink) != rank || rank > 8 || dim_of(sink, rank - 1) != 1) return false;
    type_name e = type_name_of(element_type_of(sink));
    for (int i = 0; i < rank; i++) {
        from[i] = dim_of(sink, i);
        sizes[i] = i + 1 < rank ? dim_of(x, i) : 1;
        if (from[i] != 1 && from[i] != sizes[i]) return false;
    }
    write_spread(w, "%spread", argument_of(w, sink).s, rank, from, sizes, e.s, r->w);
    n += snprintf(type, sizeof type, "tensor<");
    for (int i = 0; i < rank; i++) n += snprintf(type + n, sizeof type - (size_t)n, "%" PRId64 "x", sizes[i]);
    snprintf(type + n, sizeof type - (size_t)n, "%s>", r->w);
    snprintf(dims, sizeof dims, "%" PRId64 "x", r->rows);
    write_reshape(w, "%sinks", "%spread", type, dims, r->w);
    return true;
}

bool define_softmax(writer *w)
{
    softmax_op softmax;
    if (!softmax_read(w->op, &softmax)) return false;
    bool has_sink = softmax.sink.ptr != NULL;
    rows r = see_rows(w, softmax.x, 1);
    if (has_sink && !write_row_sinks(w, &r, &softmax)) return false;
    write_convert(w, "%xw", "%x", r.dims, r.x.s, r.w);
    write_row_softmax(w, "%xw", "%soft", r.rows, r.cols, r.w, softmax.zero_masked, has_sink ? "%sinks" : NULL);
    write_convert(w, "%softy", "%soft", r.dims, r.w, r.y.s);
    write_return(w, "%softy", r.dims);
    return true;
}

// ---- glu: activation(gate) * up

// %s = %g / (1 + e^-%g)
static void write_silu(writer *w, const char *e)
{
    buffer_printf(
        &w->text,
        "      %%one = arith.constant 1.0 : %s\n      %%n = arith.negf %%g : %s\n      %%e = math.exp %%n : %s\n"
        "      %%d = arith.addf %%one, %%e : %s\n      %%s = arith.divf %%g, %%d : %s\n",
        e, e, e, e, e);
}

// %s = %g (1 + tanh(sqrt(2/pi) (%g + 0.044715 %g^3))) / 2
static void write_gelu(writer *w, const char *e)
{
    static const char *const LINES[] = {
        "%one = arith.constant 1.0",    "%half = arith.constant 0.5", "%c = arith.constant 0.7978845608028654",
        "%k = arith.constant 0.044715", "%g2 = arith.mulf %g, %g",    "%g3 = arith.mulf %g2, %g",
        "%m = arith.mulf %k, %g3",      "%a1 = arith.addf %g, %m",    "%a2 = arith.mulf %c, %a1",
        "%th = math.tanh %a2",          "%d = arith.addf %one, %th",  "%h = arith.mulf %half, %g",
        "%s = arith.mulf %h, %d",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) buffer_printf(&w->text, "      %s : %s\n", LINES[i], e);
}

// %s = %g (1 + erf(%g / sqrt(2))) / 2
static void write_gelu_erf(writer *w, const char *e)
{
    static const char *const LINES[] = {
        "%one = arith.constant 1.0", "%half = arith.constant 0.5", "%c = arith.constant 0.7071067811865476",
        "%u = arith.mulf %g, %c",    "%er = math.erf %u",          "%d = arith.addf %one, %er",
        "%h = arith.mulf %half, %g", "%s = arith.mulf %h, %d",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) buffer_printf(&w->text, "      %s : %s\n", LINES[i], e);
}

bool define_glu(writer *w)
{
    static void (*const ACTIVATIONS[])(writer *w, const char *e) = {
        [GLU_SILU] = write_silu, [GLU_GELU] = write_gelu_erf, [GLU_GELU_TANH] = write_gelu};
    glu_op glu;
    if (!glu_read(w->op, &glu)) return false;
    rows r = see_rows(w, glu.gate, 1);
    type_name up = type_name_of(element_type_of(glu.up));
    char maps[256], types[256], type[112];
    write_operand(w, glu.up, "%up", r.dims);
    snprintf(maps, sizeof maps, "%s, %s, %s", ROW_MAPS, ROW_MAPS, ROW_MAPS);
    snprintf(types, sizeof types, "%s, tensor<%s%s>", r.matrix, r.dims, up.s);
    snprintf(type, sizeof type, "tensor<%s%s>", r.dims, r.y.s);
    buffer_printf(&w->text, "  %%y_e = tensor.empty() : %s\n", type);
    write_generic(w, "%gated", maps, ALL_ROWS, "%x, %up", types, "%y_e", type);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%out: %s):\n", r.x.s, up.s, r.y.s);
    write_cast(w, "%g", "%a", r.x.s, r.w);
    write_cast(w, "%v", "%b", up.s, r.w);
    ACTIVATIONS[glu.activation](w, r.w);
    const char *gated = "%s";
    if (glu.rounded.ptr) {
        type_name to = type_name_of(glu.rounded);
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

bool define_linear(writer *w)
{
    linear_op parts;
    if (!linear_read(w->op, &parts) || !(parts.n_weights == 1 && !parts.glu)) return false;
    rows r = see_rows(w, parts.x, 1);
    int64_t n = dim_of(parts.weights[0], 0);
    type_name wt = type_name_of(element_type_of(parts.weights[0]));
    if (rank_of(parts.weights[0]) != 2 || dim_of(parts.weights[0], 1) != r.cols) return false;
    char dims[64], type[112], types[256], out[112], factors[32];
    snprintf(factors, sizeof factors, "%%x, %s", argument_of(w, parts.weights[0]).s);
    snprintf(dims, sizeof dims, "%" PRId64 "x%" PRId64 "x", r.rows, n);
    snprintf(type, sizeof type, "tensor<%s%s>", dims, r.w);
    snprintf(types, sizeof types, "%s, tensor<%" PRId64 "x%" PRId64 "x%s>", r.matrix, n, r.cols, wt.s);
    write_fill(w, "%zero", "0.0", r.w, type);
    write_generic(w, "%product",
                  "affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, "
                  "affine_map<(d0, d1, d2) -> (d0, d1)>",
                  "\"parallel\", \"parallel\", \"reduction\"", factors, types, "%zero", type);
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
    type_name bias = {""}, residual = {""};
    if (parts.n_biases) {
        char vector[32];
        snprintf(vector, sizeof vector, "%" PRId64 "x", n);
        bias = type_name_of(element_type_of(parts.biases[0]));
        write_operand(w, parts.biases[0], "%bias", vector);
        strcat(ins, ", %bias");
        m += (size_t)snprintf(maps + m, sizeof maps - m, "%s, ", ROW_VECTOR);
        t += (size_t)snprintf(more + t, sizeof more - t, ", tensor<%s%s>", vector, bias.s);
        a += (size_t)snprintf(arguments + a, sizeof arguments - a, ", %%b: %s", bias.s);
    }
    if (parts.residual.ptr) {
        residual = type_name_of(element_type_of(parts.residual));
        write_operand(w, parts.residual, "%resid", dims);
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
