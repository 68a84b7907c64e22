// Ops of TOSA, tensor and linalg that upstream lowers to nothing structured. Indices that are computed are checked
// against their bounds at run time.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/dialect/definition/definition.h"

enum { MAX_RANK = 8 };

// "affine_map<(d0, d1, d2) -> (d0, d2)>": of `n` loops, all but `skip` (-1: none).
static void write_map(char out[128], int n, int skip)
{
    size_t len = (size_t)snprintf(out, 128, "affine_map<(");
    for (int d = 0; d < n; d++) len += (size_t)snprintf(out + len, 128 - len, "%sd%d", d ? ", " : "", d);
    len += (size_t)snprintf(out + len, 128 - len, ") -> (");
    for (int d = 0, first = 1; d < n; d++)
        if (d != skip) {
            len += (size_t)snprintf(out + len, 128 - len, "%sd%d", first ? "" : ", ", d);
            first = 0;
        }
    snprintf(out + len, 128 - len, ")>");
}

// n iterators, of which `reduced` (-1: none) is a reduction.
static void write_iterators(char out[160], int n, int reduced)
{
    size_t len = 0;
    out[0] = 0;
    for (int d = 0; d < n; d++)
        len +=
            (size_t)snprintf(out + len, 160 - len, "%s\"%s\"", d ? ", " : "", d == reduced ? "reduction" : "parallel");
}

static void write_empty(writer *w, const char *name, const char *type)
{
    buffer_printf(&w->text, "  %s = tensor.empty() : %s\n", name, type);
}

// An elementwise op over `ins` (may be NULL), all of the rank of the result, up to its body.
static void write_elementwise(writer *w, const char *ins, const char *in_types, int n_in, const char *type)
{
    char map[128], iterators[160], maps[512];
    int rank = rank_of(result_of(w));
    size_t len = 0;
    write_map(map, rank, -1);
    write_iterators(iterators, rank, -1);
    for (int i = 0; i <= n_in; i++) len += (size_t)snprintf(maps + len, sizeof maps - len, "%s%s", i ? ", " : "", map);
    write_empty(w, "%e", type);
    if (n_in)
        write_generic(w, "%y", maps, iterators, ins, in_types, "%e", type);
    else
        buffer_printf(&w->text,
                      "  %%y = linalg.generic {indexing_maps = [%s], iterator_types = [%s]} outs(%%e : %s) {\n", maps,
                      iterators, type);
}

// tosa.scatter: %arg0 [n, k, c] with rows %arg1 [n, w] replaced by those of %arg2 [n, w, c]. First which row of the
// input each row of the result takes, -1 for none; then a gather.
bool define_scatter(writer *w)
{
    MlirValue values = operand_of(w, 0), indices = operand_of(w, 1), source = operand_of(w, 2);
    if (rank_of(values) != 3 || rank_of(indices) != 2 || rank_of(source) != 3) return false;
    type_name e = type_name_of(element_type_of(values)), i = type_name_of(element_type_of(indices));
    char type[256], index_type[256], where[128], types[512];
    print_type(values, type);
    print_type(indices, index_type);
    snprintf(where, sizeof where, "tensor<%" PRId64 "x%" PRId64 "xi64>", dim_of(values, 0), dim_of(values, 1));
    write_fill(w, "%none", "-1", "i64", where);
    write_generic(w, "%where", "affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>",
                  "\"parallel\", \"parallel\", \"reduction\"", "%arg1", index_type, "%none", where);
    buffer_printf(&w->text, "    ^bb0(%%i: %s, %%o: i64):\n", i.s);
    bool wide_index = !strcmp(i.s, "i64");
    if (!wide_index) buffer_printf(&w->text, "      %%x = arith.extsi %%i : %s to i64\n", i.s);
    buffer_printf(&w->text,
                  "      %%n = arith.constant %" PRId64 " : i64\n      %%in = arith.cmpi ult, %s, %%n : i64\n"
                  "      cf.assert %%in, \"an index is out of range\"\n"
                  "      %%k = linalg.index 1 : index\n      %%kk = arith.index_cast %%k : index to i64\n"
                  "      %%w = linalg.index 2 : index\n      %%ww = arith.index_cast %%w : index to i64\n"
                  "      %%same = arith.cmpi eq, %s, %%kk : i64\n      %%r = arith.select %%same, %%ww, %%o : i64\n",
                  dim_of(values, 1), wide_index ? "%i" : "%x", wide_index ? "%i" : "%x");
    write_yield(w, "%r", "i64", where);
    snprintf(types, sizeof types, "%s, %s", type, where);
    write_empty(w, "%e", type);
    write_generic(w, "%y",
                  "affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>, "
                  "affine_map<(d0, d1, d2) -> (d0, d1, d2)>",
                  "\"parallel\", \"parallel\", \"parallel\"", "%arg0, %where", types, "%e", type);
    print_type(source, index_type);
    buffer_printf(&w->text,
                  "    ^bb0(%%v: %s, %%at: i64, %%o: %s):\n      %%zero = arith.constant 0 : i64\n"
                  "      %%keep = arith.cmpi slt, %%at, %%zero : i64\n      %%safe = arith.maxsi %%at, %%zero : i64\n"
                  "      %%b = linalg.index 0 : index\n      %%k = arith.index_cast %%safe : i64 to index\n"
                  "      %%c = linalg.index 2 : index\n      %%u = tensor.extract %%arg2[%%b, %%k, %%c] : %s\n"
                  "      %%r = arith.select %%keep, %%v, %%u : %s\n",
                  e.s, e.s, index_type, e.s);
    write_yield(w, "%r", e.s, type);
    buffer_printf(&w->text, "  return %%y : %s\n", type);
    return true;
}

