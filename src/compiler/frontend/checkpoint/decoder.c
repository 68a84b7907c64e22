// What the layers of decoders have in common: attention with what architectures add to it, and the gated feed-forward.
#include "compiler/frontend/checkpoint/frontend.h"

#include <string.h>

graph_tables graph_rope_tables(frontend *f)
{
    graph_tables tables;
    for (uint32_t i = 0; i < 2; i++) {
        if (i < f->facts->n_ropes)
            graph_rope_table(f, i, tables.cos_sin[i]);
        else
            memcpy(tables.cos_sin[i], tables.cos_sin[0], sizeof tables.cos_sin[i]);
    }
    return tables;
}

// q, k or v of a layer: a linear of x, with a bias where the architecture or the file has one.
static MlirValue project(frontend *f, MlirValue x, int64_t features, char name, int layer)
{
    MlirValue w = graph_matrix(f, features, f->facts->n_embd, "blk.%d.attn_%c.weight", layer, name);
    MlirValue bias = f->facts->qkv_bias ? graph_vector(f, features, "blk.%d.attn_%c.bias", layer, name)
                                        : graph_bias(f, features, "blk.%d.attn_%c.bias", layer, name);
    return graph_linear(f, x, w, bias);
}

MlirValue graph_self_attention(frontend *f, MlirValue x, int layer, const graph_tables *tables)
{
    const model_facts *m = f->facts;
    int64_t q_features = m->n_heads * m->head_dim, kv_features = m->n_kv_heads * m->head_dim;
    const MlirValue *cos_sin = tables->cos_sin[m->has_window[layer]];
    MlirValue q = project(f, x, q_features, 'q', layer);
    MlirValue k = project(f, x, kv_features, 'k', layer);
    MlirValue v = project(f, x, kv_features, 'v', layer);
    if (m->qk_norm) {
        q = graph_head_norm(f, q, graph_vector(f, m->head_dim, "blk.%d.attn_q_norm.weight", layer), m->n_heads);
        k = graph_head_norm(f, k, graph_vector(f, m->head_dim, "blk.%d.attn_k_norm.weight", layer), m->n_kv_heads);
    }
    q = graph_rope(f, q, m->n_heads, cos_sin);
    k = graph_rope(f, k, m->n_kv_heads, cos_sin);
    MlirValue heads = graph_attention(f, q, k, v, layer);
    MlirValue w_out = graph_matrix(f, m->n_embd, q_features, "blk.%d.attn_output.weight", layer);
    return graph_linear(f, heads, w_out, graph_bias(f, m->n_embd, "blk.%d.attn_output.bias", layer));
}

MlirValue graph_feed_forward(frontend *f, MlirValue x, int layer)
{
    const model_facts *m = f->facts;
    MlirValue w_gate = graph_matrix(f, m->n_ff, m->n_embd, "blk.%d.ffn_gate.weight", layer);
    MlirValue gate = graph_linear(f, x, w_gate, graph_bias(f, m->n_ff, "blk.%d.ffn_gate.bias", layer));
    MlirValue w_up = graph_matrix(f, m->n_ff, m->n_embd, "blk.%d.ffn_up.weight", layer);
    MlirValue up = graph_linear(f, x, w_up, graph_bias(f, m->n_ff, "blk.%d.ffn_up.bias", layer));
    MlirValue hidden = graph_glu(f, gate, up);
    MlirValue w_down = graph_matrix(f, m->n_embd, m->n_ff, "blk.%d.ffn_down.weight", layer);
    return graph_linear(f, hidden, w_down, graph_bias(f, m->n_embd, "blk.%d.ffn_down.bias", layer));
}

MlirValue graph_head(frontend *f, MlirValue x, MlirValue rows, MlirValue table)
{
    const model_facts *m = f->facts;
    x = graph_select_rows(f, x, rows);
    x = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "output_norm.weight"));
    MlirValue head = m->tied_head ? table : graph_matrix(f, m->n_vocab, m->n_embd, "output.weight");
    return graph_softcap(f, graph_linear(f, x, head, graph_bias(f, m->n_vocab, "output.bias")), m->final_softcap);
}
