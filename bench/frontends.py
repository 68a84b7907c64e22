#!/usr/bin/env python3
"""Exports Hugging Face architectures by torch-mlir, and shows what welford finds in them and whether it computes the same.

    bench/frontends.py [--welford build/welford] [--keep FOLDER] [--dynamic] [ARCHITECTURE ...]

Every architecture is a model of two small layers with random weights, as transformers' own classes build it. It goes
through torch.export and torch-mlir to TOSA, to linalg, and with --dynamic to linalg with a sequence of unknown length;
and, as a backend of torch.compile gets it, through AOTAutograd with the core ATen decompositions to TOSA and to linalg,
weights as arguments. Layers in the spelling of buddy-mlir's frontend (buddy.py) come last. For each file, one row:

    norms, attention, rope, glu      found by `welford opt --passes=raise` / called by the model in PyTorch. Attention and
                                     rope are counted as two layers have them, glu where the MLP is silu(gate) * up, or gelu(gate) * up
    raised, plain                    largest difference of `welford exec`, and of it with --no-raise, from PyTorch's
                                     logits, relative to the largest of them

torch-mlir cannot export every model to both; what it refuses is printed with its reason. Needs torch, transformers and
torch-mlir from PyPI (tried with torch 2.15, transformers 5.23, torch-mlir 20261001) and numpy.
"""

import argparse
import collections
import contextlib
import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from torch._decomp import core_aten_decompositions
from torch._dynamo.backends.common import aot_autograd
from torch_mlir import fx

import buddy