// ---- slices at computed places

typedef struct slice {
    int rank;
    bool computed;             // some offset is
    char offset[MAX_RANK][24]; // a number or %arg<i>
    int64_t sizes[MAX_RANK], strides[MAX_RANK];
    int axis[MAX_RANK]; // of the smaller tensor; -1: dropped
} slice;

// False when this is no slice of fixed sizes and steps of `whole`, to or from `part`.
static bool read_slice(const writer *w, MlirValue whole, MlirValue part, int operand, slice *s)
{
    MlirAttribute offsets = op_attribute(w->op, "static_offsets"), sizes = op_attribute(w->op, "static_sizes"),
                  strides = op_attribute(w->op, "static_strides");
    *s = (slice){.rank = rank_of(whole)};
    if (s->rank > MAX_RANK || rank_of(part) > s->rank) return false;
    int at = 0;
    for (int d = 0; d < s->rank; d++) {
        int64_t offset = mlirDenseI64ArrayGetElement(offsets, d);
        s->sizes[d] = mlirDenseI64ArrayGetElement(sizes, d);
        s->strides[d] = mlirDenseI64ArrayGetElement(strides, d);
        if (s->sizes[d] < 0 || s->strides[d] < 1) return false;
        if (offset == INT64_MIN) {
            s->computed = s->computed || !op_is(defining_op(operand_of(w, operand)), "arith.constant");
            snprintf(s->offset[d], sizeof s->offset[d], "%%arg%d", operand++);
        } else {
            snprintf(s->offset[d], sizeof s->offset[d], "%" PRId64, offset);
        }
        bool matches = at < rank_of(part) && dim_of(part, at) == s->sizes[d];
        if (!matches && s->sizes[d] != 1) return false;
        s->axis[d] = matches ? at++ : -1;
    }
    return at == rank_of(part);
}

// %off<d>: the offset of a dimension. `checked`: the slice must lie inside.
static void write_offset(writer *w, const slice *s, int d, bool checked, int64_t size)
{
    if (s->offset[d][0] != '%') {
        buffer_printf(&w->text, "      %%off%d = arith.constant %s : index\n", d, s->offset[d]);
        return;
    }
    buffer_printf(&w->text,
                  "      %%off0_%d = arith.constant 0 : index\n      %%off%d = arith.addi %s, %%off0_%d : index\n", d,
                  d, s->offset[d], d);
    if (!checked) return;
    buffer_printf(&w->text,
                  "      %%last%d = arith.constant %" PRId64 " : index\n"
                  "      %%in%d = arith.cmpi ule, %%off%d, %%last%d : index\n"
                  "      cf.assert %%in%d, \"a slice is out of range\"\n",
                  d, size - s->sizes[d], d, d, d, d);
}

static void write_extract(writer *w, const char *to, const char *from, const char *index, int rank, const char *type)
{
    buffer_printf(&w->text, "      %s = tensor.extract %s[", to, from);
    for (int d = 0; d < rank; d++) buffer_printf(&w->text, "%s%s%d", d ? ", " : "", index, d);
    buffer_printf(&w->text, "] : %s\n", type);
}

