// Tensors are seen as [A, n, B]: n along the op's dimension, A and B before and behind it; a lane is one of A * B.
#include "compiler/frontend/mlir/tm_tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/frontend/mlir/tm_tensor_writer.h"
#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

enum { MAX_RANK = 8, MAX_OPERANDS = 16 };

typedef struct cube {
    int64_t before, n, behind;
    char type[256], dims[128];
    type_name element;
} cube;

static bool is_fixed(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsATensor(t) && mlirShapedTypeHasRank(t) && mlirShapedTypeHasStaticShape(t) &&
           mlirShapedTypeGetRank(t) <= MAX_RANK;
}

static cube cube_of(MlirValue v, int64_t axis)
{
    cube c = {count_sizes(v, 0, (int)axis),    dim_of(v, (int)axis), count_sizes(v, (int)axis + 1, rank_of(v)), "", "",
              type_name_of(element_type_of(v))};
    snprintf(c.dims, sizeof c.dims, "%" PRId64 "x%" PRId64 "x%" PRId64 "x", c.before, c.n, c.behind);
    snprintf(c.type, sizeof c.type, "tensor<%s%s>", c.dims, c.element.s);
    return c;
}

#define PRINT(...) buffer_printf(&w->text, __VA_ARGS__)

static void write_number(writer *w, const char *name, int64_t n)
{
    PRINT("  %s = arith.constant %" PRId64 " : index\n", name, n);
}

// The values give back what has the type of result i.
static void write_results(writer *w, int n, const char *const *names, const char *const *types)
{
    char type[256];
    for (int i = 0; i < n; i++) {
        MlirValue y = mlirOperationGetResult(w->op, i);
        int rank = rank_of(y);
        PRINT("  %%shape%d = arith.constant dense<%s", i, rank ? "[" : "");
        for (int d = 0; d < rank; d++) PRINT("%s%" PRId64, d ? ", " : "", dim_of(y, d));
        print_type(y, type);
        PRINT("%s> : tensor<%dxi64>\n  %%result%d = tensor.reshape %s(%%shape%d) : (%s, tensor<%dxi64>) -> %s\n",
              rank ? "]" : "", rank, i, names[i], i, types[i], rank, type);
    }
    PRINT("  return ");
    for (int i = 0; i < n; i++) PRINT("%s%%result%d", i ? ", " : "", i);
    PRINT(" : ");
    for (int i = 0; i < n; i++) {
        print_type(mlirOperationGetResult(w->op, i), type);
        PRINT("%s%s", i ? ", " : "", type);
    }
    PRINT("\n");
}

static void write_lane(writer *w)
{
    PRINT("    %%p = arith.divui %%lane, %%behind : index\n    %%q = arith.remui %%lane, %%behind : index\n");
}

// ---- scan: y[0] = x[0], y[i] = f(y[i - 1], x[i]); exclusive: y[0] = start, y[i] = f(y[i - 1], x[i - 1])