SEQUENCE = 16
SMALL = dict(vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GQA = dict(SMALL, num_key_value_heads=2)
GPT = dict(vocab_size=128, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)
SHORT = dict(GQA, sliding_window=8)
WIDE = dict(GQA, head_dim=16)

# name: (configuration class, its arguments, rotated tensors a layer, gated MLPs a layer)
ARCHITECTURES = {
    "llama": ("LlamaConfig", GQA, 2, 1),
    "qwen2": ("Qwen2Config", GQA, 2, 1),
    "qwen3": ("Qwen3Config", WIDE, 2, 1),
    "mistral": ("MistralConfig", SHORT, 2, 1),
    "smollm3": ("SmolLM3Config", GQA, 2, 1),
    "gemma": ("GemmaConfig", WIDE, 2, 1),
    "gemma2": ("Gemma2Config", dict(WIDE, sliding_window=8), 2, 1),
    "gemma3": ("Gemma3TextConfig", dict(WIDE, sliding_window=8), 2, 1),
    "phi": ("PhiConfig", SMALL, 2, 0),
    "phi3": ("Phi3Config", GQA, 2, 1),
    "granite": ("GraniteConfig", GQA, 2, 1),
    "olmo": ("OlmoConfig", GQA, 2, 1),
    "olmo2": ("Olmo2Config", GQA, 2, 1),
    "glm": ("GlmConfig", WIDE, 2, 1),
    "glm4": ("Glm4Config", WIDE, 2, 1),
    "helium": ("HeliumConfig", WIDE, 2, 1),
    "ernie4.5": ("Ernie4_5Config", GQA, 2, 1),
    "cohere": ("CohereConfig", GQA, 2, 1),
    "cohere2": ("Cohere2Config", SHORT, 2, 1),
    "starcoder2": ("Starcoder2Config", GQA, 2, 0),
    "stablelm": ("StableLmConfig", GQA, 2, 1),
    "nemotron": ("NemotronConfig", GQA, 2, 0),
    "gptneox": ("GPTNeoXConfig", SMALL, 2, 0),
    "gptj": ("GPTJConfig", dict(GPT, rotary_dim=8), 2, 0),
    "gpt2": ("GPT2Config", GPT, 0, 0),
    "falcon": ("FalconConfig", dict(vocab_size=128, hidden_size=64, num_hidden_layers=2, num_attention_heads=4), 2, 0),
    "bloom": ("BloomConfig", dict(vocab_size=128, hidden_size=64, n_layer=2, n_head=4), 0, 0),
}


class Logits(torch.nn.Module):
    """A model as a function of ids [1, sequence]. With mask, no ids are padding: without one, transformers asks by a
    cumulative sum whether sequences are packed, which torch-mlir lowers to a dialect of its own."""

    def __init__(self, model, mask):
        super().__init__()
        self.model, self.mask = model, mask

    def forward(self, ids):
        masks = {"attention_mask": torch.ones_like(ids)} if self.mask else {}
        return self.model(input_ids=ids, use_cache=False, **masks).logits


def build_model(name, mask):
    kind, arguments, _, _ = ARCHITECTURES[name]
    torch.manual_seed(1)
    config = getattr(transformers, kind)(**arguments)
    try:
        model = transformers.AutoModelForCausalLM.from_config(config)
    except ValueError:  # without scaled_dot_product_attention
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():  # gammas and biases that are not all 1 and 0
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    for module in model.modules():  # torch-mlir looks for buffers in the state that is saved
        module._non_persistent_buffers_set.clear()
    return Logits(model.eval(), mask)


def run_counting_norms(model, ids):
    calls = []
    hooks = [module.register_forward_hook(lambda *_: calls.append(1)) for module in model.modules()
             if re.search(r"Norm(1P)?$", type(module).__name__) and not list(module.children())]
    with torch.no_grad():
        logits = model(ids)
    for hook in hooks:
        hook.remove()
    return logits.numpy(), len(calls)


def export(model, ids, output, dynamic):
    shapes = {"ids": {1: torch.export.Dim("sequence", min=2, max=63)}} if dynamic else None
    quiet = io.StringIO()
    with torch.no_grad(), contextlib.redirect_stderr(quiet):
        program = torch.export.export(model, (ids,), dynamic_shapes=shapes)
        return str(fx.export_and_import(program, output_type=output, func_name="main"))


def compile_graph(model, ids, output):
    """What torch.compile hands to a backend: its graph, and its arguments, weights among them."""
    kept = {}

    def keep_graph(graph, _):
        kept["graph"] = graph

        def run(*arguments):
            kept["arguments"] = [a.detach().numpy() for a in arguments]
            return graph(*arguments)
        return run

    torch._dynamo.reset()
    backend = aot_autograd(fw_compiler=keep_graph, decompositions=core_aten_decompositions())
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        torch.compile(model, backend=backend, fullgraph=True)(ids)
        text = str(fx.stateless_fx_import(kept["graph"], output_type=output, model_name="main"))
    return text, kept["arguments"]


class Welford:
    def __init__(self, binary, path, folder):
        self.binary, self.path, self.folder = binary, path, folder

    def run(self, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True)
        return done.stdout, done.stderr.strip() if done.returncode else ""

    def raised(self):
        text, failure = self.run("opt", self.path, "--passes=raise")
        return failure, collections.Counter(re.findall(r'"wf\.(\w+)"\(', text))

    def difference(self, arguments, wanted, *switches):
        inputs = []
        for i, argument in enumerate(arguments):
            inputs += ["-i", self.folder / f"argument{i}.npy"]
            numpy.save(inputs[-1], argument)
        _, failure = self.run("exec", self.path, *inputs, "-o", self.folder / "y.npy", *switches)
        if failure:
            return failure
        return f"{numpy.abs(numpy.load(self.folder / 'y.npy') - wanted).max() / numpy.abs(wanted).max():.0e}"


def cells(welford, arguments, wanted, **expected):
    failure, found = welford.raised()
    if failure:
        return [failure]
    found["norm"] = sum(found[norm] for norm in ("rms_norm", "layer_norm", "residual_norm"))
    return [*(f"{found[kind]} / {n}" for kind, n in expected.items()), welford.difference(arguments, wanted),
            welford.difference(arguments, wanted, "--no-raise")]


def buddy_row(options, name, folder):
    text, arguments, wanted, expected = buddy.build(buddy.LAYERS[name])
    path = folder / f"buddy-{name}.mlir"
    path.write_text(text)
    del expected["linear"]
    return cells(Welford(options.welford, path, folder), arguments, wanted, **expected)


def row(options, name, form, output, dynamic, folder):
    model = build_model(name, mask=output != "tosa")
    ids = torch.arange(3, 3 + SEQUENCE).reshape(1, SEQUENCE)
    wanted, n_norms = run_counting_norms(model, ids)
    arguments = [ids.numpy()]
    try:
        if form.startswith("compile"):
            text, arguments = compile_graph(model, ids, output)
        else:
            text = export(model, ids, output, dynamic)
    except Exception as reason:  # of many classes
        return [f"torch-mlir: {str(reason).strip().splitlines()[0]}"]
    path = folder / f"{name}.{form}.mlir"
    path.write_text(text)
    welford = Welford(options.welford, path, folder)
    _, _, ropes, gates = ARCHITECTURES[name]
    return cells(welford, arguments, wanted, norm=n_norms, attention=2, rope=2 * ropes, glu=2 * gates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--welford", type=Path, default=Path(__file__).resolve().parent.parent / "build" / "welford")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the .mlir files shall stay")
    parser.add_argument("--dynamic", action="store_true")
    parser.add_argument("architectures", nargs="*", default=list(ARCHITECTURES))
    options = parser.parse_args()
    for name in options.architectures:
        if name not in ARCHITECTURES:
            sys.exit(f"no architecture {name!r}: there are {', '.join(ARCHITECTURES)}")
    transformers.logging.set_verbosity_error()
    forms = [("tosa", "tosa", False), ("linalg", "linalg-on-tensors", False), ("compile-tosa", "tosa", False),
             ("compile-linalg", "linalg-on-tensors", False)]
    if options.dynamic:
        forms.append(("linalg-dynamic", "linalg-on-tensors", True))
    head = ["architecture", "form", "norms", "attention", "rope", "glu", "raised", "plain"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.architectures:
            for form, output, dynamic in forms:
                found = row(options, name, form, output, dynamic, folder)
                print("| " + " | ".join([name, form, *found]) + " |", flush=True)
        for name in buddy.LAYERS if options.architectures == list(ARCHITECTURES) else []:
            print("| " + " | ".join([name, "buddy", *buddy_row(options, name, folder)]) + " |", flush=True)


if __name__ == "__main__":
    main()
