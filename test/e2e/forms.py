"""The functions of test/lit/raise whose files hold several forms of an op each, every one as a module of its own."""
import re
from pathlib import Path

LIT = Path(__file__).resolve().parents[1] / "lit" / "raise"
FILES = ["attention_forms", "attention_scores", "attention_spellings", "geglu", "group_norm_forms", "linear_forms",
         "norm_gamma_axis_forms", "norm_twins_forms", "rope_forms", "rope_interleaved", "rows_forms", "swiglu_forms", "welford_forms"]


# Forms that are nearly such an op, and stay as they are.
NEAR = ["not_attention", "not_attention_spellings"]


def forms(files: list[str] = FILES) -> dict[str, str]:
    found = {}
    for name in files:
        for entry, body in re.findall(r"^func\.func @(\w+)(.*?^}\n)", (LIT / f"{name}.mlir").read_text(), re.DOTALL | re.MULTILINE):
            found[f"{name}-{entry}"] = f"func.func @main{body}"
    return found
