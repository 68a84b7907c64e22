#include "format/file_kind.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define LOWER "no verb takes it: export the model to TOSA or linalg by torch-mlir, for `welford exec` and `opt`"
#define CONVERT "no verb takes it: convert it to safetensors beside its config.json, or to GGUF"

static bool holds(view bytes, const char *text)
{
    return bytes.len && memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
}

static bool begins(view bytes, const char *text) { return view_starts_with(bytes, view_of(text)); }

static view skip_space(view bytes)
{
    while (bytes.len && strchr(" \t\r\n", *bytes.data ? *bytes.data : '?'))
        bytes = (view){bytes.data + 1, bytes.len - 1};
    return bytes;
}

// ---- kinds that a prefix does not tell

static bool is_empty(view bytes) { return bytes.len == 0; }

// ModelProto: ir_version (field 1) is a small number, and one of the fields 2 to 8 or 14 follows.
static bool is_onnx(view bytes)
{
    static const char NEXT[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72};
    enum { NEWEST = 30 };
    return bytes.len > 16 && bytes.data[0] == 0x08 && bytes.data[1] > 0 && bytes.data[1] < NEWEST &&
           memchr(NEXT, bytes.data[2], sizeof NEXT);
}

// A header of `length` bytes of JSON behind its length.
static bool is_safetensors(view bytes)
{
    uint64_t length = 0;
    if (bytes.len < 10 || bytes.data[8] != '{') return false;
    for (int i = 8; i-- > 0;) length = length << 8 | (unsigned char)bytes.data[i];
    return length >= 2 && length < (uint64_t)1 << 32 &&
           (bytes.data[9] == '"' || bytes.data[9] == '}' || bytes.data[9] == ' ');
}

static bool is_zip(view bytes) { return begins(bytes, "PK\3\4"); }
static bool is_pt2(view bytes)
{
    return is_zip(bytes) && (holds(bytes, "archive_format") || holds(bytes, "models/model.json"));
}
static bool is_pt(view bytes) { return is_zip(bytes) && holds(bytes, "data.pkl"); }
static bool is_npz(view bytes) { return is_zip(bytes) && holds(bytes, ".npy"); }

static bool is_pickle(view bytes)
{
    return bytes.len > 2 && (unsigned char)bytes.data[0] == 0x80 && bytes.data[1] >= 2 && bytes.data[1] <= 5;
}

static bool is_tflite(view bytes) { return bytes.len >= 8 && !memcmp(bytes.data + 4, "TFL3", 4); }
static bool is_tar(view bytes) { return bytes.len >= 262 && !memcmp(bytes.data + 257, "ustar", 5); }

// https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: less than 1024 bytes, "version" first, then "oid" and
// "size". Hawser is what git LFS was called first.
static bool is_lfs_pointer(view bytes)
{
    enum { POINTER_BYTES = 1024 };
    return bytes.len < POINTER_BYTES && (begins(bytes, "version https://git-lfs.github.com/spec/") ||
                                         begins(bytes, "version https://hawser.github.com/spec/"));
}

static bool is_page(view bytes)
{
    static const char *const STARTS[] = {"<!doctype html", "<html"};
    view text = skip_space(bytes);
    for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++) {
        size_t n = strlen(STARTS[i]);
        if (text.len >= n && !strncasecmp(text.data, STARTS[i], n)) return true;
    }
    return false;
}

// {"key": as against MLIR's own {-#.
static bool is_json(view bytes)
{
    view text = skip_space(bytes);
    if (!begins(text, "{")) return false;
    text = skip_space((view){text.data + 1, text.len - 1});
    return begins(text, "\"") || begins(text, "}");
}

// The first words of a file that has passed its comments.
static bool is_mlir(view bytes)
{
    static const char *const FIRST[] = {"module", "func.func", "builtin.module", "\"builtin.module\"", "#map", "#loc",
                                        "func",   "{-#",       "ml_program.",    "memref.global",      "#di_", "#tbaa"};
    view text = skip_space(bytes);
    while (begins(text, "//")) {
        const char *end = memchr(text.data, '\n', text.len);
        if (!end) return false;
        text = skip_space((view){end, (size_t)(text.data + text.len - end)});
    }
    for (size_t i = 0; i < sizeof FIRST / sizeof *FIRST; i++)
        if (begins(text, FIRST[i])) return true;
    return false;
}

// ---- all, the closer before the wider