bool define_extract_slice(writer *w)
{
    slice s;
    char type[256], whole[256];
    type_name e = type_name_of(element_type_of(result_of(w)));
    if (!read_slice(w, operand_of(w, 0), result_of(w), 1, &s) || !s.computed) return false;
    for (int d = 0; d < s.rank; d++)
        if (!s.sizes[d] || dim_of(operand_of(w, 0), d) < (s.sizes[d] - 1) * s.strides[d] + 1) return false;
    print_type(result_of(w), type);
    print_type(operand_of(w, 0), whole);
    write_elementwise(w, NULL, NULL, 0, type);
    buffer_printf(&w->text, "    ^bb0(%%o: %s):\n", e.s);
    for (int d = 0; d < s.rank; d++) {
        write_offset(w, &s, d, false, 0); // tensor.extract checks
        if (s.axis[d] >= 0)
            buffer_printf(&w->text,
                          "      %%l%d = linalg.index %d : index\n      %%st%d = arith.constant %" PRId64 " : index\n"
                          "      %%m%d = arith.muli %%l%d, %%st%d : index\n",
                          d, s.axis[d], d, s.strides[d], d, d, d);
        else
            buffer_printf(&w->text, "      %%m%d = arith.constant 0 : index\n", d);
        buffer_printf(&w->text, "      %%i%d = arith.addi %%off%d, %%m%d : index\n", d, d, d);
    }
    write_extract(w, "%v", "%arg0", "%i", s.rank, whole);
    write_yield(w, "%v", e.s, type);
    buffer_printf(&w->text, "  return %%y : %s\n", type);
    return true;
}

// %hit: whether the element at hand lies in the slice; %p<d>: where in it, kept inside.
static void write_hit(writer *w, const slice *s)
{
    buffer_printf(&w->text, "      %%hit_0 = arith.constant true\n");
    for (int d = 0; d < s->rank; d++) {
        write_offset(w, s, d, true, dim_of(result_of(w), d));
        buffer_printf(&w->text,
                      "      %%l%d = linalg.index %d : index\n      %%r%d = arith.subi %%l%d, %%off%d : index\n"
                      "      %%z%d = arith.constant 0 : index\n      %%n%d = arith.constant %" PRId64 " : index\n"
                      "      %%most%d = arith.constant %" PRId64 " : index\n"
                      "      %%h%d = arith.cmpi ult, %%r%d, %%n%d : index\n"
                      "      %%hit_%d = arith.andi %%hit_%d, %%h%d : i1\n"
                      "      %%low%d = arith.maxsi %%r%d, %%z%d : index\n"
                      "      %%p%d = arith.minsi %%low%d, %%most%d : index\n",
                      d, d, d, d, d, d, d, s->sizes[d], d, s->sizes[d] - 1, d, d, d, d + 1, d, d, d, d, d, d, d, d);
    }
}

bool define_insert_slice(writer *w)
{
    slice s;
    char type[256], part[256];
    type_name e = type_name_of(element_type_of(result_of(w)));
    if (!read_slice(w, result_of(w), operand_of(w, 0), 2, &s) || !s.computed) return false;
    for (int d = 0; d < s.rank; d++)
        if (!s.sizes[d] || s.strides[d] != 1 || dim_of(result_of(w), d) < s.sizes[d]) return false;
    print_type(result_of(w), type);
    print_type(operand_of(w, 0), part);
    write_elementwise(w, "%arg1", type, 1, type);
    buffer_printf(&w->text, "    ^bb0(%%v: %s, %%o: %s):\n", e.s, e.s);
    write_hit(w, &s);
    buffer_printf(&w->text, "      %%u = tensor.extract %%arg0[");
    for (int d = 0, first = 1; d < s.rank; d++)
        if (s.axis[d] >= 0) {
            buffer_printf(&w->text, "%s%%p%d", first ? "" : ", ", d);
            first = 0;
        }
    buffer_printf(&w->text, "] : %s\n      %%r = arith.select %%hit_%d, %%u, %%v : %s\n", part, s.rank, e.s);
    write_yield(w, "%r", e.s, type);
    buffer_printf(&w->text, "  return %%y : %s\n", type);
    return true;
}

// tensor.insert of a scalar.
bool define_insert(writer *w)
{
    slice s = {.rank = rank_of(result_of(w))};
    char type[256];
    type_name e = type_name_of(element_type_of(result_of(w)));
    if (s.rank > MAX_RANK) return false;
    for (int d = 0; d < s.rank; d++) {
        s.sizes[d] = s.strides[d] = 1;
        if (dim_of(result_of(w), d) < 1) return false;
        snprintf(s.offset[d], sizeof s.offset[d], "%%arg%d", d + 2);
    }
    print_type(result_of(w), type);
    write_elementwise(w, "%arg1", type, 1, type);
    buffer_printf(&w->text, "    ^bb0(%%v: %s, %%o: %s):\n", e.s, e.s);
    write_hit(w, &s);
    buffer_printf(&w->text, "      %%r = arith.select %%hit_%d, %%arg0, %%v : %s\n", s.rank, e.s);
    write_yield(w, "%r", e.s, type);
    buffer_printf(&w->text, "  return %%y : %s\n", type);
    return true;
}

