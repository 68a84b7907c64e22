"""500 damaged Hugging Face folders: each verb works or fails with one line and status 1; never a signal, never a hang.

Damages are drawn from a seeded generator, so that the same folders come up every time.
"""
import json
import random
import shutil

import pytest

from tiny_gguf import CHATML, tiny_llama
from tiny_hf import write_hf

N_CASES, N_PARTS = 500, 10
HUGE = [0, -1, 1, 2**31, 2**32, 2**48, 2**63 - 1, 2**64, 1e300, 0.5, "x", "", None, True, [], {}, [[]], "a\nb\x1b[2J"]
JSON_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
              "model.safetensors.index.json"]
SHARDS = [f"model-{i:05}-of-00002.safetensors" for i in (1, 2)]


def walk(value, path=()):
    """The places in a JSON document, as paths."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:60]:
        yield from walk(item, (*path, key))


def change_place(rng, value):
    """Replaces, deletes or doubles something at a random place."""
    path = rng.choice([p for p in walk(value) if p] or [()])
    if not path:
        return rng.choice(HUGE)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    kind = rng.randrange(3)
    if kind == 0:
        parent[path[-1]] = rng.choice(HUGE)
    elif kind == 1:
        del parent[path[-1]]
    elif isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), rng.choice(parent))
    else:
        parent[rng.choice(["", "extra", "__metadata__", "x" * 3000, *parent])] = parent[path[-1]]
    return value


def damage_json(rng, folder):
    path = folder / rng.choice(JSON_FILES)
    value = json.loads(path.read_text())
    for _ in range(rng.choice([1, 1, 2, 5])):
        value = change_place(rng, value)
    path.write_text(json.dumps(value, ensure_ascii=rng.random() < 0.5))


def damage_header(rng, folder):
    """The JSON inside a shard: names, dtypes, shapes, offsets."""
    path = folder / rng.choice(SHARDS)
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = change_place(rng, json.loads(data[8:8 + n]))
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + n:])


def damage_length(rng, folder):
    path = folder / rng.choice(SHARDS)
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    wrong = rng.choice([0, 1, n - 1, n + 1, n + 8, 10**8 + 1, 2**63, 2**64 - 1, 2**64 - 8])
    path.write_bytes(wrong.to_bytes(8, "little") + data[8:])


def damage_bytes(rng, folder):
    path = folder / rng.choice(JSON_FILES + SHARDS)
    data = bytearray(path.read_bytes())
    limit = min(len(data), 4000)
    for _ in range(rng.choice([1, 1, 4, 32])):
        data[rng.randrange(limit)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(rng, folder):
    path = folder / rng.choice(JSON_FILES + SHARDS)
    data = path.read_bytes()
    path.write_bytes(data[:rng.choice([0, 1, 7, 8, 9, rng.randrange(len(data)), len(data) - 1])])


def remove_file(rng, folder):
    path = folder / rng.choice(JSON_FILES + SHARDS)
    path.unlink()
    if rng.random() < 0.3:
        path.mkdir()


def replace_file(rng, folder):
    path = folder / rng.choice(JSON_FILES + SHARDS)
    path.write_bytes(rng.choice([b"[" * 100000, b"{}", b"[]", b"null", b"\xff" * 500, b'{"a":1,"a":2}', b'{"a":"\\u0000"}',
                                 rng.randbytes(1000), b'{"a":' * 3000]))


def damage_text(rng, folder):
    """Tokens, merges and expressions that are odd, not wrong."""
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    text = rng.choice(["", " ", "\u2581", "a b", "\n", "\U0001f600", "x" * 5000, "(", "[a", "(a+)+$", "(?:a|b)*", "\\p{L}"])
    place = rng.randrange(5)
    if place == 0:
        data["model"]["vocab"][text] = rng.choice([0, 5, 299, 300])
    elif place == 1:
        data["model"]["merges"][rng.randrange(10)] = text
    elif place == 2:
        data["added_tokens"][0]["content"] = text
    elif place == 3:
        data["pre_tokenizer"]["pretokenizers"][0] = {"type": "Split", "behavior": "Isolated", "invert": False,
                                                    "pattern": {rng.choice(["Regex", "String"]): text}}
    else:
        data["normalizer"] = {"type": "Replace", "pattern": {"String": text or "a"}, "content": text * 2}
    path.write_text(json.dumps(data))


DAMAGES = [damage_json, damage_json, damage_header, damage_header, damage_length, damage_bytes, truncate, remove_file,
           replace_file, damage_text]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_hf(tiny_llama(seed=1), tmp_path_factory.mktemp("sound") / "model", shards=2, chat_template=CHATML,
                    generation={"temperature": 0.6, "eos_token_id": [2, 0]})


def test_sound_folder_works(welford, sound):
    for args in (["info", "--tensors", sound], ["tokenize", "-p", "hello", sound], ["run", sound, "-p", "hi", "-n", 1]):
        welford.run(*args).ok()


@pytest.mark.parametrize("part", range(N_PARTS))
def test_damaged_folders(welford, sound, tmp_path, part):
    failed = 0
    for case in range(part, N_CASES, N_PARTS):
        rng = random.Random(case)
        folder = tmp_path / "model"
        shutil.copytree(sound, folder)
        damage = DAMAGES[case % len(DAMAGES)]
        damage(rng, folder)
        for args in (["info", "--tensors", folder], ["tokenize", "-p", "hello the cat", folder],
                     ["run", folder, "-p", "hi", "-n", 1, "--no-cache"]):
            # A model that can be opened is compiled only now and then: that takes most of the time.
            if args[0] == "run" and result.exit == 0 and case % 25:
                continue
            result = welford.run(*args, timeout=60)
            context = f"case {case} ({damage.__name__}): {args[0]}: {result.exit} {result.stderr!r}"
            assert result.exit in (0, 1), context
            assert result.exit == 0 or (result.stderr.count("\n") == 1 and "\x1b" not in result.stderr), context
            failed += result.exit
        shutil.rmtree(folder)
    assert failed > N_CASES // N_PARTS // 2, "damages that do no harm test nothing"
