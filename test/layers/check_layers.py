"""Checks which file includes which: a file may include only from its own or a lower layer of src/.

Beside that, only src/compiler may include MLIR's and LLVM's C API, and the public header only C's own headers.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# From low to high.
LAYERS = ["base", "format", "runtime", "compiler", "text", "session", "hub", "tool"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def problems(layer: str, text: str) -> list[str]:
    """What is wrong with the includes of a source `text` in `layer`."""
    found = []
    for quote, header in INCLUDE.findall(text):
        if header.startswith(("mlir-c/", "llvm-c/")):
            if layer != "compiler":
                found.append(f"includes {header}, which only src/compiler may")
        elif quote == '"' and header != "welford.h":
            target = header.split("/")[0]
            if "/" not in header or target not in LAYERS:
                found.append(f'includes "{header}": not a path from src/, such as "base/status.h"')
            elif LAYERS.index(target) > LAYERS.index(layer):
                found.append(f"includes {header}: {target} lies above {layer}")
            elif target == "compiler" and layer != "compiler":
                found.append(f"includes {header}: the compiler is a library that is opened at run time")
    return found


def self_test() -> None:
    """The check itself must see what it is for."""
    assert not problems("format", '#include "base/status.h"\n#include <stdio.h>\n')
    assert problems("base", '#include "format/gguf.h"\n')
    assert problems("text", '  #  include "session/chat.h"\n')
    assert problems("session", '#include "compiler/compile.h"\n')
    assert problems("runtime", "#include <llvm-c/Core.h>\n")
    assert not problems("compiler", "#include <llvm-c/Core.h>\n#include \"runtime/plan.h\"\n")
    assert problems("tool", '#include "run.h"\n')


def main() -> int:
    self_test()
    n_files, n_problems = 0, 0
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        layer = path.relative_to(ROOT / "src").parts[0]
        n_files += 1
        found = problems(layer, path.read_text()) if layer in LAYERS else ["lies in no layer of src/"]
        for problem in found:
            print(f"{path.relative_to(ROOT)}: {problem}")
        n_problems += len(found)
    for quote, header in INCLUDE.findall((ROOT / "include/welford.h").read_text()):
        if quote == '"' or "/" in header:
            print(f"include/welford.h: includes {header}; it may need nothing but C's own headers")
            n_problems += 1
    print(f"{n_files} files, {n_problems} problems")
    return 1 if n_problems or not n_files else 0


if __name__ == "__main__":
    sys.exit(main())