static bool define_scan(writer *w)
{
    int64_t axis = op_int(w->op, "dimension", -1);
    MlirValue x = operand_of(w, 0), start = operand_of(w, 2);
    if (mlirOperationGetNumOperands(w->op) != 3 || axis < 0 || axis >= rank_of(x)) return false;
    bool inclusive = op_bool(w->op, "inclusive");
    cube c = cube_of(x, axis);
    const char *t = c.element.s;
    char last[256], last_dims[64];
    snprintf(last_dims, sizeof last_dims, "%" PRId64 "x%" PRId64 "x", c.before, c.behind);
    snprintf(last, sizeof last, "tensor<%s%s>", last_dims, t);
    write_operand(w, x, "%x", c.dims);
    write_operand(w, start, "%start", last_dims);
    write_number(w, "%zero", 0);
    write_number(w, "%one", 1);
    write_number(w, "%n", c.n);
    write_number(w, "%behind", c.behind);
    write_number(w, "%lanes", c.before * c.behind);
    PRINT("  %%empty = tensor.empty() : %s\n", c.type);
    PRINT("  %%o:2 = scf.for %%lane = %%zero to %%lanes step %%one iter_args(%%y = %%empty, %%s = %%start) -> (%s, %s) "
          "{\n",
          c.type, last);
    write_lane(w);
    if (inclusive)
        PRINT("    %%f = tensor.extract %%x[%%p, %%zero, %%q] : %s\n", c.type);
    else
        PRINT("    %%f = tensor.extract %%s[%%p, %%q] : %s\n", last);
    PRINT("    %%y0 = tensor.insert %%f into %%y[%%p, %%zero, %%q] : %s\n", c.type);
    PRINT("    %%r:2 = scf.for %%i = %%one to %%n step %%one iter_args(%%yi = %%y0, %%v = %%f) -> (%s, %s) {\n", c.type,
          t);
    PRINT("      %%at = arith.subi %%i, %s : index\n", inclusive ? "%zero" : "%one");
    PRINT("      %%e = tensor.extract %%x[%%p, %%at, %%q] : %s\n", c.type);
    PRINT("      %%w = \"tm_tensor.apply\"(%%v, %%e) : (%s, %s) -> %s\n", t, t, t);
    PRINT("      %%yn = tensor.insert %%w into %%yi[%%p, %%i, %%q] : %s\n", c.type);
    PRINT("      scf.yield %%yn, %%w : %s, %s\n    }\n", c.type, t);
    PRINT("    %%sn = tensor.insert %%r#1 into %%s[%%p, %%q] : %s\n", last);
    PRINT("    scf.yield %%r#0, %%sn : %s, %s\n  } {wf.tiles}\n", c.type, last);
    write_results(w, 2, (const char *const[]){"%o#0", "%o#1"}, (const char *const[]){c.type, last});
    return true;
}

// ---- sort: stable, by merging runs of 1, 2, 4, .. of `o` into `t` and back

// "%NAME0, %NAME1, .." and types, for the k tensors of a sort.
static void write_names(writer *w, int k, const char *format, const char *separator)
{
    for (int i = 0; i < k; i++) {
        PRINT("%s", i ? separator : "");
        char name[160];
        snprintf(name, sizeof name, format, i, i);
        PRINT("%s", name);
    }
}

static void write_types(writer *w, int k, const cube *c)
{
    for (int i = 0; i < k; i++) PRINT("%s%s", i ? ", " : "", c[i].type);
}

