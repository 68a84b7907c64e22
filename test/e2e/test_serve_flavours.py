"""welford serve beyond OpenAI's interface: Anthropic's, ollama's, llama-server's, Prometheus; several models; reasoning."""
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from http_server import Server
from tiny_gguf import tiny_llama

TEMPLATE = ("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}")
CHAT = "/v1/chat/completions"


def make_tiny(path, template=TEMPLATE, **more):
    path.write_bytes(tiny_llama(layers=1, context=2048, chat_template=template, **more).encode())
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("flavours") / "tiny.gguf")


@pytest.fixture
def server(welford, tiny):
    with Server(welford, tiny, "-np", 4, "-c", 512) as s:
        yield s


def messages(text="hello", system=None):
    return ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": text}]


def chat_text(s, n=8, text="hello", system=None, **more):
    body = {"messages": messages(text, system), "temperature": 0, "max_tokens": n, **more}
    return s.post(CHAT, body).ok().json["choices"][0]["message"]["content"]


# ---- Anthropic

def test_messages(server):
    body = {"model": "tiny", "max_tokens": 8, "temperature": 0, "system": [{"type": "text", "text": "be"}, {"type": "text", "text": " brief"}],
            "messages": messages()}
    wanted = chat_text(server, system="be brief")
    answer = server.post("/v1/messages", body).ok().json
    assert answer["type"] == "message" and answer["role"] == "assistant" and answer["model"] == "tiny"
    assert answer["content"] == [{"type": "text", "text": wanted}] and answer["stop_reason"] == "max_tokens"
    n = server.post("/v1/messages/count_tokens", body).ok().json["input_tokens"]
    usage = answer["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == n and usage["output_tokens"] == 8

    events = server.named_events("/v1/messages", {**body, "stream": True})
    kinds = [e["type"] for e in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert "".join(e["delta"]["text"] for e in events[2:-3]) == wanted
    assert events[-2]["delta"]["stop_reason"] == "max_tokens" and events[-2]["usage"]["output_tokens"] == 8


def test_messages_stop(server):
    text = chat_text(server, 40)
    stop = text[len(text) // 2:][:3]
    answer = server.post("/v1/messages", {"max_tokens": 40, "temperature": 0, "messages": messages(), "stop_sequences": [stop]})
    assert answer.ok().json["content"][0]["text"] == text[:text.index(stop)]
    assert answer.json["stop_reason"] == "end_turn"


def test_messages_refused(server):
    for body in ({}, {"max_tokens": 0, "messages": messages()}, {"max_tokens": 1, "messages": messages(), "system": 3},
                 {"max_tokens": 1, "messages": messages(), "tools": [{"name": "x"}]}):
        answer = server.post("/v1/messages", body)
        assert answer.status == 400 and answer.json["type"] == "error"
        assert answer.json["error"]["type"] == "invalid_request_error"


# ---- ollama

def test_ollama_chat(server):
    wanted = chat_text(server)
    body = {"model": "tiny", "messages": messages(), "options": {"temperature": 0, "num_predict": 8}}
    lines = server.lines("/api/chat", body)
    assert all(l["model"] == "tiny" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", l["created_at"]) for l in lines)
    assert [l["done"] for l in lines] == [False] * (len(lines) - 1) + [True]
    assert "".join(l["message"]["content"] for l in lines) == wanted
    last = lines[-1]
    assert last["eval_count"] == 8 and last["done_reason"] == "length"
    assert 0 < last["eval_duration"] < last["total_duration"]
    whole = server.post("/api/chat", {**body, "stream": False}).ok().json
    assert whole["message"] == {"role": "assistant", "content": wanted} and whole["done"]


def test_ollama_generate(server):
    options = {"temperature": 0, "num_predict": 8}
    lines = server.lines("/api/generate", {"model": "tiny", "prompt": "hello", "system": "brief", "options": options})
    assert "".join(l["response"] for l in lines) == chat_text(server, system="brief")
    raw = server.post("/api/generate", {"prompt": "hello", "raw": True, "stream": False, "options": options}).ok().json
    plain = server.post("/v1/completions", {"prompt": "hello", "temperature": 0, "max_tokens": 8}).ok().json
    assert raw["response"] == plain["choices"][0]["text"]
    empty = server.post("/api/generate", {"model": "tiny"}).ok().json
    assert empty["done_reason"] == "load" and empty["response"] == ""


def test_ollama_models(server, tiny):
    assert [m["name"] for m in server.get("/api/tags").ok().json["models"]] == ["tiny"]
    assert [m["name"] for m in server.get("/api/ps").ok().json["models"]] == ["tiny"]
    assert server.get("/api/version").ok().json["version"]
    shown = server.post("/api/show", {"model": "tiny"}).ok().json
    assert shown["details"]["family"] == "llama" and shown["model_info"]["llama.block_count"] == 1
    assert shown["model_info"]["llama.context_length"] == 2048


def test_ollama_refused(server):
    for body in ({"messages": messages(), "format": "json"}, {"messages": messages(), "keep_alive": "5 parsecs"},
                 {"messages": messages(), "options": {"temperature": "x"}}):
        answer = server.post("/api/chat", body)
        assert answer.status == 400 and isinstance(answer.json["error"], str)
    assert server.post("/api/chat", b"{").json["error"]


# ---- llama-server's, and Prometheus

def test_tokens_and_templates(server):
    tokens = server.post("/tokenize", {"content": "hello world"}).ok().json["tokens"]
    assert tokens and server.post("/detokenize", {"tokens": tokens}).ok().json["content"] == "hello world"
    assert server.post("/detokenize", {"tokens": []}).ok().json["content"] == ""
    prompt = server.post("/apply-template", {"messages": messages("hi", "be brief")}).ok().json["prompt"]
    assert prompt == "[system] be brief\n[user] hi\n[assistant] "
    server.post("/tokenize", {}).refused(400, "content")
    server.post("/detokenize", {"tokens": [1 << 40]}).refused(400, "tokens")
    server.post("/apply-template", {"messages": 3}).refused(400, "messages")
    props = server.get("/props").ok().json
    assert props["total_slots"] == 4 and props["default_generation_settings"]["n_ctx"] == 512


def read_metrics(s):
    values = {}
    for line in s.get("/metrics").ok().body.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert re.fullmatch(r'welford:\w+(\{\w+="[^"]*"\})?', name), name
            values[name.replace('{model_name="tiny"}', "")] = float(value)
    return values


def wait_for_metrics(s, *values):
    """Until these hold: an engine counts when its step is over, which may be after an answer's end was told."""
    deadline = time.monotonic() + 20
    while not all((m := read_metrics(s))[name] == value for name, value in values):
        assert time.monotonic() < deadline, m
        time.sleep(0.05)
    return m


def test_metrics(server):
    refused = read_metrics(server)["welford:requests_refused_total"]
    for _ in range(3):
        chat_text(server)
    server.post(CHAT, {}).refused(400, "messages")
    m = wait_for_metrics(server, ("welford:generation_tokens_total", 24), ("welford:num_requests_running", 0))
    assert m['welford:request_success_total{finished_reason="length"}'] == 3
    assert m["welford:requests_refused_total"] == refused + 1
    for name, count in (("time_to_first_token", 3), ("e2e_request_latency", 3), ("inter_token_latency", 21)):
        buckets = [v for k, v in m.items() if k.startswith(f"welford:{name}_seconds_bucket")]
        assert buckets == sorted(buckets) and buckets[-1] == m[f"welford:{name}_seconds_count"] == count
        assert m[f"welford:{name}_seconds_sum"] > 0
    with server.begin(CHAT, {"messages": messages(), "max_tokens": 400, "ignore_eos": True, "stream": True}) as c:
        c.recv(1)
    wait_for_metrics(server, ('welford:request_success_total{finished_reason="interrupted"}', 1))


# ---- reasoning

def test_reasoning_apart(welford, tmp_path):
    """The template opens the reasoning, so that all of a random model's answer lies in it."""
    model = make_tiny(tmp_path / "thinks.gguf", TEMPLATE.replace("[assistant] ", "[assistant] <think>"))
    with Server(welford, model) as s:
        body = {"messages": messages(), "temperature": 0, "max_tokens": 12}
        apart = s.post(CHAT, body).ok().json["choices"][0]["message"]
        whole = s.post(CHAT, {**body, "reasoning_format": "none"}).ok().json["choices"][0]["message"]
        assert apart["content"] == "" and "reasoning_content" not in whole
        assert apart["reasoning_content"] == whole["content"].lstrip(" \n\r\t") != ""
        deltas = [json.loads(e)["choices"][0]["delta"] for e in s.stream(CHAT, {**body, "stream": True})[:-1]]
        assert "".join(d.get("reasoning_content", "") for d in deltas) == apart["reasoning_content"]
        blocks = s.post("/v1/messages", body).ok().json["content"]
        assert [b["type"] for b in blocks] == ["thinking", "text"]
        assert blocks[0]["thinking"] == apart["reasoning_content"]
        options = {"temperature": 0, "num_predict": 12}
        line = s.post("/api/chat", {"messages": messages(), "stream": False, "options": options}).ok().json
        assert line["message"]["thinking"] == apart["reasoning_content"]
        s.post(CHAT, {**body, "reasoning_format": "odd"}).refused(400, "reasoning_format")


# ---- several models

@pytest.fixture
def several(welford, fresh_cache, tiny, tmp_path):
    folder = fresh_cache / "models"
    folder.mkdir(parents=True)
    shutil.copy(tiny, folder / "a.gguf")
    make_tiny(folder / "b.gguf", seed=5)
    (folder / "bad.gguf").write_bytes(b"GGUF, or so it says")
    welford.env["HF_HUB_CACHE"] = str(tmp_path / "hub")
    return welford


def test_every_model_here_is_served(several, welford, tiny):
    with Server(welford, tiny) as s:
        alone = chat_text(s)
    with Server(several, "--keep-alive", 1) as s:
        assert sorted(m["id"] for m in s.get("/v1/models").ok().json["data"]) == ["a.gguf", "b.gguf", "bad.gguf"]
        assert s.get("/api/ps").ok().json["models"] == []
        with ThreadPoolExecutor(8) as pool:  # all wait for one opening
            texts = list(pool.map(lambda i: chat_text(s, model="ab"[i % 2] + ".gguf"), range(8)))
        assert texts[::2] == [alone] * 4 and len(set(texts[1::2])) == 1 and texts[1] != alone
        s.post(CHAT, {"messages": messages()}).refused(400, "model")
        s.post(CHAT, {"model": "none", "messages": messages()}).refused(404, "model")
        assert "bad.gguf" in s.post(CHAT, {"model": "bad.gguf", "messages": messages()}).refused(503, "model")
        deadline = time.monotonic() + 20
        while s.get("/api/ps").ok().json["models"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert chat_text(s, model="a.gguf") == alone  # opened again
        s.post("/api/generate", {"model": "a.gguf", "keep_alive": -1}).ok()
        s.post("/api/generate", {"model": "b.gguf", "keep_alive": 0}).ok()
        time.sleep(1.5)
        assert [m["name"] for m in s.get("/api/ps").ok().json["models"]] == ["a.gguf"]


def test_a_model_that_cannot_be_opened_ends_the_server(welford, tmp_path):
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF, or so it says")
    done = welford.run("serve", path, "--port", 0)
    assert done.exit == 1 and "bad.gguf" in done.stderr.splitlines()[-1]
