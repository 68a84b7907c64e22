"""lit: the tests below this folder are files with RUN lines, checked by FileCheck.

`welford` in a RUN line is the program under test; FileCheck, not and mlir-opt come from the LLVM it was built with.
`%to-linalg` lowers TOSA as upstream does, so that one file tests both roads.
"""
import os

import lit.formats

config.name = "welford"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.environ["WELFORD_LIT_OUTPUT"]

folders = [os.path.dirname(os.environ["WELFORD"]), os.environ["WELFORD_LLVM_BIN"], config.environment["PATH"]]
config.environment["PATH"] = os.pathsep.join(folders)
for name in ("HOME", "WELFORD_CACHE", "WELFORD_MODELS", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

lowering = "tosa-to-linalg-named,tosa-to-linalg,tosa-to-arith,tosa-to-tensor,canonicalize,cse"
config.substitutions.append(("%to-linalg", f"mlir-opt --pass-pipeline='builtin.module(func.func({lowering}))'"))
