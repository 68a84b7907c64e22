"""The functions of test/lit/raise whose files hold several forms of an op each, every one as a module of its own."""
import re
from pathlib import Path

LIT = Path(__file__).resolve().parents[1] / "lit" / "raise"
FILES = ["attention_forms", "attention_scores", "attention_spellings", "geglu", "linear_forms", "rope_forms", "rope_interleaved"]


def forms() -> dict[str, str]:
    found = {}
    for name in FILES:
        for entry, body in re.findall(r"^func\.func @(\w+)(.*?^}\n)", (LIT / f"{name}.mlir").read_text(), re.DOTALL | re.MULTILINE):
            found[f"{name}-{entry}"] = f"func.func @main{body}"
    return found
