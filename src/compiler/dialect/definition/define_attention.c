// rope and attention: heads side by side in the last axis.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/dialect/definition/definition.h"

// ---- rope: pairs of features of each head, rotated

// x [b, t, h, 2, half], the two halves of a head; interleaved pairs are [b, t, h, half, 2]. One loop nest: a feature,
// its partner at 1 - part, and the sign that the part gives the sine.
bool define_rope(writer *w)
{
    rope_op rope;
    if (!rope_read(w->op, &rope)) return false;
    MlirValue x = rope.x, cos = rope.cos, sin = rope.sin;
    int rank = rank_of(x), rank_c = rank_of(cos);
    if (rank < 2 || rank_c < 1) return false;
    type_name e = type_name_of(element_type_of(x)), y = type_name_of(element_type_of(result_of(w))),
              c = type_name_of(element_type_of(cos)), s = type_name_of(element_type_of(sin));
    bool interleaved = rope.interleaved;
    int64_t heads = rope.n_heads, half = dim_of(cos, rank_c - 1), batch = count_sizes(x, 0, rank - 2),
            tokens = dim_of(x, rank - 2), rows_of_cos = count_sizes(cos, 0, rank_c - 1);
    if (heads < 1 || half < 1 || strcmp(c.s, s.s)) return false;
    if (dim_of(x, rank - 1) != heads * half * 2 || (rows_of_cos != tokens && rows_of_cos != 1)) return false;
    if (count_sizes(sin, 0, rank_of(sin)) != rows_of_cos * half) return false;
    char dims[128], table[64], from[192], to[192], tables[112], types[640];
    const char *wt = wide_type(e);
    snprintf(dims, sizeof dims, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", batch, tokens, heads,
             interleaved ? half : 2, interleaved ? 2 : half);
    snprintf(table, sizeof table, "%" PRId64 "x%" PRId64 "x", rows_of_cos, half);
    snprintf(tables, sizeof tables, "tensor<%s%s>", table, c.s);
    snprintf(from, sizeof from, "tensor<%s%s>", dims, e.s);
    snprintf(to, sizeof to, "tensor<%s%s>", dims, y.s);
    write_operand(w, x, "%x", dims);
    write_operand(w, cos, "%cos", table);
    write_operand(w, sin, "%sin", table);
#define LOOPS "affine_map<(d0, d1, d2, d3, d4) -> "
    static const char *const MAPS[2][3] = {
        {LOOPS "(d0, d1, d2, 1 - d3, d4)>", LOOPS "(d1, d4)>", LOOPS "(0, d4)>"},
        {LOOPS "(d0, d1, d2, d3, 1 - d4)>", LOOPS "(d1, d3)>", LOOPS "(0, d3)>"},
    };
    const char *id = LOOPS "(d0, d1, d2, d3, d4)>", *partner = MAPS[interleaved][0],
               *row = MAPS[interleaved][rows_of_cos == 1 && tokens != 1 ? 2 : 1];
#undef LOOPS
    char maps[512];
    snprintf(maps, sizeof maps, "%s, %s, %s, %s, %s", id, partner, row, row, id);
    snprintf(types, sizeof types, "%s, %s, %s, %s", from, from, tables, tables);
    buffer_printf(&w->text, "  %%y_e = tensor.empty() : %s\n", to);
    write_generic(w, "%y", maps, "\"parallel\", \"parallel\", \"parallel\", \"parallel\", \"parallel\"",
                  "%x, %x, %cos, %sin", types, "%y_e", to);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%b: %s, %%c: %s, %%s: %s, %%out: %s):\n", e.s, e.s, c.s, s.s, y.s);
    write_cast(w, "%aw", "%a", e.s, wt);
    write_cast(w, "%bw", "%b", e.s, wt);
    write_cast(w, "%cw", "%c", c.s, wt);
    write_cast(w, "%sw", "%s", s.s, wt);
    buffer_printf(&w->text,
                  "      %%part = linalg.index %d : index\n      %%zero = arith.constant 0 : index\n"
                  "      %%first = arith.cmpi eq, %%part, %%zero : index\n      %%minus = arith.negf %%sw : %s\n"
                  "      %%sign = arith.select %%first, %%minus, %%sw : %s\n"
                  "      %%k = arith.mulf %%aw, %%cw : %s\n      %%l = arith.mulf %%bw, %%sign : %s\n"
                  "      %%t = arith.addf %%k, %%l : %s\n",
                  interleaved ? 4 : 3, wt, wt, wt, wt, wt);
    write_cast(w, "%v", "%t", wt, y.s);
    write_yield(w, "%v", y.s, to);
    write_return(w, "%y", dims);
    return true;
}

// ---- attention: softmax(scale q k^T + mask) v, each head of k and v for a group of heads of q; a sink for each head

// %sinks [b * kv * group * t], those of the heads for each row of scores. False when they are not one for each head.
static bool write_head_sinks(writer *w, const attention_op *parts, const int64_t sizes[4], const char *wt)
{
    int64_t heads = sizes[1] * sizes[2], from[] = {1, sizes[1], sizes[2], 1};
    char dims[96], type[160];
    type_name e = type_name_of(element_type_of(parts->sink));
    if (count_sizes(parts->sink, 0, rank_of(parts->sink)) != heads) return false;
    snprintf(dims, sizeof dims, "1x%" PRId64 "x%" PRId64 "x1x", sizes[1], sizes[2]);
    write_operand(w, parts->sink, "%sink", dims);
    write_spread(w, "%spread", "%sink", 4, from, sizes, e.s, wt);
    snprintf(type, sizeof type, "tensor<%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%s>", sizes[0], sizes[1],
             sizes[2], sizes[3], wt);
    snprintf(dims, sizeof dims, "%" PRId64 "x", sizes[0] * heads * sizes[3]);
    write_reshape(w, "%sinks", "%spread", type, dims, wt);
    return true;
}

