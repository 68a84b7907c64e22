"""Hugging Face folders: the same weights as GGUF give the same logits; what is not understood is refused by name."""
import json
import shutil

import numpy as np
import pytest

import tiny_checkpoint
from tiny_gguf import BF16, CHATML, F16, F32, I32, Q8_0, U16, Gguf, tiny_llama, tiny_vocabulary
from tiny_hf import byte_level_json, hf_tensors, write_hf, write_json, write_tensors

TEXTS = ["h", "hello the cat", "the cat is in the world of 1234 words, and on it goes: " * 4]


def tiny(architecture, **options):
    model = tiny_llama(seed=3, architecture=architecture, biases=architecture == "qwen2", **options)
    model.tensors = [t for t in model.tensors if "attn_output.bias" not in t.name]
    return model


@pytest.fixture
def logits(welford, tmp_path):
    def compute(model, text, *args):
        path = tmp_path / "logits.npy"
        welford.run("logits", model, "--raw", "--kv", "f32", "-p", text, "-o", path, *args).ok()
        return np.load(path).ravel()
    return compute


@pytest.fixture
def folder(tmp_path):
    """A sound folder with a chat template, to be damaged."""
    return write_hf(tiny("llama"), tmp_path / "model", chat_template=CHATML)


def edit(folder, file, **fields):
    data = json.loads((folder / file).read_text())
    write_json(folder / file, data | fields)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("type", [F32, F16, BF16])
def test_same_logits_as_gguf(logits, tmp_path, architecture, type):
    model = tiny(architecture, default_type=type, tied=type == F16)
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(model.encode())
    folder = write_hf(model, tmp_path / "model", shards=3 if type == BF16 else 1)
    for text in TEXTS:
        expected = logits(gguf, text)
        assert np.abs(expected).max() > 0.5
        assert np.abs(logits(folder, text) - expected).max() < 1e-4
        assert np.abs(logits(folder, text, "-b", 7) - expected).max() < 1e-4


@pytest.mark.parametrize("name", tiny_checkpoint.NAMES)
def test_equals_transformers(welford, tmp_path, name):
    """Real checkpoints of every architecture, as Hugging Face Transformers saved them, and the logits that it gives."""
    folder = tmp_path / name
    shutil.copytree(tiny_checkpoint.folder(name), folder)
    write_json(folder / "tokenizer.json", byte_level_json(*tiny_vocabulary()))
    reference = np.load(folder / "reference.npz")
    for n, expected in zip(reference["lengths"], reference["logits"]):
        for args in ([], ["-b", 7]):
            path = tmp_path / "logits.npy"
            ids = " ".join(map(str, reference["tokens"][:n]))
            welford.run("logits", folder, "--ids", "-p", ids, "--kv", "f32", "--top", 0, "-o", path, *args).ok()
            assert np.abs(np.load(path) - expected).max() < 1e-4, (n, args)


def test_weights_quantised_on_the_fly(logits, welford, tmp_path):
    """--weights q8_0 packs what a GGUF file in Q8_0 holds: the same rounding, so the same logits."""
    options = dict(seed=3, architecture="llama")
    folder = write_hf(tiny_llama(**options), tmp_path / "model")
    gguf = tmp_path / "q8.gguf"
    gguf.write_bytes(tiny_llama(default_type=Q8_0, **options).encode())
    for text in TEXTS:
        assert np.abs(logits(folder, text, "--weights", "q8_0") - logits(gguf, text)).max() < 1e-4


def test_weights_option(logits, welford, folder):
    exact = logits(folder, TEXTS[1])
    errors = [np.abs(logits(folder, TEXTS[1], "--weights", type) - exact).max() for type in ("f32", "bf16", "q8_0", "q4_0")]
    assert errors[0] == 0 and 0 < errors[1] < errors[2] < errors[3]
    assert "q7" in welford.run("run", folder, "-p", "x", "--weights", "q7").failed(2).stderr


def test_reads_what_the_folder_says(welford, tmp_path):
    folder = write_hf(tiny("llama"), tmp_path / "model", chat_template="{{ messages }}",
                      generation={"temperature": 0.6, "top_p": 0.95, "top_k": 7, "eos_token_id": [2, 0]})
    (folder / "chat_template.jinja").write_text(CHATML)
    info = json.loads(welford.run("info", "--json", "--tensors", folder).ok().stdout)
    meta = info["metadata"]
    assert meta["general.sampling.temp"] == 0.6 and meta["general.sampling.top_k"] == 7
    assert meta["tokenizer.json.eos_token_ids"]["first"] == [2, 0]
    assert meta["tokenizer.chat_template"] == CHATML # the file goes before tokenizer_config.json
    assert meta["tokenizer.ggml.bos_token_id"] == 1 and meta["tokenizer.ggml.eos_token_id"] == 2
    assert {t["name"] for t in info["tensors"]} == {t.name for t in tiny("llama").tensors}
    assert welford.run("run", folder, "-p", "hello", "-n", 2, "--temp", 0).ok().stderr == ""


