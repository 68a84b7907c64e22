"""Models that think before they answer: --think, the sampling they ask for, and what a turn takes over from the last one."""
import json
import os
import re
import subprocess

import pytest

import tiny_checkpoint
from gguf_meta import read_metadata
from terminal import Terminal
from tiny_gguf import CHATML, tiny_llama
from tiny_hf import write_hf

# A model of any kind goes on in this manner: what it says is not the point, but where its tags stand.
PATTERN = "".join(f"Q: {n}+{n}\n<think>\n{word} and {word}.\n</think>\n\nA: {2 * n}\n\n"
                  for n, word in ((1, "one"), (2, "two"))) + "Q: 3+3\n"
THOUGHT = "three and three."


def run(welford, model, *args, prompt=PATTERN + "<think>\n", n=14):
    return welford.run("run", model, "--raw", "--temp", 0, "-n", n, "-p", prompt, *args).ok().stdout


def test_parts_of_an_answer(welford, smollm2):
    whole = run(welford, smollm2)
    assert whole == run(welford, smollm2, "--think", "show")
    thought, answer = whole.split("\n</think>\n\n")
    assert thought == THOUGHT and answer.startswith("A: ")
    assert run(welford, smollm2, "--think", "hide") == answer
    apart = json.loads(run(welford, smollm2, "--think", "json"))
    assert (apart["reasoning"], apart["text"]) == (thought, answer.rstrip("\n"))
    assert json.loads(run(welford, smollm2, "--json"))["text"] + "\n" == whole
    assert json.loads(run(welford, smollm2, "--json", "--think", "hide"))["text"] + "\n" == answer


def test_a_model_that_opens_the_tag_itself(welford, smollm2):
    whole = run(welford, smollm2, prompt=PATTERN, n=19)
    assert whole.startswith("<think>\n")
    apart = json.loads(run(welford, smollm2, "--think", "json", prompt=PATTERN, n=19))
    assert apart["reasoning"] == THOUGHT and apart["text"].startswith("A: ")


def test_reasoning_without_end_is_no_answer(welford, smollm2):
    assert run(welford, smollm2, "--think", "hide", n=3) == ""
    apart = json.loads(run(welford, smollm2, "--think", "json", n=3))
    assert THOUGHT.startswith(apart["reasoning"]) and apart["reasoning"] and apart["text"] == ""


def test_dimmed_on_a_terminal(welford, smollm2):
    args = [str(welford.path), "run", str(smollm2), "--raw", "--temp", "0", "-n", "14", "-p", PATTERN + "<think>\n"]
    env = {**os.environ, **welford.env, "TERM": "xterm"}
    env.pop("NO_COLOR", None)

    def shown(env):
        t = Terminal(args, env, keep_escapes=True)
        t.wait()
        t.close()
        return t.output.replace("\r\n", "\n")

    coloured = shown(env)
    dimmed = "".join(re.findall(r"\x1b\[2m(.*?)\x1b\[0m", coloured))
    assert dimmed == THOUGHT and "think>" not in coloured
    assert re.sub(r"\x1b\[2m.*?\x1b\[0m", "", coloured).startswith("\n\nA: ")
    assert "</think>" in shown({**env, "NO_COLOR": "1"})