static bool define_sort(writer *w)
{
    enum { MAX_TENSORS = 4 };
    int64_t axis = op_int(w->op, "dimension", -1), first, n_in = op_segment(w->op, 0, &first);
    int k = (int)mlirOperationGetNumOperands(w->op), rounds = 0;
    cube c[MAX_TENSORS];
    if (n_in || k < 1 || k > MAX_TENSORS || axis < 0 || axis >= rank_of(operand_of(w, 0))) return false;
    for (int i = 0; i < k; i++) {
        char name[16];
        snprintf(name, sizeof name, "%%x%d", i);
        c[i] = cube_of(operand_of(w, i), axis);
        write_operand(w, operand_of(w, i), name, c[i].dims);
        PRINT("  %%empty%d = tensor.empty() : %s\n", i, c[i].type);
    }
    int64_t n = c[0].n;
    while (rounds < 62 && (INT64_C(1) << rounds) < n) rounds++;
    write_number(w, "%zero", 0);
    write_number(w, "%one", 1);
    write_number(w, "%last", n - 1);
    write_number(w, "%n", n);
    write_number(w, "%behind", c[0].behind);
    write_number(w, "%lanes", c[0].before * c[0].behind);
    write_number(w, "%rounds", rounds);
    PRINT("  %%out:%d = scf.for %%lane = %%zero to %%lanes step %%one iter_args(", 2 * k);
    write_names(w, k, "%%a%d = %%x%d", ", ");
    PRINT(", ");
    write_names(w, k, "%%b%d = %%empty%d", ", ");
    PRINT(") -> (");
    write_types(w, k, c), PRINT(", "), write_types(w, k, c);
    PRINT(") {\n");
    write_lane(w);
    PRINT("    %%round:%d = scf.for %%r = %%zero to %%rounds step %%one iter_args(", 2 * k);
    write_names(w, k, "%%o%d = %%a%d", ", ");
    PRINT(", ");
    write_names(w, k, "%%t%d = %%b%d", ", ");
    PRINT(") -> (");
    write_types(w, k, c), PRINT(", "), write_types(w, k, c);
    PRINT(") {\n      %%width = arith.shli %%one, %%r : index\n      %%step = arith.shli %%width, %%one : index\n"
          "      %%merged:%d = scf.for %%lo = %%zero to %%n step %%step iter_args(",
          k);
    write_names(w, k, "%%m%d = %%t%d", ", ");
    PRINT(") -> (");
    write_types(w, k, c);
    PRINT(") {\n        %%mid_ = arith.addi %%lo, %%width : index\n        %%mid = arith.minui %%mid_, %%n : index\n"
          "        %%hi_ = arith.addi %%lo, %%step : index\n        %%hi = arith.minui %%hi_, %%n : index\n"
          "        %%run:%d = scf.for %%k = %%lo to %%hi step %%one iter_args(%%i = %%lo, %%j = %%mid, ",
          k + 2);
    write_names(w, k, "%%d%d = %%m%d", ", ");
    PRINT(") -> (index, index, ");
    write_types(w, k, c);
    PRINT(") {\n          %%left_ok = arith.cmpi ult, %%i, %%mid : index\n"
          "          %%right_out = arith.cmpi uge, %%j, %%hi : index\n"
          "          %%left = arith.minui %%i, %%last : index\n          %%right = arith.minui %%j, %%last : index\n");
    for (int i = 0; i < k; i++) {
        PRINT("          %%l%d = tensor.extract %%o%d[%%p, %%left, %%q] : %s\n", i, i, c[i].type);
        PRINT("          %%r%d = tensor.extract %%o%d[%%p, %%right, %%q] : %s\n", i, i, c[i].type);
    }
    PRINT("          %%keep = \"tm_tensor.apply\"(");
    write_names(w, k, "%%l%d, %%r%d", ", ");
    PRINT(") : (");
    for (int i = 0; i < k; i++) PRINT("%s%s, %s", i ? ", " : "", c[i].element.s, c[i].element.s);
    PRINT(") -> i1\n          %%either = arith.ori %%keep, %%right_out : i1\n"
          "          %%from_left = arith.andi %%left_ok, %%either : i1\n");
    for (int i = 0; i < k; i++) {
        PRINT("          %%v%d = arith.select %%from_left, %%l%d, %%r%d : %s\n", i, i, i, c[i].element.s);
        PRINT("          %%e%d = tensor.insert %%v%d into %%d%d[%%p, %%k, %%q] : %s\n", i, i, i, c[i].type);
    }
    PRINT("          %%i1 = arith.addi %%i, %%one : index\n          %%j1 = arith.addi %%j, %%one : index\n"
          "          %%in = arith.select %%from_left, %%i1, %%i : index\n"
          "          %%jn = arith.select %%from_left, %%j, %%j1 : index\n          scf.yield %%in, %%jn, ");
    write_names(w, k, "%%e%d", ", ");
    PRINT(" : index, index, ");
    write_types(w, k, c);
    PRINT("\n        }\n        scf.yield ");
    for (int i = 0; i < k; i++) PRINT("%s%%run#%d", i ? ", " : "", i + 2);
    PRINT(" : ");
    write_types(w, k, c);
    PRINT("\n      }\n      %%back:%d = scf.for %%k = %%zero to %%n step %%one iter_args(", k);
    write_names(w, k, "%%f%d = %%o%d", ", ");
    PRINT(") -> (");
    write_types(w, k, c);
    PRINT(") {\n");
    for (int i = 0; i < k; i++) {
        PRINT("        %%u%d = tensor.extract %%merged#%d[%%p, %%k, %%q] : %s\n", i, i, c[i].type);
        PRINT("        %%g%d = tensor.insert %%u%d into %%f%d[%%p, %%k, %%q] : %s\n", i, i, i, c[i].type);
    }
    PRINT("        scf.yield ");
    write_names(w, k, "%%g%d", ", ");
    PRINT(" : ");
    write_types(w, k, c);
    PRINT("\n      }\n      scf.yield ");
    write_names(w, k, "%%back#%d", ", ");
    PRINT(", ");
    write_names(w, k, "%%merged#%d", ", ");
    PRINT(" : ");
    write_types(w, k, c), PRINT(", "), write_types(w, k, c);
    PRINT("\n    }\n    scf.yield ");
    for (int i = 0; i < 2 * k; i++) PRINT("%s%%round#%d", i ? ", " : "", i);
    PRINT(" : ");
    write_types(w, k, c), PRINT(", "), write_types(w, k, c);
    PRINT("\n  } {wf.tiles}\n");
    const char *names[MAX_TENSORS] = {"%out#0", "%out#1", "%out#2", "%out#3"}, *types[MAX_TENSORS];
    for (int i = 0; i < k; i++) types[i] = c[i].type;
    write_results(w, k, names, types);
    return true;
}