def test_tied_head(logits, tmp_path):
    """An lm_head that config.json does not want is not used; a missing one that it wants is an error."""
    tied = tiny("llama", tied=True)
    folder = write_hf(tied, tmp_path / "tied")
    expected = logits(folder, TEXTS[1])
    tensors = hf_tensors(tied)
    tensors["lm_head.weight"] = ("F32", (300, 64), np.ones((300, 64), np.float32).tobytes())
    write_tensors(folder, tensors)
    assert (logits(folder, TEXTS[1]) == expected).all()


@pytest.mark.parametrize("fields, reason", [
    (dict(architectures=["MambaForCausalLM"]), "MambaForCausalLM"),
    (dict(architectures=[]), "architectures"),
    (dict(attention_bias=True), "self_attn.q_proj.bias"),
    (dict(mlp_bias=True), "mlp.gate_proj.bias"),
    (dict(architectures=["MistralForCausalLM"], attention_bias=True), "attention_bias"),
    (dict(hidden_act="gelu"), "gelu"),
    (dict(quantization_config={"bits": 4}), "quantization_config"),
    (dict(brand_new_scaling=0.5), "brand_new_scaling"),
    (dict(partial_rotary_factor=0.5), "partial_rotary_factor"),
    (dict(rope_scaling={"rope_type": "longrope", "factor": 2.0}), "longrope"),
    (dict(rope_scaling={"rope_type": "linear"}), "factor"),
    (dict(rope_scaling={"rope_type": "yarn", "factor": 2.0, "low_freq_factor": 1.0}), "low_freq_factor"),
    (dict(rope_scaling={"rope_type": "yarn", "factor": 2.0, "extrapolation_factor": 0.5}), "extrapolation_factor"),
    (dict(rope_scaling={"rope_type": "yarn", "mscale": 1.0}), "factor"),
    (dict(rope_scaling={"type": "dynamic", "factor": 2.0}), "dynamic"),
    (dict(rope_scaling={"type": "su", "factor": 2.0}), "su"),
    (dict(pruned_heads={"0": [1]}), "pruned_heads"),
    (dict(is_encoder_decoder=True), "is_encoder_decoder"),
    (dict(is_causal=False), "is_causal"),
    (dict(num_experts=8), "num_experts"),
    (dict(logit_scale=0.5), "logit_scale"),
    (dict(attention_multiplier=1), "attention_multiplier"),
    (dict(unknown_size=10**40), "1" + "0" * 40),
    (dict(hidden_size=10**40), "hidden_size"),
    (dict(sliding_window=64), "sliding_window"),
    (dict(vocab_size=301), "301"),
    (dict(tie_word_embeddings="yes"), "tie_word_embeddings"),
    (dict(num_hidden_layers=1), "model.layers.1"),
    (dict(num_hidden_layers=3), "blk.2"),
    (dict(hidden_size=None), "hidden_size"),
])
def test_refuses_config(welford, folder, fields, reason):
    edit(folder, "config.json", **fields)
    assert reason in welford.run("run", folder, "-p", "x", "-n", 1).failed(1).stderr


