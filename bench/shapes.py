"""Transformers of known shapes with random weights, written once as graphs: what bench/exec.py times as whole models.

    bench/shapes.py FOLDER [NAME ...]

For each NAME in SHAPES it makes FOLDER/NAME: graph.mlir (linalg, by torch-mlir), graph.onnx (by torch.onnx), in0.npy
and out.npy (PyTorch's result). What is there already stays. Weights come from a seed, so that every folder is the same.
Needs torch, transformers, torch-mlir, onnx, onnxscript and numpy.
"""

import contextlib
import io
import sys
from pathlib import Path

SEED = 1


class Shape:
    """kind of Transformers' model, its configuration and the shape of its only argument: token ids, or an image."""

    def __init__(self, kind, argument, causal=False, **configuration):
        self.kind, self.argument, self.causal, self.configuration = kind, argument, causal, configuration


SHAPES = {
    "gpt2": Shape("GPT2", (1, 128), causal=True, n_layer=6),
    "minilm": Shape("Bert", (1, 128), num_hidden_layers=6, hidden_size=384, num_attention_heads=12,
                    intermediate_size=1536),
    "bert": Shape("Bert", (1, 128), num_hidden_layers=6, hidden_size=768, num_attention_heads=12,
                  intermediate_size=3072),
    "qwen2": Shape("Qwen2", (1, 128), causal=True, num_hidden_layers=4, hidden_size=896, intermediate_size=4864,
                   num_attention_heads=14, num_key_value_heads=2, vocab_size=32000, rope_theta=1e6),
    "vit": Shape("ViT", (1, 3, 224, 224), num_hidden_layers=6),
}


def make_model(shape):
    import torch
    import transformers

    class First(torch.nn.Module):
        """Only the hidden states of the last layer. A causal model is given its mask, as [1, 1, n, n] booleans:
        Transformers would derive it by a cumulative sum, for which torch-mlir has an op of its own."""

        def __init__(self, model):
            super().__init__()
            self.model = model
            if shape.causal:
                n = shape.argument[1]
                self.register_buffer("causal", torch.ones(1, 1, n, n, dtype=torch.bool).tril())

        def forward(self, x):
            mask = {"attention_mask": self.causal} if shape.causal else {}
            return self.model(x, **mask).last_hidden_state

    torch.manual_seed(SEED)
    config = getattr(transformers, shape.kind + "Config")(**shape.configuration)
    config.use_cache = False
    model = getattr(transformers, shape.kind + "Model")(config).eval()
    for parameter in model.parameters():  # gammas and biases that are not all 1 and 0
        parameter.requires_grad = False
        if parameter.dim() == 1:
            parameter += 0.1 * torch.randn_like(parameter)
    for module in model.modules():  # torch-mlir looks for buffers in the state that is saved
        module._non_persistent_buffers_set.clear()
    generator = torch.Generator().manual_seed(SEED)
    if len(shape.argument) == 4:
        x = torch.randn(shape.argument, generator=generator)
    else:
        x = torch.randint(0, config.vocab_size, shape.argument, generator=generator)
    return First(model), x


def write(folder, shape):
    import numpy
    import torch
    from torch_mlir import fx

    model, x = make_model(shape)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        numpy.save(folder / "in0.npy", x.numpy())
        numpy.save(folder / "out.npy", model(x).numpy())
        torch.onnx.export(model, (x,), folder / "graph.onnx", dynamo=True, external_data=False)
        program = torch.export.export(model, (x,))
        text = str(fx.export_and_import(program, output_type="linalg-on-tensors", func_name="main"))
    (folder / "graph.mlir").write_text(text)  # last: it is what says that the folder is complete


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    unknown = [name for name in sys.argv[2:] if name not in SHAPES]
    if unknown:
        sys.exit(f"no shape {unknown[0]}: {', '.join(SHAPES)}")
    for name in sys.argv[2:] or SHAPES:
        folder = Path(sys.argv[1]) / name
        if not (folder / "graph.mlir").exists():
            write(folder, SHAPES[name])
        print(folder, flush=True)


if __name__ == "__main__":
    main()
