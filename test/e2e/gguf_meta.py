"""The metadata of a GGUF file, read apart from welford. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""
import struct
from pathlib import Path

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def read_metadata(path: Path) -> dict:
    """All keys with their values; arrays are lists. The file may end anywhere after the metadata."""
    with open(path, "rb") as file:

        def number(code: str):
            return struct.unpack("<" + code, file.read(struct.calcsize("<" + code)))[0]

        def value(kind: int):
            if kind == _STRING:
                return file.read(number("Q")).decode("utf-8", "replace")
            if kind == _ARRAY:
                item, count = number("I"), number("Q")
                if item in _NUMBERS:
                    form = f"<{count}{_NUMBERS[item]}"
                    return list(struct.unpack(form, file.read(struct.calcsize(form))))
                return [value(item) for _ in range(count)]
            return number(_NUMBERS[kind])

        assert file.read(4) == b"GGUF", f"{path}: not a GGUF file"
        assert number("I") in (2, 3)
        number("Q")
        return {value(_STRING): value(number("I")) for _ in range(number("Q"))}
