// What config.json becomes. Values of YaRN's magnitude are those that transformers 5.24 computes
// (modeling_rope_utils.py, _compute_yarn_parameters), but with attn_factor, which it passes over.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h> // needs those above

#include "format/hf.h"
#include "format/json_read.h"

static wf_error err;
static checkpoint *file;
static hf_config config;

// A config of class `name` with these fields besides the sizes.
static wf_status read_config(const char *name, const char *fields)
{
    char text[1024];
    json_t *root;
    snprintf(text, sizeof text,
             "{\"architectures\": [\"%s\"], \"hidden_size\": 64, \"intermediate_size\": 128, \"num_hidden_layers\": 2,"
             " \"num_attention_heads\": 4%s}",
             name, fields);
    assert_int_equal(json_read(view_of(text), "t", JSON_RULES_PYTHON, &root, &err), WF_OK);
    assert_int_equal(checkpoint_create("t", &file, &err), WF_OK);
    wf_status status = hf_read_config("t", root, file, &config, &err);
    assert_int_equal(checkpoint_finish(file, (view){"", 0}, NULL), WF_OK);
    json_decref(root);
    return status;
}

static void reads(const char *name, const char *fields)
{
    if (read_config(name, fields) != WF_OK) fail_msg("%s: %s", fields, err.message);
}

static void refuses(const char *fields, const char *reason)
{
    assert_int_not_equal(read_config("LlamaForCausalLM", fields), WF_OK);
    if (!strstr(err.message, reason)) fail_msg("%s: '%s' does not say '%s'", fields, err.message, reason);
    checkpoint_close(file);
}

static double number(const char *key, double missing)
{
    assert_int_equal(checkpoint_get_float_or(file, key, &missing, &err), WF_OK);
    return missing;
}

static int64_t integer(const char *key)
{
    int64_t value = -1;
    assert_int_equal(checkpoint_get_int_or(file, key, 0, INT64_MAX, &value, &err), WF_OK);
    return value;
}

#define ROPE(fields) ", \"rope_theta\": 1e6, \"rope_scaling\": {\"rope_type\": \"yarn\"" fields "}"
#define YARN(fields) ROPE(", \"factor\": 4.0, \"original_max_position_embeddings\": 32768" fields)