def test_turns_with_the_template_of_deepseek(welford, deepseek_header, tmp_path):
    """What a turn keeps of the last one ends where the template opened <think>; the rest is evaluated."""
    end = "{{'<｜Assistant｜>'}}{% endif %}"  # the template as first published; the later one opens the tag itself
    template = read_metadata(deepseek_header)["tokenizer.chat_template"]
    assert template.count(end) == 1
    template = template.replace(end, end.replace("｜>'", "｜><think>\\n'"))
    model = write_hf(tiny_llama(seed=1, context=512), tmp_path / "model", chat_template=template)
    args = ["run", str(model), "--temp", "0", "-n", "4", "--ignore-eos"]
    count = lambda *prompt: json.loads(welford.run(*args, *prompt, "--json").ok().stdout)["prompt_tokens"]
    prompt = count("-p", "hi")
    t = Terminal([str(welford.path), *args, "--stats"], {**os.environ, **welford.env, "XDG_STATE_HOME": str(tmp_path)})
    evaluated, kept = [], []
    for text in ("hi", "more"):
        t.prompt()
        t.type(text + "\n")
        t.expect("prefill +")
        evaluated.append(int(t.expect(" tokens in")))
        t.expect("\\(")
        kept.append(int(t.expect(" more were")))
    t.prompt()
    t.type("/exit\n")
    assert t.wait() == 0
    t.close()
    opened = len(count("--raw", "-p", "<think>\n"))
    assert evaluated[0] == len(prompt) and kept == [0, len(prompt) - opened] and evaluated[1] > opened


def test_usage(welford, smollm2):
    assert "--think" in welford.run("run", smollm2, "-p", "x", "--think", "loud").failed(2).stderr


# ---- generation_config.json

@pytest.fixture
def folder(tmp_path):
    def write(generation):
        return write_hf(tiny_llama(seed=1), tmp_path / "model", chat_template=CHATML, generation=generation)

    return write


def sampling(welford, model, *args) -> str:
    return re.search(r"^sampling +(.*), seed", welford.run("run", model, "-p", "hi", "-n", 1, "--stats", *args).ok().stderr,
                     re.M)[1]


def test_the_checkpoint_says_how_to_sample(welford, folder):
    model = folder({"temperature": 0.6, "top_p": 0.9, "do_sample": True, "eos_token_id": [2, 0]})
    assert sampling(welford, model) == "temp 0.6, top-k 40, top-p 0.9, min-p 0.05, repeat-penalty 1 over 64"
    assert sampling(welford, model, "--temp", 0, "--top-k", 5) == "temp 0, top-k 5, top-p 0.9, min-p 0.05, repeat-penalty 1 over 64"


def test_greedy_by_generation_config(welford, folder):
    model = folder({"do_sample": False, "temperature": 0.6, "top_k": 7, "repetition_penalty": 1.25})
    assert sampling(welford, model) == "temp 0, top-k 7, top-p 0.95, min-p 0.05, repeat-penalty 1.25 over 64"


@pytest.mark.parametrize("field, value", [("temperature", -1), ("top_p", 1.5), ("top_k", -3), ("temperature", "warm")])
def test_sampling_that_makes_no_sense(welford, folder, field, value):
    welford.run("run", folder({field: value}), "-p", "hi", "-n", 1).failed()


# ---- --prompt-cache

QUESTION = ["--system", "", "--temp", 0, "-p", "What is the capital of France?"]


def reused(done) -> tuple[int, int]:
    found = re.search(r"^prefill +(\d+) tokens .*\((\d+) more", done.stderr, re.M)
    return int(found[1]), int(found[2])


def test_prompt_cache(welford, smollm2, tmp_path):
    cache = tmp_path / "cache"
    plain = welford.run("run", smollm2, *QUESTION, "--stats").ok()
    first, second = (welford.run("run", smollm2, *QUESTION, "--stats", "--prompt-cache", cache).ok() for _ in range(2))
    assert plain.stdout == first.stdout == second.stdout
    n = reused(plain)[0]
    assert reused(first) == (n, 0) and reused(second) == (1, n - 1)
    longer = welford.run("run", smollm2, *QUESTION[:-1], "What is the capital of France? And of Spain?", "-c", 200,
                         "--stats", "--prompt-cache", cache).ok()  # another size of the context
    assert reused(longer)[1] > n // 2
    assert longer.stdout == welford.run("run", smollm2, *QUESTION[:-1], "What is the capital of France? And of Spain?").ok().stdout


LONG = "A list of cities: " + ", ".join(f"city number {i}" for i in range(40))