// ---- topk: each candidate sinks into the sorted list of the best so far; of equal ones the smaller index comes first

static bool define_topk(writer *w)
{
    int64_t axis = op_int(w->op, "dimension", -1), first, n_in = op_segment(w->op, 0, &first);
    if (mlirOperationGetNumOperands(w->op) != n_in + 2 || n_in < 1 || n_in > 2 || axis < 0 ||
        axis >= rank_of(operand_of(w, 0)))
        return false;
    cube x = cube_of(operand_of(w, 0), axis), y = cube_of(operand_of(w, (int)n_in), axis);
    cube z = cube_of(operand_of(w, (int)n_in + 1), axis), given = n_in == 2 ? cube_of(operand_of(w, 1), axis) : z;
    const char *t = x.element.s, *index = z.element.s;
    if (strcmp(given.element.s, index)) return false;
    write_operand(w, operand_of(w, 0), "%x", x.dims);
    if (n_in == 2) write_operand(w, operand_of(w, 1), "%at", given.dims);
    write_operand(w, operand_of(w, (int)n_in), "%y", y.dims);
    write_operand(w, operand_of(w, (int)n_in + 1), "%z", z.dims);
    write_number(w, "%zero", 0);
    write_number(w, "%one", 1);
    write_number(w, "%n", x.n);
    write_number(w, "%most", y.n);
    write_number(w, "%behind", x.behind);
    write_number(w, "%lanes", x.before * x.behind);
    PRINT("  %%o:2 = scf.for %%lane = %%zero to %%lanes step %%one iter_args(%%ya = %%y, %%za = %%z) -> (%s, %s) {\n",
          y.type, z.type);
    write_lane(w);
    PRINT("    %%r:2 = scf.for %%i = %%zero to %%n step %%one iter_args(%%yb = %%ya, %%zb = %%za) -> (%s, %s) {\n",
          y.type, z.type);
    PRINT("      %%v = tensor.extract %%x[%%p, %%i, %%q] : %s\n", x.type);
    if (n_in == 2)
        PRINT("      %%c = tensor.extract %%at[%%p, %%i, %%q] : %s\n", given.type);
    else
        PRINT("      %%c = arith.index_cast %%i : index to %s\n", index);
    PRINT("      %%s:4 = scf.for %%k = %%zero to %%most step %%one iter_args(%%yc = %%yb, %%zc = %%zb, %%nv = %%v, "
          "%%nc = %%c) -> "
          "(%s, %s, %s, %s) {\n",
          y.type, z.type, t, index);
    PRINT("        %%kv = tensor.extract %%yc[%%p, %%k, %%q] : %s\n", y.type);
    PRINT("        %%kc = tensor.extract %%zc[%%p, %%k, %%q] : %s\n", z.type);
    PRINT("        %%better = \"tm_tensor.apply\"(%%nv, %%kv) : (%s, %s) -> i1\n", t, t);
    PRINT("        %%worse = \"tm_tensor.apply\"(%%kv, %%nv) : (%s, %s) -> i1\n", t, t);
    PRINT("        %%equal = arith.cmpi eq, %%better, %%worse : i1\n");
    PRINT("        %%earlier = arith.cmpi slt, %%nc, %%kc : %s\n", index);
    PRINT("        %%wins = arith.select %%equal, %%earlier, %%better : i1\n");
    PRINT("        %%free = arith.cmpi uge, %%k, %%i : index\n"); // no candidate has come so far
    PRINT("        %%takes = arith.ori %%free, %%wins : i1\n");
    PRINT(
        "        %%sv = arith.select %%takes, %%nv, %%kv : %s\n        %%sc = arith.select %%takes, %%nc, %%kc : %s\n",
        t, index);
    PRINT(
        "        %%ov = arith.select %%takes, %%kv, %%nv : %s\n        %%oc = arith.select %%takes, %%kc, %%nc : %s\n",
        t, index);
    PRINT("        %%yd = tensor.insert %%sv into %%yc[%%p, %%k, %%q] : %s\n", y.type);
    PRINT("        %%zd = tensor.insert %%sc into %%zc[%%p, %%k, %%q] : %s\n", z.type);
    PRINT("        scf.yield %%yd, %%zd, %%ov, %%oc : %s, %s, %s, %s\n      }\n", y.type, z.type, t, index);
    PRINT("      scf.yield %%s#0, %%s#1 : %s, %s\n    }\n", y.type, z.type);
    PRINT("    scf.yield %%r#0, %%r#1 : %s, %s\n  } {wf.tiles}\n", y.type, z.type);
    write_results(w, 2, (const char *const[]){"%o#0", "%o#1"}, (const char *const[]){y.type, z.type});
    return true;
}