bool define_attention(writer *w)
{
    attention_op parts;
    if (!attention_read(w->op, &parts)) return false;
    MlirValue q = parts.q, k = parts.k, v = parts.v;
    int rank = rank_of(q);
    int64_t heads = parts.n_heads, kv = parts.n_kv_heads;
    bool has_mask = parts.mask.ptr != NULL;
    if (parts.cache >= 0) return false;
    int64_t b = count_sizes(q, 0, rank - 2), t = dim_of(q, rank - 2), d = dim_of(q, rank - 1) / heads,
            s = dim_of(k, rank - 2), dv = dim_of(v, rank - 1) / kv, group = heads / kv;
    if (count_sizes(k, 0, rank - 2) != b || dim_of(k, rank - 1) != kv * d || dim_of(v, rank - 2) != s) return false;
    type_name e = type_name_of(element_type_of(q)), ke = type_name_of(element_type_of(k)),
              ve = type_name_of(element_type_of(v)), y = type_name_of(element_type_of(result_of(w)));
    const char *wt = wide_type(e);
    char qd[128], kd[128], vd[128], sd[128], od[128], types[512], stype[192], otype[192], rd[112], row_type[160];
    snprintf(qd, sizeof qd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, t, kv, group, d);
    snprintf(kd, sizeof kd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, s, kv, d);
    snprintf(vd, sizeof vd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, s, kv, dv);
    snprintf(sd, sizeof sd, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, kv, group, t, s);
    snprintf(od, sizeof od, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", b, t, kv, group, dv);
    snprintf(stype, sizeof stype, "tensor<%s%s>", sd, wt);
    snprintf(otype, sizeof otype, "tensor<%s%s>", od, wt);
    write_operand(w, q, "%queries", qd);
    write_operand(w, k, "%keys", kd);
    write_operand(w, v, "%values", vd);
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
        MlirValue mask = parts.mask;
        int n = rank_of(mask);
        int64_t last[4] = {1, 1, 1, 1}; // batch, heads, t, s
        if (n < 2 || n > 4) return false;
        for (int i = 0; i < n; i++) last[4 - n + i] = dim_of(mask, i);
        const int64_t full[] = {b, heads, t, s};
        for (int i = 0; i < 4; i++)
            if (last[i] != 1 && last[i] != full[i]) return false;
        me = type_name_of(element_type_of(mask));
        char md[128];
        int64_t mk = last[1] == 1 ? 1 : kv, mg = last[1] == 1 ? 1 : group;
        snprintf(md, sizeof md, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 "x", last[0], mk, mg,
                 last[2], last[3]);
        write_operand(w, mask, "%mask", md);
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
                  wt, has_mask ? "%b: " : "", me.s, has_mask ? ", " : "", wt, parts.scale, wt, wt);
    const char *value = "%x";
    if (parts.softcap != 0) {
        buffer_printf(&w->text,
                      "      %%cap = arith.constant %.17e : %s\n      %%xd = arith.divf %%x, %%cap : %s\n"
                      "      %%xt = math.tanh %%xd : %s\n      %%xk = arith.mulf %%xt, %%cap : %s\n",
                      parts.softcap, wt, wt, wt, wt);
        value = "%xk";
    }
    if (has_mask && !strcmp(me.s, "i1")) {
        buffer_printf(&w->text, "      %%low = arith.constant %s : %s\n      %%xm = arith.select %%b, %s, %%low : %s\n",
                      lowest_number(wt), wt, value, wt);
        value = "%xm";
    } else if (has_mask) {
        write_cast(w, "%bw", "%b", me.s, wt);
        buffer_printf(&w->text, "      %%xm = arith.addf %s, %%bw : %s\n", value, wt);
        value = "%xm";
    }
    if (parts.causal) {
        int64_t window = parts.window;
        buffer_printf(
            &w->text,
            "      %%past = arith.constant %" PRId64
            " : index\n      %%i = linalg.index 3 : index\n      %%j = linalg.index 4 : index\n"
            "      %%e = arith.addi %%i, %%past : index\n      %%come = arith.cmpi sle, %%j, %%e : index\n"
            "      %%window = arith.constant %" PRId64 " : index\n      %%first = arith.subi %%e, %%window : index\n"
            "      %%stay = arith.cmpi sgt, %%j, %%first : index\n      %%see = arith.andi %%come, %%stay : i1\n"
            "      %%lo = arith.constant %s : %s\n      %%xc = arith.select %%see, %s, %%lo : %s\n",
            s - t, window > 0 ? window : s + 1, lowest_number(wt), wt, value, wt);
        value = "%xc";
    }
    write_yield(w, value, wt, stype);

    snprintf(rd, sizeof rd, "%" PRId64 "x%" PRId64 "x", b * heads * t, s);
    snprintf(row_type, sizeof row_type, "tensor<%s%s>", rd, wt);
    write_reshape(w, "%rows", "%masked", stype, rd, wt);
    const int64_t of_rows[] = {b, kv, group, t};
    if (parts.sink.ptr && !write_head_sinks(w, &parts, of_rows, wt)) return false;
    write_row_softmax(w, "%rows", "%soft", b * heads * t, s, wt, parts.zero_masked, parts.sink.ptr ? "%sinks" : NULL);
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