def test_harmless_config(logits, folder):
    expected = logits(folder, TEXTS[1])
    edit(folder, "config.json", use_cache=True, some_flag=False, other=None, transformers_version="9", pretraining_tp=1)
    assert (logits(folder, TEXTS[1]) == expected).all()
    edit(folder, "config.json", max_length=4096, max_sequence_length=2048, do_sample=True, num_beams=1, is_decoder=True,
         auto_map={"AutoConfig": "configuration_x.C"}, pad_token="<pad>", pad_token_id=-1, temperature=0.7, prefix="hi",
         problem_type="regression", attn_pdrop=0.1, bad_words_ids=[[1]], pruned_heads={}, num_experts=0, logit_scale=1.0,
         quantization_config=None, is_causal=True, attn_logit_softcapping=0, model_max_length=int(1e30))
    assert (logits(folder, TEXTS[1]) == expected).all()
    edit(folder, "config.json", rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    assert (logits(folder, TEXTS[1]) == expected).all()


@pytest.mark.parametrize("part, value, reason", [
    ("normalizer", {"type": "Lowercase"}, "Lowercase"),
    ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKD"}]}, "NFKD"),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}, "regular expression"),
    ("pre_tokenizer", {"type": "UnicodeScripts"}, "UnicodeScripts"),
    ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": True}]},
     "add_prefix_space"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "\\p{Alphabetic}"}, "behavior": "Isolated", "invert": False}, "property"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated", "invert": False}, "escape"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"String": " "}, "behavior": "Sideways", "invert": False}, "Sideways"),
    ("post_processor", {"type": "BertProcessing"}, "BertProcessing"),
    ("decoder", {"type": "WordPiece"}, "WordPiece"),
    ("model", {"type": "Unigram", "vocab": []}, "Unigram"),
    ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": [], "continuing_subword_prefix": "##"}, "##"),
    ("model", {"type": "BPE", "vocab": {"a": -1}, "merges": []}, "no id"),
    ("model", {"type": "BPE", "vocab": {"a": 5, "b": 5}, "merges": []}, "same id"),
    ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}, "pair"),
    ("model", {"type": "WordPiece", "vocab": {}}, "WordPiece"),
])
def test_refuses_tokenizer(welford, folder, part, value, reason):
    edit(folder, "tokenizer.json", **{part: value})
    result = welford.run("tokenize", folder, "-p", "hello").failed(1)
    assert reason in result.stderr


def test_refuses_special_tokens_that_other_text_becomes(welford, folder):
    edit(folder, "tokenizer.json", normalizer={"type": "NFC"},
         added_tokens=[{"id": 3, "content": "\u212b", "special": True, "normalized": True}])
    assert "normalized of" in welford.run("tokenize", folder, "-p", "hello").failed(1).stderr


def test_refuses_tensors(welford, folder):
    tensors = hf_tensors(tiny("llama"))
    for name, tensor, reason in (("model.layers.0.extra.weight", ("F32", (4,), bytes(16)), "extra"),
                                 ("model.norm.weight", ("F64", (64,), bytes(512)), "F64"),
                                 ("model.norm.weight", ("F32", (), bytes(4)), "model.norm"),
                                 ("model.norm.weight", ("F32", (32,), bytes(128)), "output_norm")):
        write_tensors(folder, tensors | {name: tensor})
        assert reason in welford.run("run", folder, "-p", "x", "-n", 1).failed(1).stderr


def test_refuses_index(welford, tmp_path):
    folder = write_hf(tiny("llama"), tmp_path / "model", shards=3)
    path = folder / "model.safetensors.index.json"
    sound = json.loads(path.read_text())
    names = list(sound["weight_map"])
    for change in ({names[0]: "../secret"}, {names[0]: "model-00009-of-00003.safetensors"}, {"model.new": sound["weight_map"][names[0]]},
                   {names[0]: sound["weight_map"][names[-1]]}, {names[0]: 7}):
        write_json(path, {"weight_map": sound["weight_map"] | change})
        welford.run("info", folder).failed(1)
    write_json(path, {"weight_map": {}})
    welford.run("info", folder).failed(1)


def test_missing_files(welford, folder):
    for file, reason in (("model.safetensors", "model.safetensors"), ("config.json", "config.json")):
        data = (folder / file).read_bytes()
        (folder / file).unlink()
        assert reason in welford.run("info", folder).failed(1).stderr
        (folder / file).write_bytes(data)
    (folder / "tokenizer.json").unlink()
    welford.run("info", folder).ok()
    assert "tokenizer.json" in welford.run("run", folder, "-p", "x", "-n", 1).failed(1).stderr