// ---- scatter: y[indices[u] + place in the slice] = f(updates[u, place], y[..]), one update after the other

static bool define_scatter_nd(writer *w)
{
    MlirAttribute map = op_attribute(w->op, "dimension_map");
    if (mlirOperationGetNumOperands(w->op) != 3 || !map.ptr || !mlirAttributeIsADenseI64Array(map)) return false;
    MlirValue updates = operand_of(w, 0), indices = operand_of(w, 1), y = operand_of(w, 2);
    int rank = rank_of(y), slice = rank_of(updates) - 1, depth = (int)mlirDenseArrayGetNumElements(map);
    char t_updates[256], t_indices[256], t[256];
    type_name element = type_name_of(element_type_of(y)), index = type_name_of(element_type_of(indices));
    if (slice < 0 || slice > rank || rank_of(indices) != 2 || dim_of(indices, 1) != depth ||
        dim_of(indices, 0) != dim_of(updates, 0))
        return false;
    print_type(updates, t_updates);
    print_type(indices, t_indices);
    print_type(y, t);
    write_number(w, "%zero", 0);
    write_number(w, "%one", 1);
    write_number(w, "%n", dim_of(updates, 0));
    for (int i = 0; i < depth; i++) PRINT("  %%depth%d = arith.constant %d : index\n", i, i);
    for (int d = 0; d < slice; d++)
        PRINT("  %%size%d = arith.constant %" PRId64 " : index\n", d, dim_of(updates, d + 1));
    PRINT("  %%result = scf.for %%u = %%zero to %%n step %%one iter_args(%%y_0 = %%arg2) -> (%s) {\n", t);
    for (int i = 0; i < depth; i++) {
        PRINT("    %%at%d = tensor.extract %%arg1[%%u, %%depth%d] : %s\n", i, i, t_indices);
        PRINT("    %%index%d = arith.index_cast %%at%d : %s to index\n", i, i, index.s);
    }
    for (int d = 0; d < slice; d++)
        PRINT("    %%done_%d = scf.for %%i%d = %%zero to %%size%d step %%one iter_args(%%y_%d = %%y_%d) -> (%s) {\n", d,
              d, d, d + 1, d, t);
    for (int d = 0; d < rank; d++) {
        int at = d - (rank - slice);
        PRINT("    %%s%d_0 = arith.addi %s%d, %%zero : index\n", d, at < 0 ? "%zero_" : "%i", at < 0 ? d : at);
    }
    int steps[MAX_RANK] = {0};
    for (int i = 0; i < depth; i++) {
        int64_t d = mlirDenseI64ArrayGetElement(map, i);
        if (d < 0 || d >= rank) return false;
        PRINT("    %%s%d_%d = arith.addi %%s%d_%d, %%index%d : index\n", (int)d, steps[d] + 1, (int)d, steps[d], i);
        steps[d]++;
    }
    PRINT("    %%update = tensor.extract %%arg0[%%u");
    for (int d = 0; d < slice; d++) PRINT(", %%i%d", d);
    PRINT("] : %s\n    %%old = tensor.extract %%y_%d[", t_updates, slice);
    for (int d = 0; d < rank; d++) PRINT("%s%%s%d_%d", d ? ", " : "", d, steps[d]);
    PRINT("] : %s\n    %%new = \"tm_tensor.apply\"(%%update, %%old) : (%s, %s) -> %s\n", t, element.s, element.s,
          element.s);
    PRINT("    %%next = tensor.insert %%new into %%y_%d[", slice);
    for (int d = 0; d < rank; d++) PRINT("%s%%s%d_%d", d ? ", " : "", d, steps[d]);
    PRINT("] : %s\n    scf.yield %%next : %s\n  }\n", t, t);
    for (int d = slice; d-- > 0;) PRINT("    scf.yield %%done_%d : %s\n  }\n", d, t);
    PRINT("  return %%result : %s\n", t);
    return true;
}