// ---- the rest

bool define_bitcast(writer *w)
{
    char from[256], to[256];
    type_name a = type_name_of(element_type_of(operand_of(w, 0))), b = type_name_of(element_type_of(result_of(w)));
    print_type(operand_of(w, 0), from);
    print_type(result_of(w), to);
    if (rank_of(result_of(w)) > MAX_RANK) return false;
    write_elementwise(w, "%arg0", from, 1, to);
    buffer_printf(&w->text, "    ^bb0(%%v: %s, %%o: %s):\n      %%r = arith.bitcast %%v : %s to %s\n", a.s, b.s, a.s,
                  b.s);
    write_yield(w, "%r", b.s, to);
    buffer_printf(&w->text, "  return %%y : %s\n", to);
    return true;
}

// A statistic of each line along the axis: %to = `op` over %from of type e.
static void write_line_stat(writer *w, const char *to, const char *from, const char *op, const char *start,
                            const char *from_type, const char *stat, const char *e, int axis)
{
    char map[128], line[128], maps[260], iterators[160], init[32];
    int rank = rank_of(result_of(w));
    write_map(map, rank, -1);
    write_map(line, rank, axis);
    write_iterators(iterators, rank, axis);
    snprintf(maps, sizeof maps, "%s, %s", map, line);
    snprintf(init, sizeof init, "%s_init", to);
    write_fill(w, init, start, e, stat);
    write_generic(w, to, maps, iterators, from, from_type, init, stat);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%o: %s):\n      %%t = arith.%s %%a, %%o : %s\n", e, e, op, e);
    write_yield(w, "%t", e, stat);
}

// %to = op(%from, the statistic of its line).
static void write_line_op(writer *w, const char *to, const char *from, const char *with, const char *body,
                          const char *type, const char *stat, const char *e, int axis)
{
    char map[128], line[128], maps[390], iterators[160], ins[64], types[520], init[32];
    int rank = rank_of(result_of(w));
    write_map(map, rank, -1);
    write_map(line, rank, axis);
    write_iterators(iterators, rank, -1);
    snprintf(maps, sizeof maps, "%s, %s, %s", map, line, map);
    snprintf(ins, sizeof ins, "%s, %s", from, with);
    snprintf(types, sizeof types, "%s, %s", type, stat);
    snprintf(init, sizeof init, "%s_e", to);
    write_empty(w, init, type);
    write_generic(w, to, maps, iterators, ins, types, init, type);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%s: %s, %%o: %s):\n", e, e, e);
    buffer_printf(&w->text, body, e, e);
    write_yield(w, "%t", e, type);
}

// linalg.softmax along any axis.
bool define_linalg_softmax(writer *w)
{
    int rank = rank_of(result_of(w)), axis = (int)op_int(w->op, "dimension", -1);
    type_name x = type_name_of(element_type_of(operand_of(w, 0))), y = type_name_of(element_type_of(result_of(w)));
    if (rank < 1 || rank > MAX_RANK || axis < 0 || axis >= rank) return false;
    const char *e = wide_type(x);
    char dims[128] = "", lines[128] = "", type[160], stat[160];
    for (int d = 0; d < rank; d++) {
        size_t len = strlen(dims);
        snprintf(dims + len, sizeof dims - len, "%" PRId64 "x", dim_of(result_of(w), d));
        len = strlen(lines);
        if (d != axis) snprintf(lines + len, sizeof lines - len, "%" PRId64 "x", dim_of(result_of(w), d));
    }
    snprintf(type, sizeof type, "tensor<%s%s>", dims, e);
    snprintf(stat, sizeof stat, "tensor<%s%s>", lines, e);
    write_convert(w, "%x", "%arg0", dims, x.s, e);
    write_line_stat(w, "%max", "%x", "maximumf", lowest_number(e), type, stat, e, axis);
    write_line_op(w, "%exp", "%x", "%max", "      %%d = arith.subf %%a, %%s : %s\n      %%t = math.exp %%d : %s\n",
                  type, stat, e, axis);
    write_line_stat(w, "%sum", "%exp", "addf", "0.0", type, stat, e, axis);
    write_line_op(w, "%soft", "%exp", "%sum", "      %%t = arith.divf %%a, %%s : %s\n", type, stat, e, axis);
    write_convert(w, "%y", "%soft", dims, e, y.s);
    write_return(w, "%y", dims);
    return true;
}
