#!/usr/bin/env python3
"""Makes src/text/unicode/unicode_table.c: general categories, scripts and case folding of Unicode 16.0.

    python3 -m venv /tmp/unicode && /tmp/unicode/bin/pip install unicodedata2==16.0.0 regex==2025.7.34
    /tmp/unicode/bin/python tools/make_unicode.py > src/text/unicode/unicode_table.c

Categories are unicodedata2's; scripts and case folding, which it does not have, are those of the package regex. The same
versions give the same file.
"""
import importlib.metadata

import regex
import unicodedata2
from regex import _regex, _regex_core

N_CODES = 0x110000
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
# Folded to i in Turkish only (CaseFolding.txt, status T); the package does so in every language.
TURKISH = (0x130, 0x131)


def find_runs(values: list[int]) -> list[tuple[int, int]]:
    """(first code point, value) of each run of equal values."""
    return [(code, value) for code, value in enumerate(values) if code == 0 or values[code - 1] != value]


def read_script_names() -> list[str]:
    """The long name of each script, without underscores."""
    names: dict[int, str] = {}
    for name, value in _regex_core.PROPERTIES["SCRIPT"][1].items():
        names.setdefault(value, name)  # the abbreviation comes second
    return sorted(names.values())


def read_scripts(names: list[str]) -> list[int]:
    everything = "".join(map(chr, range(N_CODES)))
    values = [0] * N_CODES
    for index, name in enumerate(names):
        for found in regex.finditer(rf"\p{{Script={name}}}+", everything):
            values[found.start():found.end()] = [index] * (found.end() - found.start())
    return values


def read_folds() -> list[tuple[int, int]]:
    """(code point, the smallest that it is equal to without case), for those that are not the smallest."""
    folds = []
    for code in range(N_CODES):
        if code in TURKISH:
            continue
        cases = [c for c in _regex.get_all_cases(regex.I | regex.U, code) if c not in TURKISH]
        if min(cases) != code:
            folds.append((code, min(cases)))
    return folds


def join_folds(folds: list[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """(first, last, step, distance): folds at one distance, next to each other or every second code point."""
    joined: list[list[int]] = []
    for code, smallest in folds:
        last = joined[-1] if joined else None
        step = code - last[1] if last else 0
        if last and last[3] == code - smallest and step in (1, 2) and (last[0] == last[1] or last[2] == step):
            last[1], last[2] = code, step
        else:
            joined.append([code, code, 1, code - smallest])
    return [tuple(run) for run in joined]


def print_array(declaration: str, items: list[str]):
    print(f"\n{declaration}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 120:
            print(line)
            line = "   "
        line += f" {item},"
    print(line + "\n};")


def main():
    assert unicodedata2.unidata_version == "16.0.0" and importlib.metadata.version("regex") == "2025.7.34"
    categories = find_runs([CATEGORIES.index(unicodedata2.category(chr(code))) for code in range(N_CODES)])
    names = read_script_names()
    scripts = find_runs(read_scripts(names))
    folds = join_folds(read_folds())
    print("// Unicode 16.0, made by tools/make_unicode.py; see unicode_table.h.\n// clang-format off")
    print('#include "text/unicode/unicode_table.h"')
    print_array("const uint32_t UNICODE_CATEGORIES", [f"0x{code << 5 | value:X}" for code, value in categories])
    print_array("const uint32_t UNICODE_SCRIPTS", [f"0x{code << 8 | value:X}" for code, value in scripts])
    print_array("const char *const UNICODE_SCRIPT_NAMES", [f'"{name.lower()}"' for name in names] + ["NULL"])
    print_array("const unicode_fold UNICODE_FOLDS",
                [f"{{0x{first:X}, 0x{last:X}, {step}, {distance}}}" for first, last, step, distance in folds])
    print("\nconst size_t UNICODE_N_CATEGORIES = sizeof UNICODE_CATEGORIES / sizeof *UNICODE_CATEGORIES;")
    print("const size_t UNICODE_N_SCRIPTS = sizeof UNICODE_SCRIPTS / sizeof *UNICODE_SCRIPTS;")
    print("const size_t UNICODE_N_FOLDS = sizeof UNICODE_FOLDS / sizeof *UNICODE_FOLDS;")


if __name__ == "__main__":
    main()