// ---- attention: softmax(q k^T / sqrt(d) + mask) v

static bool define_attention_nd(writer *w)
{
    int64_t first, n_in = op_segment(w->op, 0, &first);
    if (mlirOperationGetNumOperands(w->op) != n_in + 1 || n_in < 3 || n_in > 4) return false;
    MlirValue q = operand_of(w, 0), k = operand_of(w, 1), v = operand_of(w, 2);
    int rank = rank_of(q);
    if (rank < 2 || rank_of(k) != rank || rank_of(v) != rank || (n_in == 4 && rank_of(operand_of(w, 3)) != rank))
        return false;
    type_name t = type_name_of(element_type_of(q));
    int64_t batch = count_sizes(q, 0, rank - 2), m = dim_of(q, rank - 2), n = dim_of(k, rank - 2),
            d = dim_of(q, rank - 1), dv = dim_of(v, rank - 1);
    if (count_sizes(k, 0, rank - 2) != batch || count_sizes(v, 0, rank - 2) != batch || dim_of(k, rank - 1) != d ||
        dim_of(v, rank - 2) != n)
        return false;
    const int64_t sizes[4][2] = {{m, d}, {n, d}, {n, dv}, {m, n}};
    char dims[4][64], types[4][128], y[128];
    const char *names[4] = {"%q", "%k", "%v", "%mask"};
    for (int i = 0; i < 4; i++) {
        type_name e = i < n_in ? type_name_of(element_type_of(operand_of(w, i))) : t;
        snprintf(dims[i], sizeof dims[i], "%" PRId64 "x%" PRId64 "x%" PRId64 "x", batch, sizes[i][0], sizes[i][1]);
        snprintf(types[i], sizeof types[i], "tensor<%" PRId64 "x%" PRId64 "x%" PRId64 "x%s>", batch, sizes[i][0],
                 sizes[i][1], e.s);
        if (i < n_in) write_operand(w, operand_of(w, i), names[i], dims[i]);
    }
    char scores[128];
    snprintf(scores, sizeof scores, "tensor<%s%s>", dims[3], t.s);
    snprintf(y, sizeof y, "tensor<%" PRId64 "x%" PRId64 "x%" PRId64 "x%s>", batch, m, dv, t.s);
    bool masked = n_in == 4, chosen = masked && !strcmp(type_name_of(element_type_of(operand_of(w, 3))).s, "i1");
    write_fill(w, "%s0", "0.0", t.s, scores);
    PRINT("  %%s = linalg.generic {indexing_maps = [affine_map<(b, m, n, k) -> (b, m, k)>, affine_map<(b, m, n, k) -> "
          "(b, n, k)>, "
          "affine_map<(b, m, n, k) -> (b, m, n)>], iterator_types = [\"parallel\", \"parallel\", \"parallel\", "
          "\"reduction\"]} "
          "ins(%%q, %%k : %s, %s) outs(%%s0 : %s) {\n    ^bb0(%%a: %s, %%b: %s, %%c: %s):\n"
          "      %%ab = arith.mulf %%a, %%b : %s\n      %%sum = arith.addf %%c, %%ab : %s\n"
          "      linalg.yield %%sum : %s\n  } -> %s\n",
          types[0], types[1], scores, t.s, t.s, t.s, t.s, t.s, t.s, scores);
    PRINT("  %%d = arith.constant %" PRId64
          ".0 : %s\n  %%scale = math.sqrt %%d : %s\n  %%none = arith.constant 0.0 : %s\n"
          "  %%lowest = arith.constant %s : %s\n  %%e = tensor.empty() : %s\n",
          d, t.s, t.s, t.s,
          !strcmp(t.s, "f16")    ? "0xFC00"
          : !strcmp(t.s, "bf16") ? "0xFF80"
                                 : lowest_number(t.s),
          t.s, scores);
    PRINT("  %%z = linalg.generic {indexing_maps = [%saffine_map<(b, m, n) -> (b, m, n)>, affine_map<(b, m, n) -> (b, "
          "m, n)>], "
          "iterator_types = [\"parallel\", \"parallel\", \"parallel\"]} ins(%%s%s : %s%s%s) outs(%%e : %s) {\n"
          "    ^bb0(%%a: %s, %s%s%s%%c: %s):\n      %%x0 = arith.divf %%a, %%scale : %s\n",
          masked ? "affine_map<(b, m, n) -> (b, m, n)>, " : "", masked ? ", %mask" : "", scores, masked ? ", " : "",
          masked ? types[3] : "", scores, t.s, masked ? "%g: " : "",
          masked ? type_name_of(element_type_of(operand_of(w, 3))).s : "", masked ? ", " : "", t.s, t.s);
    if (chosen) PRINT("      %%bias = arith.select %%g, %%none, %%lowest : %s\n", t.s);
    if (masked) PRINT("      %%x1 = arith.addf %%x0, %s : %s\n", chosen ? "%bias" : "%g", t.s);
    PRINT("      linalg.yield %s : %s\n  } -> %s\n", masked ? "%x1" : "%x0", t.s, scores);
    PRINT("  %%pe = tensor.empty() : %s\n  %%p = linalg.softmax dimension(2) ins(%%z : %s) outs(%%pe : %s) -> %s\n",
          scores, scores, scores, scores);
    write_fill(w, "%y0", "0.0", t.s, y);
    PRINT("  %%y = linalg.batch_matmul ins(%%p, %%v : %s, %s) outs(%%y0 : %s) -> %s\n", scores, types[2], y, y);
    write_results(w, 1, (const char *const[]){"%y"}, (const char *const[]){y});
    return true;
}

