// Any bytes as model.safetensors.index.json of a small folder: opened, or refused with one line.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "format/hf.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static const char CONFIG[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 64, \"intermediate_size\": 64, "
    "\"num_hidden_layers\": 1,"
    " \"num_attention_heads\": 4, \"max_position_embeddings\": 256, \"vocab_size\": 4, \"tie_word_embeddings\": true}";
static const char SHARD[] =
    "{\"model.norm.weight\": {\"dtype\": \"F32\", \"shape\": [64], \"data_offsets\": [0, 256]}}";

static void check(bool holds)
{
    if (!holds) abort();
}

static void write_file(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    check(file && fwrite(data, 1, bytes, file) == bytes && !fclose(file));
}

static const char *make_folder(void)
{
    static char folder[] = "/tmp/welford-index-fuzz-XXXXXX";
    unsigned char shard[8 + sizeof SHARD - 1 + 256] = {sizeof SHARD - 1};
    check(mkdtemp(folder) != NULL);
    memcpy(shard + 8, SHARD, sizeof SHARD - 1);
    write_file(folder, "config.json", CONFIG, sizeof CONFIG - 1);
    write_file(folder, "a.safetensors", shard, sizeof shard);
    return folder;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    static const char *folder;
    checkpoint *file;
    wf_error err = {0};
    if (!folder) folder = make_folder();
    write_file(folder, "model.safetensors.index.json", data, bytes);
    if (hf_open(folder, false, &file, &err) == WF_OK)
        checkpoint_close(file);
    else
        check(err.message[0] && !strchr(err.message, '\n'));
    return 0;
}
