"""Checks which file includes which: a file may include only from its own or a lower layer of src/, and inside a layer
only from its own or a lower room.

Beside that, only src/compiler may include MLIR's and LLVM's C API, and the public header only C's own headers.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# From low to high.
LAYERS = ["base", "format", "runtime", "compiler", "text", "session", "hub", "tool"]

# The rooms inside a layer, from low to high; what lies in the layer's own folder is above them.
ROOMS = {
    "runtime": ["cache", "weight", "program", "pack"],
    "compiler": ["mlir", "dialect", "codegen", "kernel", "nest", "frontend", "lower", "raise", "fuse"],
    "text": ["unicode", "regex", "tokenizer", "jinja"],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def height(path: str) -> int:
    """How high the room of "layer/room/file" lies in its layer."""
    layer, *folders, _ = path.split("/")
    rooms = ROOMS.get(layer, [])
    return rooms.index(folders[0]) if folders and folders[0] in rooms else len(rooms)


def is_test(path: str) -> bool:
    """Tests may look anywhere in their layer."""
    return path.endswith(("_test.c", "_bench.c", "_fuzz.c")) or path.split("/")[-1].startswith("test_")


def problems(path: str, text: str) -> list[str]:
    """What is wrong with the includes of a source `text` at src/`path`."""
    layer = path.split("/")[0]
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
            elif target == layer and height(header) > height(path) and not is_test(path):
                found.append(f"includes {header}, from a room above its own")
    return found


def self_test() -> None:
    """The check itself must see what it is for."""
    assert not problems("format/x.c", '#include "base/status.h"\n#include <stdio.h>\n')
    assert problems("base/x.c", '#include "format/gguf.h"\n')
    assert problems("text/x.c", '  #  include "session/chat.h"\n')
    assert problems("session/x.c", '#include "compiler/compile.h"\n')
    assert problems("runtime/x.c", "#include <llvm-c/Core.h>\n")
    assert not problems("compiler/x.c", "#include <llvm-c/Core.h>\n#include \"runtime/compiled_model.h\"\n")
    assert problems("compiler/dialect/x.c", '#include "compiler/fuse/pass.h"\n')
    assert problems("runtime/pack/x.c", '#include "runtime/compiled_model.h"\n')
    assert not problems("runtime/pack/x_test.c", '#include "runtime/compiled_model.h"\n')
    assert not problems("compiler/fuse/x.c", '#include "compiler/dialect/definition/definition.h"\n')
    assert problems("tool/x.c", '#include "run.h"\n')


def main() -> int:
    self_test()
    n_files, n_problems = 0, 0
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        inside = path.relative_to(ROOT / "src")
        n_files += 1
        found = problems(str(inside), path.read_text()) if inside.parts[0] in LAYERS else ["lies in no layer of src/"]
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
