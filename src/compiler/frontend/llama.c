// The llama family: SmolLM2, Llama 2 and 3, Mistral (https://arxiv.org/abs/2302.13971), and with biases on q, k and v
// Qwen2 (https://arxiv.org/abs/2407.10671).
#include "compiler/frontend/checkpoint.h"

static MlirValue self_attention(frontend *f, MlirValue x, int layer, const MlirValue cos_sin[2])
{
    const model_facts *m = f->facts;
    int64_t q_features = m->n_heads * m->head_dim, kv_features = m->n_kv_heads * m->head_dim;
    MlirValue none = {0}, bias_q = none, bias_k = none, bias_v = none;
    if (m->qkv_bias) {
        bias_q = graph_vector(f, q_features, "blk.%d.attn_q.bias", layer);
        bias_k = graph_vector(f, kv_features, "blk.%d.attn_k.bias", layer);
        bias_v = graph_vector(f, kv_features, "blk.%d.attn_v.bias", layer);
    }
    MlirValue q = graph_linear(f, x, graph_matrix(f, q_features, m->n_embd, "blk.%d.attn_q.weight", layer), bias_q);
    MlirValue k = graph_linear(f, x, graph_matrix(f, kv_features, m->n_embd, "blk.%d.attn_k.weight", layer), bias_k);
    MlirValue v = graph_linear(f, x, graph_matrix(f, kv_features, m->n_embd, "blk.%d.attn_v.weight", layer), bias_v);
    q = graph_rope(f, q, m->n_heads, cos_sin);
    k = graph_rope(f, k, m->n_kv_heads, cos_sin);
    MlirValue heads = graph_attention(f, q, k, v, layer);
    MlirValue w_out = graph_matrix(f, m->n_embd, q_features, "blk.%d.attn_output.weight", layer);
    return graph_linear(f, heads, w_out, none);
}

static MlirValue feed_forward(frontend *f, MlirValue x, int layer)
{
    const model_facts *m = f->facts;
    MlirValue none = {0};
    MlirValue gate = graph_linear(f, x, graph_matrix(f, m->n_ff, m->n_embd, "blk.%d.ffn_gate.weight", layer), none);
    MlirValue up = graph_linear(f, x, graph_matrix(f, m->n_ff, m->n_embd, "blk.%d.ffn_up.weight", layer), none);
    MlirValue hidden = graph_swiglu(f, gate, up);
    return graph_linear(f, hidden, graph_matrix(f, m->n_embd, m->n_ff, "blk.%d.ffn_down.weight", layer), none);
}

MlirValue llama_graph(frontend *f, MlirValue tokens, MlirValue rows)
{
    const model_facts *m = f->facts;
    MlirValue table = graph_matrix(f, m->n_vocab, m->n_embd, "token_embd.weight");
    MlirValue cos_sin[2];
    graph_rope_table(f, 0, cos_sin);
    MlirValue x = graph_embed(f, tokens, table);
    for (int layer = 0; layer < (int)m->n_layer && f->status == WF_OK; layer++) {
        MlirValue normed = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "blk.%d.attn_norm.weight", layer));
        x = graph_add(f, x, self_attention(f, normed, layer, cos_sin));
        normed = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "blk.%d.ffn_norm.weight", layer));
        x = graph_add(f, x, feed_forward(f, normed, layer));
    }
    x = graph_select_rows(f, x, rows);
    x = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "output_norm.weight"));
    MlirValue head = m->tied_head ? table : graph_matrix(f, m->n_vocab, m->n_embd, "output.weight");
    return graph_linear(f, x, head, (MlirValue){0});
}