def test_prefix_cache(welford, smollm2, tmp_path):
    """Blocks of 64 tokens, for any later run whose prompt begins alike; damaged ones are computed again."""
    run = lambda text, *args: json.loads(welford.run("run", smollm2, "--raw", "--temp", 0, "-n", 20, "--json", "-p", text,
                                                     *args).ok().stdout)
    folder = tmp_path / "prefixes"
    plain, first, second = run(LONG), run(LONG, "--prefix-cache", folder), run(LONG, "--prefix-cache", folder)
    assert plain["tokens"] == first["tokens"] == second["tokens"]
    n = len(plain["prompt_tokens"])
    assert first["stats"]["n_reused"] == 0 and second["stats"]["n_reused"] == (n - 1) // 64 * 64 > 64
    other = LONG + " and another city, far away from all of these"
    assert run(other, "--prefix-cache", folder)["stats"]["n_reused"] == second["stats"]["n_reused"]
    files = sorted(folder.glob("*/*"))
    assert (folder.stat().st_mode & 0o777) == 0o700 and len(files) >= n // 64
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    third = run(LONG, "--prefix-cache", folder)
    assert third["tokens"] == plain["tokens"] and third["stats"]["n_reused"] == 0
    assert run(LONG, "--prefix-cache", folder, "--kv", "q8")["stats"]["n_reused"] == 0  # other keys and values


def test_prefix_caches_that_cannot_be_written(welford, smollm2, tmp_path):
    (tmp_path / "file").touch()
    done = welford.run("run", smollm2, "hi", "-n", 1, "--prefix-cache", tmp_path / "file").failed()
    assert f"{tmp_path}/file" in done.stderr
    folder = tmp_path / "prefixes"
    command = f'ulimit -f 100; exec "{welford.path}" run "{smollm2}" --raw --temp 0 -n 4 -p "{LONG}" --prefix-cache "{folder}"'
    full = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert full.returncode == 0 and full.stderr.startswith("warning: prompts are not kept: ") and full.stderr.count("\n") == 1
    assert full.stdout == welford.run("run", smollm2, "--raw", "--temp", 0, "-n", 4, "-p", LONG).ok().stdout
    assert not list(folder.glob("*/*"))


@pytest.mark.parametrize("name", ["mistral", "gemma3"])
def test_prompt_cache_beyond_the_window(welford, tmp_path, name):
    model = tmp_path / "model.gguf"
    model.write_bytes(tiny_checkpoint.gguf_of(tiny_checkpoint.folder(name)).encode())
    run = lambda *args: json.loads(welford.run("run", model, "--raw", "--temp", 0, "-n", 12, "--json", *args).ok().stdout)
    text, cache = "the cat sat on the mat and the dog " * 5, tmp_path / "cache"
    assert len(run("-p", text, "-n", 0)["prompt_tokens"]) > 60
    run("-p", text, "--prompt-cache", cache)
    again = run("-p", text + "ran", "--prompt-cache", cache)
    assert again["stats"]["n_reused"] > 50
    assert again["tokens"] == run("-p", text + "ran")["tokens"]


def test_prompt_caches_that_do_not_fit(welford, smollm2, tmp_path):
    cache = tmp_path / "cache"
    run = lambda *args: welford.run("run", smollm2, *QUESTION, "--prompt-cache", cache, *args)
    run().ok()
    good = cache.read_bytes()
    assert "another model" in run("--kv", "f32").failed().stderr
    assert "room for 8" in run("-c", 8).failed().stderr
    for at, reason in ((0, "not a prompt cache"), (9, "checksum"), (20, "checksum"), (50, "checksum"), (len(good) - 1, "checksum")):
        cache.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        assert reason in run().failed().stderr
    for size in (0, 7, 63, 64, len(good) - 1):
        cache.write_bytes(good[:size])
        run().failed()
        assert cache.stat().st_size == size  # what was there is not lost
    cache.write_bytes(good)
    assert "no/such/folder" in run("--prompt-cache", tmp_path / "no/such/folder").failed().stderr
    run().ok()