// ---- all

static const struct {
    const char *name;
    write_meaning *define;
} RULES[] = {
    {"tm_tensor.scan", define_scan},
    {"tm_tensor.sort", define_sort},
    {"tm_tensor.topk", define_topk},
    {"tm_tensor.scatter", define_scatter_nd},
    {"tm_tensor.attention", define_attention_nd},
};

typedef struct meaning {
    compiler_context *c;
    wf_error *err;
    wf_status status;
} meaning;

static void refuse(meaning *g, MlirOperation op, const char *reason) { g->status = refuse_op(op, reason, g->err); }

static bool write_function(writer *w, write_meaning *define)
{
    char type[256];
    intptr_t n = mlirOperationGetNumOperands(w->op), m = mlirOperationGetNumResults(w->op);
    PRINT("func.func @reference(");
    for (intptr_t i = 0; i < n; i++) {
        print_type(operand_of(w, (int)i), type);
        PRINT("%s%%arg%zd: %s", i ? ", " : "", i, type);
    }
    PRINT(") -> (");
    for (intptr_t i = 0; i < m; i++) {
        print_type(mlirOperationGetResult(w->op, i), type);
        PRINT("%s%s", i ? ", " : "", type);
    }
    PRINT(") {\n");
    for (int d = 0; d < MAX_RANK; d++) PRINT("  %%zero_%d = arith.constant 0 : index\n", d);
    bool written = define(w);
    PRINT("}\n");
    return written && !w->text.failed;
}

// The C API takes no unknown op for a terminator.
static MlirOperation last_op(MlirBlock block)
{
    MlirOperation op = mlirBlockGetFirstOperation(block);
    while (op.ptr && mlirOperationGetNextInBlock(op).ptr) op = mlirOperationGetNextInBlock(op);
    return op;
}

// Where the region of `op` belongs: a copy of its ops, on these operands.
static void splice_region(MlirOperation apply, MlirOperation op)
{
    MlirOperation copy = mlirOperationClone(op);
    MlirBlock body = function_body(copy);
    inline_block(body, last_op(body), apply);
    mlirOperationDestroy(copy);
}

