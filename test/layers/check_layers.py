"""Checks which file includes which: a file may include only from its own or a lower layer of src/, and inside a layer
only from its own or a lower room.

Tools and the server stand on the public header: of the rooms below it they may include base/, and tools what
BELOW_THE_HEADER lists with a reason. Beside that, only src/compiler may include MLIR's and LLVM's C API, and the public header only C's own headers.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# From low to high.
LAYERS = ["base", "format", "runtime", "compiler", "text", "engine", "hub", "server", "tool"]

# The rooms inside a layer, from low to high; what lies in the layer's own folder is above them.
ROOMS = {
    "runtime": ["cache", "weight", "program", "pack"],
    "compiler": ["mlir", "dialect", "codegen", "kernel", "nest", "frontend", "lower", "raise", "fuse"],
    "text": ["unicode", "regex", "tokenizer", "jinja"],
}

# What files of tool/ include besides welford.h, base/ and tool/, and what for.
BELOW_THE_HEADER = {
    # debugging prints and measurements, which look inside
    "bench.h": ("engine/model.h engine/session.h", "sessions on thread pools of their own"),
    "info.c": ("format/checkpoint_open.h engine/model.h", "what a file holds, also one that cannot be run"),
    "info_bundle.c": ("runtime/program/executable.h", "the programs of a .wf file"),
    "info_bundle.h": ("format/bundle.h", "the programs of a .wf file"),
    "info_json.c": ("engine/model.h", "what a file holds"),
    "info_summary.h": ("format/bundle.h format/checkpoint.h", "what a file holds"),
    "info_value.h": ("format/metadata.h", "what a file holds"),
    "opt.c": ("runtime/compiler.h", "graphs through passes"),
    "profile.c": ("runtime/weight/weight_type.h", "the time of each kernel"),
    "profile.h": ("runtime/compiler.h runtime/execute.h", "the time of each kernel, and ceilings"),
    "template.c": ("format/bundle.h format/checkpoint_open.h format/file_kind.h format/json_read.h text/chat.h "
                   "text/jinja/jinja.h", "templates without a model"),
    "token_ids.h": ("text/tokenizer/token_list.h", "tokens without a model"),
    "tokenize.c": ("format/checkpoint_open.h text/tokenizer/tokenizer.h", "tokens of a file that is not whole"),
    "tool.h": ("text/tokenizer/tokenizer.h", "warnings of a tokenizer without a model"),
    "trace.c": ("format/json_read.h engine/api_function.h engine/api_session.h engine/model.h text/unicode/utf8.h",
                "what each thread did"),
    "trace.h": ("runtime/compiled_model.h runtime/execute.h", "what each thread did"),
    # the user's files and folders
    "cache.c": ("hub/hub.h runtime/cache/cache_list.h", "the cache folders"),
    "exec.c": ("format/npy.h", "arrays in files"),
    "list.c": ("hub/hub.h runtime/cache/cache_folder.h", "the cache folders"),
    "model_options.c": ("runtime/weight/weight_type.h text/unicode/utf8.h", "names of types, and JSON"),
    "model_path.c": ("hub/hub.h", "models by name"),
    "serve.c": ("hub/hub.h runtime/library.h server/server.h", "models by name, and the server, a library of its own"),
    "rm.c": ("hub/hub.h", "models by name"),
    "run.c": ("runtime/cache/cache_folder.h", "where the cache is, for a warning"),
    # what the header has no function for yet
    "compile.c": ("format/file_kind.h runtime/bundle_make.h engine/model.h", "making .wf files"),
    "logits.c": ("format/npy.h engine/generate.h engine/model.h engine/session.h", "texts of single tokens"),
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


def tool_may_include(path: str, header: str) -> bool:
    file = path.removeprefix("tool/")
    return header.startswith(("base/", "tool/")) or header in BELOW_THE_HEADER.get(file, ("", ""))[0].split()


def unused_exceptions(root: Path) -> list[str]:
    """What BELOW_THE_HEADER allows and nobody includes."""
    found = []
    for file, (headers, _) in BELOW_THE_HEADER.items():
        path = root / "src/tool" / file
        included = {header for _, header in INCLUDE.findall(path.read_text())} if path.exists() else set()
        found += [f"src/tool/{file}: BELOW_THE_HEADER lists {header}, which it does not include"
                  for header in headers.split() if header not in included]
    return found


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
            elif layer == "server" and not is_test(path) and target not in ("base", "server"):
                found.append(f"includes {header}: the server uses include/welford.h")
            elif layer == "tool" and not is_test(path) and not tool_may_include(path, header):
                found.append(f"includes {header}: tools use include/welford.h, or give a reason in {Path(__file__).name}")
            elif target == layer and height(header) > height(path) and not is_test(path):
                found.append(f"includes {header}, from a room above its own")
    return found


def self_test() -> None:
    """The check itself must see what it is for."""
    assert not problems("format/x.c", '#include "base/status.h"\n#include <stdio.h>\n')
    assert problems("base/x.c", '#include "format/gguf.h"\n')
    assert problems("text/x.c", '  #  include "engine/chat.h"\n')
    assert problems("engine/x.c", '#include "compiler/compile.h"\n')
    assert problems("runtime/x.c", "#include <llvm-c/Core.h>\n")
    assert not problems("compiler/x.c", "#include <llvm-c/Core.h>\n#include \"runtime/compiled_model.h\"\n")
    assert problems("compiler/dialect/x.c", '#include "compiler/fuse/pass.h"\n')
    assert problems("runtime/pack/x.c", '#include "runtime/compiled_model.h"\n')
    assert not problems("runtime/pack/x_test.c", '#include "runtime/compiled_model.h"\n')
    assert not problems("compiler/fuse/x.c", '#include "compiler/dialect/definition/definition.h"\n')
    assert problems("tool/x.c", '#include "run.h"\n')
    assert problems("tool/x.c", '#include "engine/model.h"\n')
    assert not problems("tool/x.c", '#include "base/status.h"\n#include "tool/tool.h"\n#include "welford.h"\n')
    assert problems("server/x.c", '#include "engine/engine.h"\n')
    assert not problems("server/x.c", '#include "base/buffer.h"\n#include "server/server.h"\n')
    assert not problems("tool/exec.c", '#include "format/npy.h"\n')


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
    for path in sorted((ROOT / "python/src").glob("*.[ch]")):
        n_files += 1
        own = {other.name for other in path.parent.glob("*.h")}
        for quote, header in INCLUDE.findall(path.read_text()):
            if quote == '"' and header not in own:
                print(f"{path.relative_to(ROOT)}: includes {header}; the Python package stands on welford.h alone")
                n_problems += 1
    for problem in unused_exceptions(ROOT):
        print(problem)
        n_problems += 1
    print(f"{n_files} files, {n_problems} problems")
    return 1 if n_problems or not n_files else 0


if __name__ == "__main__":
    sys.exit(main())
