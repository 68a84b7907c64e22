// Which fields of config.json are understood.
//
// A field is read, or known to change nothing, or off; any other is refused by its name, for it may be the one that
// makes this model different from its family. Known to change nothing are the attributes of Hugging Face transformers'
// base class of configurations and of its generation configurations, in versions 4 and 5 (configuration_utils.py,
// generation/configuration_utils.py), what trainers and converters note down, and what concerns the tokenizer.
#include <string.h>

#include "format/hf_reader.h"

static const char *const READ[] = {
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rope_local_base_freq",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "partial_rotary_factor",
    "eos_token_id",
    "bos_token_id",
};

// Of the base class: names, types, what Python returns, heads of classifiers, how and where it runs.
static const char *const BASE[] = {
    "model_type",
    "transformers_version",
    "auto_map",
    "name_or_path",
    "_name_or_path",
    "_commit_hash",
    "_auto_class",
    "dtype",
    "torch_dtype",
    "use_bfloat16",
    "torchscript",
    "tf_legacy_loss",
    "return_dict",
    "output_attentions",
    "_output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "use_cache",
    "chunk_size_feed_forward",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_attn_implementation_autoset",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
    "_flash_attn_2_enabled",
    "base_model_tp_plan",
    "base_model_pp_plan",
    "base_model_fsdp_plan",
    "distributed_config",
    "ignore_keys_at_rope_validation",
    "is_decoder",
    "tie_encoder_decoder",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "finetuning_task",
    "task_specific_params",
    "tokenizer_class",
    "prefix",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "cls_token_id",
    "mask_token_id",
    "decoder_start_token_id",
};

// Of generation; transformers moves them out of config.json and does not use them from there.
static const char *const GENERATION[] = {
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "early_stopping",
    "max_time",
    "stop_strings",
    "do_sample",
    "num_beams",
    "num_beam_groups",
    "use_mtp",
    "cache_implementation",
    "cache_config",
    "max_cache_len",
    "return_legacy_cache",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "top_h",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "length_penalty",
    "diversity_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "force_words_ids",
    "renormalize_logits",
    "constraints",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "forced_decoder_ids",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "sequence_bias",
    "token_healing",
    "guidance_scale",
    "low_memory",
    "watermarking_config",
    "num_return_sequences",
    "output_scores",
    "output_logits",
    "return_dict_in_generate",
    "is_assistant",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "assistant_ensemble_weight",
    "target_lookbehind",
    "speculation_type",
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
    "generation_kwargs",
    "generation_config",
    "penalty_alpha",
    "dola_layers",
    "prefill_chunk_size",
    "compile_config",
    "disable_compile",
    "continuous_batching_config",
    "_from_model_config",
};

// Of training, converters and tokenizers.
static const char *const NOTES[] = {
    "initializer_range",
    "initializer_factor",
    "attention_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "activation_dropout",
    "classifier_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "dropout",
    "layerdrop",
    "gradient_checkpointing",
    "pretraining_tp",
    "router_aux_loss_coef",
    "neftune_noise_alpha",
    "is_llama_config",
    "transformers.js_config",
    "unsloth_fixed",
    "unsloth_version",
    "use_flash_attn",
    "use_flash_attention",
    "use_flash_attention_2",
    "bf16",
    "fp16",
    "fp32",
    "max_sequence_length",
    "max_seq_length",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "tokenizer_model_max_length",
    "tokenizer_padding_side",
    "padding_side",
    "pad_token",
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "cls_token",
    "mask_token",
    "additional_special_tokens",
    "add_bos_token",
    "add_eos_token",
    "chat_template",
    "license",
    "language",
    "datasets",
    "tags",
};

// Factors, which 1 switches off.
static const char *const FACTORS[] = {
    "logit_scale",
    "logits_scaling",
    "embedding_multiplier",
    "residual_multiplier",
    "lm_head_multiplier",
    "embedding_scale",
    "emb_scale",
    "scale_emb",
    "rope_scaling_factor",
    "rotary_pct",
    "rotary_percent",
    "rope_ratio",
    "width_multiplier",
    "logits_scale",
    "num_experts_per_group",
    "mup_width_scale",
    "output_multiplier_scale",
    "n_group",
    "topk_group",
};

// What is on where nothing is said, so that false is no way to switch a stranger off.
static const char *const ON[] = {"is_causal", "causal", "scale_attn_weights", "use_rope", "use_rotary_embeddings"};

bool hf_is_listed(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, list[i])) return true;
    return false;
}

#define IS_LISTED(name, list) hf_is_listed(name, list, sizeof(list) / sizeof *(list))

bool hf_is_off(const char *name, const json_t *value)
{
    view number;
    if (json_is_wide(value, &number)) return false;
    if (json_is_null(value)) return true;
    if (IS_LISTED(name, ON)) return json_is_true(value);
    if (json_is_number(value))
        return json_number_value(value) == (double)IS_LISTED(name, FACTORS) || json_number_value(value) == 0;
    if (json_is_string(value)) return json_string_length(value) == 0;
    if (json_is_array(value)) return json_array_size(value) == 0;
    if (json_is_object(value)) return json_object_size(value) == 0;
    return json_is_false(value);
}

wf_status hf_refuse_fields(const json_fields *f)
{
    const char *name;
    json_t *value, *root = (json_t *)(uintptr_t)f->object; // the macro takes no const, and changes nothing
    json_object_foreach(root, name, value)
    {
        bool known = IS_LISTED(name, READ) || IS_LISTED(name, BASE) || IS_LISTED(name, GENERATION) ||
                     IS_LISTED(name, NOTES) || hf_is_off(name, value);
        if (!known) return json_refuse(f, name, value);
    }
    return WF_OK;
}