// Whether the region takes what the definition gives it, and yields what it wants.
static bool has_region_for(MlirOperation op, MlirOperation apply)
{
    if (mlirOperationGetNumRegions(op) != 1) return false;
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    if (!body.ptr || mlirBlockGetNextInRegion(body).ptr ||
        mlirBlockGetNumArguments(body) != mlirOperationGetNumOperands(apply))
        return false;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(apply); i++)
        if (!mlirTypeEqual(mlirValueGetType(mlirBlockGetArgument(body, i)),
                           mlirValueGetType(mlirOperationGetOperand(apply, i))))
            return false;
    MlirOperation end = last_op(body);
    return end.ptr && op_is(end, "tm_tensor.yield") && mlirOperationGetNumOperands(end) == 1 &&
           mlirTypeEqual(mlirValueGetType(mlirOperationGetOperand(end, 0)),
                         mlirValueGetType(mlirOperationGetResult(apply, 0)));
}

typedef struct placement {
    meaning *g;
    MlirOperation op;
} placement;

static void place_op(MlirOperation o, void *context)
{
    placement *p = context;
    mlirOperationSetLocation(o, mlirOperationGetLocation(p->op));
    if (!op_is(o, "tm_tensor.apply") || p->g->status != WF_OK) return;
    if (has_region_for(p->op, o))
        splice_region(o, p->op);
    else
        refuse(p->g, p->op, "has a region of another form");
}

static void splice(meaning *g, MlirModule parsed, MlirOperation op)
{
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(parsed));
    MlirBlock body = function_body(function);
    placement p = {g, op};
    for_each_op(function, place_op, &p);
    if (g->status == WF_OK) inline_block(body, mlirBlockGetTerminator(body), op);
}

static bool has_elements(MlirOperation op)
{
    bool any = true;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        any = any && count_sizes(v, 0, rank_of(v)) > 0;
    }
    return any;
}

static void give_meaning(MlirOperation op, void *context)
{
    meaning *g = context;
    write_meaning *define = NULL;
    if (g->status != WF_OK || !op_name_starts_with(op, "tm_tensor.") || op_is(op, "tm_tensor.yield")) return;
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].name)) define = RULES[i].define;
    intptr_t n = mlirOperationGetNumOperands(op), m = mlirOperationGetNumResults(op), n_used = 0;
    for (intptr_t i = 0; i < m; i++) n_used += !has_no_use(mlirOperationGetResult(op, i));
    if (define && m && !n_used) { // raised
        mlirOperationDestroy(op);
        return;
    }
    bool sized = n <= MAX_OPERANDS, sorted = op_attribute(op, "operandSegmentSizes").ptr != NULL;
    for (intptr_t i = 0; i < n; i++) sized = sized && is_fixed(mlirOperationGetOperand(op, i));
    for (intptr_t i = 0; i < m; i++) sized = sized && is_fixed(mlirOperationGetResult(op, i));
    if (!define || !sorted || m < 1 || m > n) {
        refuse(g, op, "is not known here");
        return;
    }
    if (!sized) {
        refuse(g, op, "needs its sizes");
        return;
    }
    if (!has_elements(op)) { // its results are what it starts from
        for (intptr_t i = 0; i < m; i++)
            replace_value(mlirOperationGetResult(op, i), mlirOperationGetOperand(op, n - m + i));
        mlirOperationDestroy(op);
        return;
    }
    writer w = {.op = op};
    wf_error reason = {0};
    MlirModule parsed = {0};
    bool defined = write_function(&w, define);
    if (defined) {
        compiler_context_watch(g->c, &reason);
        parsed = mlirModuleCreateParse(g->c->mlir, mlir_text(w.text.data));
        compiler_context_watch(g->c, NULL);
    }
    if (!defined)
        refuse(g, op, "of this form is not known here");
    else if (!parsed.ptr)
        g->status = error_set(g->err, WF_ERROR_COMPILE, "the meaning of a tm_tensor op: %s", reason.message);
    else
        splice(g, parsed, op);
    if (parsed.ptr) mlirModuleDestroy(parsed);
    buffer_free(&w.text);
}

// Ops of the function itself only: their regions go with them.
wf_status tm_tensor_to_loops(compiler_context *c, MlirOperation function, wf_error *err)
{
    meaning g = {c, err, WF_OK};
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    for (MlirOperation op = mlirBlockGetFirstOperation(entry), next; op.ptr && g.status == WF_OK; op = next) {
        next = mlirOperationGetNextInBlock(op);
        give_meaning(op, &g);
    }
    return g.status;
}