@pytest.mark.parametrize("pad, shown", [("<|im_end|>", "<|im_end|>"), ({"content": "<|endoftext|>"}, "<|endoftext|>"), ("<none>", ""), (5, ""), (None, "")])
def test_padding_token(welford, folder, pad, shown):
    """Templates see it; nothing else needs it, so that no model is refused for it."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"pad_token": pad, "chat_template": "[{{ pad_token }}]"}
    path.write_text(json.dumps(settings))
    assert welford.run("template", folder, input="[]").ok().stdout == f"[{shown}]"


@pytest.mark.parametrize("ids, expected", [([2, -1], [2]), ([2**40, 0], [0]), (10**30, None), (-1, None), ("", None),
                                           (None, None), (299, [299]), (4294967295, None)])
def test_end_tokens_that_mean_none(welford, folder, ids, expected):
    """A name or an id that is no token is none, unless it is spelled wrong."""
    edit(folder, "config.json", eos_token_id=ids)
    edit(folder, "tokenizer_config.json", eos_token="", bos_token="")
    meta = json.loads(welford.run("info", "--json", folder).ok().stdout)["metadata"]
    assert meta.get("tokenizer.json.eos_token_ids", {"first": None})["first"] == expected
    welford.run("run", folder, "-p", "hello", "-n", 2, "--temp", 0).ok()
    edit(folder, "config.json", eos_token_id="</s>")
    assert "eos_token_id" in welford.run("info", folder).failed().stderr


@pytest.mark.parametrize("fields", [dict(top_k=-1), dict(top_k=None, top_p=None), dict(top_k=0, max_length=10**30),
                                    dict(unheard_of={"a": float("inf")}, bad_words_ids=[[10**30]])])
def test_generation_defaults_that_mean_none(welford, folder, fields):
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.5} | fields))
    welford.run("run", folder, "-p", "hello", "-n", 2).ok()


def test_json_as_python_writes_it(welford, folder):
    """Numbers of any size, NaN, a byte order mark, a name twice."""
    expected = welford.run("tokenize", "--ids", "-p", "hello", folder).ok().stdout
    for file in ("tokenizer_config.json", "tokenizer.json", "config.json"):
        text = (folder / file).read_text()
        extra = '"chunk_size_feed_forward": -1, "model_max_length": 1000000000000000019884624838656, "top_p": NaN, "top_k": 1e999, '
        (folder / file).write_text("\ufeff{" + '"transformers_version": 1, ' + extra + '"transformers_version": null, ' + text.lstrip()[1:])
        assert welford.run("tokenize", "--ids", "-p", "hello", folder).ok().stdout == expected
        welford.run("info", folder).ok()


def test_templates_print_the_digits_they_got(welford, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0].n }} {{ tools | tojson }} {{ more }} {{ -1 if messages[0].n > 5 else 1 }}")
    conversation = '{"messages": [{"role": "user", "n": 123456789012345678901234567890}], "tools": [{"maximum": 1e400, "n": [18446744073709551616, -Infinity]}]}'
    result = welford.run("template", template, "--context", '{"more": -9999999999999999999999}', input=conversation).ok()
    assert result.stdout == ('123456789012345678901234567890 [{"maximum": Infinity, "n": [18446744073709551616, -Infinity]}] '
                             "-9999999999999999999999 -1")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                                  "chat_template.jinja", "model.safetensors.index.json", "model.gguf"])
def test_files_that_stand_for_others(welford, folder, file):
    """What git leaves without git-lfs, and a page of the hub saved as the file."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 98765432\n"
    if "index" in file: (folder / "model.safetensors").unlink()
    model = folder / file if "gguf" in file else folder
    for text, reason in ((pointer, "git lfs pull"), (pointer.replace("\n", "\r\n"), "git lfs pull"),
                         ("<!DOCTYPE html>\n<html>", "/resolve/")):
        (folder / file).write_bytes(text.encode())
        error = welford.run("run", model, "-p", "x", "-n", 1).failed().stderr
        assert reason in error and file in error
    (folder / file).write_text(pointer)
    assert "git lfs pull" in welford.run("template", folder / file, input="[]").failed().stderr


# ---- split GGUF files

def split(model: Gguf, folder, parts: int):
    """As llama.cpp's gguf-split writes it."""
    paths, n = [], len(model.tensors)
    for i in range(parts):
        part = Gguf(values=list(model.values) if i == 0 else [], tensors=model.tensors[i * n // parts:(i + 1) * n // parts])
        part.set("split.no", U16, i)
        part.set("split.count", U16, parts)
        part.set("split.tensors.count", I32, n)
        paths.append(folder / f"tiny-{i + 1:05}-of-{parts:05}.gguf")
        paths[-1].write_bytes(part.encode())
    return paths


def test_split_gguf(logits, welford, tmp_path):
    model = tiny("llama")
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(model.encode())
    paths = split(model, tmp_path, 3)
    for path in paths:
        assert (logits(path, TEXTS[1]) == logits(whole, TEXTS[1])).all()
    assert json.loads(welford.run("info", "--json", paths[0]).ok().stdout)["parameters"] == \
        json.loads(welford.run("info", "--json", whole).ok().stdout)["parameters"]
    data = paths[1].read_bytes()
    paths[1].write_bytes(paths[2].read_bytes())
    assert "split.no" in welford.run("info", paths[0]).failed(1).stderr
    paths[1].write_bytes(data[:200])
    welford.run("info", paths[0]).failed(1)
    paths[1].unlink()
    assert paths[1].name in welford.run("info", paths[0]).failed(1).stderr
