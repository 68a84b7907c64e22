// Keys that lie in rows, a block of positions at a time in the order that products take (runtime/program/kv.h).
#include "compiler/kernel/attention/attention_parts.h"
#include "runtime/program/kv.h"

enum { KEYS = ATTENTION_KEYS, MAX_LANES = 16 };

// x[i][j] becomes x[j][i]: blocks off the diagonal change places, of 1 x 1, 2 x 2, 4 x 4, ..
static void transpose(builder *b, int n, value *x)
{
    for (int width = 1; width < n; width *= 2) {
        int64_t low[MAX_LANES], high[MAX_LANES];
        for (int lane = 0; lane < n; lane++) {
            low[lane] = lane & width ? n + lane - width : lane;
            high[lane] = lane & width ? n + lane : lane + width;
        }
        for (int i = 0; i < n; i++) {
            if (i & width) continue;
            value first = x[i], second = x[i + width];
            x[i] = shuffle(b, first, second, n, low);
            x[i + width] = shuffle(b, first, second, n, high);
        }
    }
}

// Behind the last position its keys are repeated: what is not there is not read.
value attention_emit_key_block(const attention_emitter *e, value k0)
{
    builder *b = e->b;
    int n = b->target.lanes;
    value from = attention_keys(e, e->keys, k0), last = add_i(b, sub(b, e->n_positions, k0), -1);
    value end = min_s(b, add_i(b, last, 1), const_i(b, KEYS));
    loop positions, features;
    loop_begin(b, &positions, const_i(b, 0), end, n, 0, NULL);
    value rows[MAX_LANES], group = div_i(b, positions.iv, KV_GROUP), lane = rem_i(b, positions.iv, KV_GROUP);
    for (int i = 0; i < n; i++) {
        value position = min_s(b, add_i(b, positions.iv, i), last);
        rows[i] = at(b, from, mul(b, position, e->key_strides[0]), 0);
    }
    value to = at(b, e->block, mul_i(b, add(b, mul_i(b, group, e->row * KV_GROUP), lane), 4), 0);
    loop_begin(b, &features, const_i(b, 0), const_i(b, e->row), n, 0, NULL);
    value x[MAX_LANES], column = mul_i(b, features.iv, 4), place = mul_i(b, features.iv, 4 * KV_GROUP);
    for (int i = 0; i < n; i++) x[i] = load(b, rows[i], column, 0, e->vf);
    transpose(b, n, x);
    for (int i = 0; i < n; i++) store(b, x[i], to, place, i * 4 * KV_GROUP);
    loop_end(b, &features, NULL);
    loop_end(b, &positions, NULL);
    return e->block;
}
