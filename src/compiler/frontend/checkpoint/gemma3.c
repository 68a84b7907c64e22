// Gemma 3, text (https://arxiv.org/abs/2503.19786): scaled embeddings, norms before and after each part, norms on q and
// k, GeGLU; five layers with a window, then one that sees everything, each kind with its own rotation.
#include "compiler/frontend/checkpoint/frontend.h"

MlirValue gemma3_graph(frontend *f, MlirValue tokens, MlirValue rows)
{
    const model_facts *m = f->facts;
    MlirValue table = graph_matrix(f, m->n_vocab, m->n_embd, "token_embd.weight");
    graph_tables tables = graph_rope_tables(f);
    MlirValue x = graph_embed(f, tokens, table);
    for (int layer = 0; layer < (int)m->n_layer && f->status == WF_OK; layer++) {
        MlirValue normed = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "blk.%d.attn_norm.weight", layer));
        MlirValue y = graph_self_attention(f, normed, layer, &tables);
        x = graph_add(f, x,
                      graph_rms_norm(f, y, graph_vector(f, m->n_embd, "blk.%d.post_attention_norm.weight", layer)));
        normed = graph_rms_norm(f, x, graph_vector(f, m->n_embd, "blk.%d.ffn_norm.weight", layer));
        y = graph_feed_forward(f, normed, layer);
        x = graph_add(f, x, graph_rms_norm(f, y, graph_vector(f, m->n_embd, "blk.%d.post_ffw_norm.weight", layer)));
    }
    return graph_head(f, x, rows, table);
}