static const struct {
    const char *prefix; // NULL: `is` tells
    bool (*is)(view bytes);
    file_kind kind;
} KINDS[] = {
    {NULL, is_empty, {.what = "an empty file"}},
    {"GGUF", NULL, {.what = "a GGUF file, a model", .hint = "`welford run` takes it", .is_model = true}},
    {"FUGG", NULL, {.what = "a big-endian GGUF file", .is_model = true}},
    {"lmgg", NULL, {.what = "a GGML file, older than GGUF", .hint = CONVERT}},
    {"tjgg", NULL, {.what = "a GGJT file, older than GGUF", .hint = CONVERT}},
    {"WFFILE01",
     NULL,
     {.what = "a compiled model or function (.wf)",
      .hint = "`welford run` or `exec` takes it, and `info` shows which",
      .is_model = true}},
    {"ML\xefR", NULL, {.what = "MLIR bytecode", .hint = "`welford exec` and `opt` take it", .is_graph = true}},
    {"\x93NUMPY",
     NULL,
     {.what = "a NumPy array", .hint = "`welford exec` takes it by -i, as an argument of a function"}},
    {NULL,
     is_lfs_pointer,
     {.what = "a git LFS pointer in place of the file",
      .hint = "run 'git lfs install' and 'git lfs pull' in its folder, or bring the model by 'welford pull OWNER/NAME'",
      .stands_in = true}},
    {NULL, is_pt2, {.what = "a program of torch.export (.pt2)", .hint = LOWER}},
    {NULL, is_pt, {.what = "a PyTorch checkpoint (.pt, .bin)", .hint = CONVERT}},
    {NULL, is_npz, {.what = "a NumPy archive (.npz)", .hint = "`welford exec` takes single arrays (.npy) by -i"}},
    {NULL, is_zip, {.what = "a zip archive"}},
    {NULL, is_pickle, {.what = "a Python pickle, as old PyTorch checkpoints are", .hint = CONVERT}},
    {NULL, is_tflite, {.what = "a TensorFlow Lite file", .hint = LOWER}},
    {"\x89HDF\r\n", NULL, {.what = "an HDF5 file, as of Keras", .hint = LOWER}},
    {"\x1f\x8b", NULL, {.what = "compressed by gzip", .hint = "decompress it first"}},
    {"\x28\xb5\x2f\xfd", NULL, {.what = "compressed by zstd", .hint = "decompress it first"}},
    {"\xfd"
     "7zXZ",
     NULL,
     {.what = "compressed by xz", .hint = "decompress it first"}},
    {"BZh", NULL, {.what = "compressed by bzip2", .hint = "decompress it first"}},
    {NULL, is_tar, {.what = "a tar archive", .hint = "unpack it first"}},
    {"\x7f"
     "ELF",
     NULL,
     {.what = "a program or library (ELF)"}},
    {"BC\xc0\xde", NULL, {.what = "LLVM bitcode", .hint = "it is lowered already: give the MLIR it was made from"}},
    {"; ModuleID", NULL, {.what = "LLVM IR", .hint = "it is lowered already: give the MLIR it was made from"}},
    {NULL,
     is_safetensors,
     {.what = "a safetensors file", .hint = "`welford run` takes the folder that holds it and config.json"}},
    {NULL,
     is_page,
     {.what = "a web page (HTML) in place of the file",
      .hint = "on the Hugging Face hub files are below /resolve/, pages below /blob/",
      .stands_in = true}},
    {NULL, is_onnx, {.what = "an ONNX file", .hint = LOWER}},
    {NULL, is_json, {.what = "a JSON file"}},
    {NULL, is_mlir, {.what = "MLIR text", .hint = "`welford exec` and `opt` take it", .is_graph = true}},
};

const file_kind *file_kind_find(view bytes)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (KINDS[i].prefix ? begins(bytes, KINDS[i].prefix) : KINDS[i].is(bytes)) return &KINDS[i].kind;
    return NULL;
}

wf_status file_kind_map_open(const char *path, file_map *map, wf_error *err)
{
    TRY(file_map_open(path, map, err));
    const file_kind *kind = file_kind_find((view){map->data ? (const char *)map->data : "", map->bytes});
    if (!kind || !kind->stands_in) return WF_OK;
    file_map_close(map);
    return error_set(err, WF_ERROR_FORMAT, "%s: %s: %s", path, kind->what, kind->hint);
}