static void reads_yarn(void **state)
{
    static const struct {
        const char *fields;
        double attention, multiplier; // 0: YaRN's own
        double fast, slow;            // 0: the default
        bool truncate;
    } cases[] = {
        {YARN(""), 0, 0, 0, 0, true},
        {YARN(", \"mscale\": 1.0, \"mscale_all_dim\": 0.707"), 1.036992729910394, 0, 0, 0, true},
        {YARN(", \"mscale\": 1.0, \"mscale_all_dim\": 1.0"), 1, 0, 0, 0, true},
        {YARN(", \"mscale\": 1.0"), 0, 0, 0, 0, true},
        {YARN(", \"mscale\": 1.0, \"mscale_all_dim\": 0"), 0, 0, 0, 0, true},
        {YARN(", \"mscale\": 1, \"mscale_all_dim\": 0.707, \"attention_factor\": 1.5"), 1.5, 0, 0, 0, true},
        {YARN(", \"attention_factor\": null, \"attn_factor\": 0.8782488562869419"), 0, 0.8782488562869419, 0, 0, true},
        {YARN(", \"attention_factor\": 1.5, \"attn_factor\": 0.5"), 1.5, 0, 0, 0, true},
        {YARN(", \"truncate\": false"), 0, 0, 0, 0, false},
        {YARN(", \"truncate\": null"), 0, 0, 0, 0, false},
        {YARN(", \"beta_fast\": 16, \"beta_slow\": 2.0"), 0, 0, 16, 2, true},
        {YARN(", \"beta_fast\": 0, \"beta_slow\": null, \"finetuned\": true"), 0, 0, 0, 0, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool truncate = false;
        reads("LlamaForCausalLM", cases[i].fields);
        assert_true(number("llama.rope.scaling.factor", 0) == 4);
        assert_int_equal(integer("llama.rope.scaling.original_context_length"), 32768);
        double attention = number("llama.rope.scaling.attention_factor", 0);
        if (!(fabs(attention - cases[i].attention) < 1e-14)) fail_msg("%s: %.17g", cases[i].fields, attention);
        assert_true(number("llama.rope.scaling.attn_factor", 0) == cases[i].multiplier);
        assert_true(number("llama.rope.scaling.yarn_beta_fast", 0) == cases[i].fast);
        assert_true(number("llama.rope.scaling.yarn_beta_slow", 0) == cases[i].slow);
        assert_int_equal(checkpoint_get_bool_or(file, "llama.rope.scaling.truncate", &truncate, &err), WF_OK);
        assert_true(truncate == cases[i].truncate);
        checkpoint_close(file);
    }
}

static void reads_contexts(void **state)
{
    (void)state;
    // null stands for the ratio of the contexts, and the file's own field goes before the scaling's
    reads("LlamaForCausalLM", ", \"max_position_embeddings\": 131072, \"original_max_position_embeddings\": 16384" ROPE(
                                  ", \"factor\": null, \"original_max_position_embeddings\": 32768"));
    assert_true(number("llama.rope.scaling.factor", 0) == 8);
    assert_int_equal(integer("llama.rope.scaling.original_context_length"), 16384);
    checkpoint_close(file);
    reads("LlamaForCausalLM", ", \"max_position_embeddings\": 4096" ROPE(", \"factor\": 2"));
    assert_int_equal(integer("llama.rope.scaling.original_context_length"), 4096);
    checkpoint_close(file);
    // transformers takes rope_scaling where both are there and it is not empty
    reads("LlamaForCausalLM", ", \"rope_parameters\": {\"rope_theta\": 5e5}, \"rope_scaling\": {}");
    assert_true(number("llama.rope.freq_base", 0) == 5e5);
    checkpoint_close(file);
    reads("LlamaForCausalLM", ", \"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"dynamic\"}, "
                              "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}");
    assert_true(number("llama.rope.freq_base", 0) == 1e4 && number("llama.rope.scaling.factor", 0) == 2);
    checkpoint_close(file);
}

static void knows_the_classes_defaults(void **state)
{
    static const struct {
        const char *class_name, *name;
        int64_t n_ctx, n_kv_heads;
    } cases[] = {{"LlamaForCausalLM", "llama", 2048, 4},     {"LLaMAForCausalLM", "llama", 2048, 4},
                 {"MistralForCausalLM", "llama", 131072, 8}, {"Qwen2ForCausalLM", "qwen2", 32768, 32},
                 {"Qwen3ForCausalLM", "qwen3", 32768, 32},   {"Gemma3ForCausalLM", "gemma3", 131072, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char key[64];
        reads(cases[i].class_name, "");
        snprintf(key, sizeof key, "%s.context_length", cases[i].name);
        assert_int_equal(integer(key), cases[i].n_ctx);
        snprintf(key, sizeof key, "%s.attention.head_count_kv", cases[i].name);
        assert_int_equal(integer(key), cases[i].n_kv_heads);
        checkpoint_close(file);
    }
    reads("Qwen2ForCausalLM", ", \"num_key_value_heads\": null");
    assert_int_equal(integer("qwen2.attention.head_count_kv"), 4);
    checkpoint_close(file);
    reads("x", ", \"architectures\": null, \"model_type\": \"qwen3\"");
    assert_int_equal(integer("qwen3.context_length"), 32768);
    checkpoint_close(file);
}

static void refuses_what_changes_the_model(void **state)
{
    (void)state;
    refuses(ROPE(", \"factor\": 4, \"long_factor\": [1.0]"), "long_factor");
    refuses(ROPE(", \"attn_factor\": 1.0"), "no factor");
    refuses(ROPE(", \"factor\": 1e400"), "factor");
    refuses(", \"rope_scaling\": {\"type\": \"longrope\"}", "longrope");
    refuses(", \"rope_scaling\": {\"rope_type\": \"default\", \"factor\": 2}", "factor");
    refuses(", \"num_local_experts\": 8", "num_local_experts");
    refuses(", \"scale_attn_weights\": false", "scale_attn_weights");
    refuses(", \"x\": NaN", "field 'x' = NaN is not supported");
    refuses(", \"architectures\": null", "architectures");
    refuses(", \"architectures\": null, \"model_type\": \"mamba\"", "mamba");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_yarn),
        cmocka_unit_test(reads_contexts),
        cmocka_unit_test(knows_the_classes_defaults),
        cmocka_unit_test(refuses_what_changes_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
