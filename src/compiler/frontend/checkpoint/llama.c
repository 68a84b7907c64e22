// The llama family: SmolLM2, Llama 2 and 3 (https://arxiv.org/abs/2302.13971), Mistral with a window on every layer
// (https://arxiv.org/abs/2310.06825), Qwen2 with biases on q, k and v (https://arxiv.org/abs/2407.10671), Qwen3 with
// norms on q and k (https://arxiv.org/abs/2505.09388).
#include "compiler/frontend/checkpoint/frontend.h"

MlirValue llama_graph(frontend *f, MlirValue tokens, MlirValue rows)
{
    const model_facts *m = f->facts;
    MlirValue table = graph_matrix(f, m->n_vocab, m->n_embd, "token_embd.weight");
    graph_tables tables = graph_rope_tables(f);
    MlirValue x = graph_embed(f, tokens, table);
    for (int layer = 0; layer < (int)m->n_layer && f->status == WF_OK; layer++) {
        MlirValue normed = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "blk.%d.attn_norm.weight", layer));
        x = graph_add(f, x, graph_self_attention(f, normed, layer, &tables));
        normed = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "blk.%d.ffn_norm.weight", layer));
        x = graph_add(f, x, graph_feed_forward(f, normed, layer));
    }
    return graph_head(f, x, rows, table);
}
