// Any JSON as a config.json: refused with one line, or values that are within their bounds; and any tensor's name.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/hf.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_config(checkpoint *file, const hf_config *config, const json_t *root)
{
    char key[64], name[64];
    int64_t layers = 0;
    wf_error err = {0};
    check(checkpoint_finish(file, (view){"", 0}, &err) == WF_OK);
    snprintf(key, sizeof key, "%s.block_count", config->architecture->name);
    check(checkpoint_get_int(file, key, 1, 1000, &layers, &err) == WF_OK && layers == config->n_layer);
    const char *text = json_string_value(json_object_get(root, "model_type")); // stands for a tensor's name
    if (!text) return;
    if (hf_map_name("fuzz", config, text, name, &err) == WF_OK)
        check(strlen(name) < sizeof name);
    else
        check(err.message[0] && !strchr(err.message, '\n'));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    json_t *root;
    checkpoint *file;
    hf_config config;
    wf_error err = {0};
    if (json_read((view){(const char *)data, bytes}, "fuzz", JSON_RULES_PYTHON, &root, &err) != WF_OK) return 0;
    if (!json_is_object(root)) {
        json_decref(root);
        return 0;
    }
    check(checkpoint_create("fuzz", &file, &err) == WF_OK);
    if (hf_read_config("fuzz", root, file, &config, &err) == WF_OK)
        check_config(file, &config, root);
    else
        check(err.message[0] && !strchr(err.message, '\n'));
    checkpoint_close(file);
    json_decref(root);
    return 0;
}
