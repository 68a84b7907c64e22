"""welford serve: what clients see of the OpenAI interface, and that an answer is `welford run`'s whoever else asks."""
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from http_server import Server
from tiny_gguf import tiny_llama

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "tiny.gguf"
    path.write_bytes(tiny_llama(layers=1, context=2048, chat_template=TEMPLATE).encode())
    return path


@pytest.fixture
def server(welford, tiny):
    with Server(welford, tiny, "-np", 4, "-c", 512) as s:
        yield s


def ask(text="hello", **more):
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 8, **more}


def join(events):
    """The text of a chat's stream, which ends as it should."""
    assert events[-1] == "[DONE]"
    chunks = [json.loads(e) for e in events[:-1]]
    assert len({c["id"] for c in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    choices = [c["choices"][0] for c in chunks if c["choices"]]
    assert [c["finish_reason"] for c in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"] in ("stop", "length") and choices[-1]["delta"] == {}
    return "".join(c["delta"].get("content", "") for c in choices)


# ---- answers

def test_health_and_models(server):
    assert server.get("/health").ok().json == {"status": "ok"}
    models = server.get("/v1/models").ok().json
    assert models["object"] == "list" and [m["id"] for m in models["data"]] == ["tiny"]
    assert server.get("/v1/models/tiny").ok().json["owned_by"] == "welford"
    server.get("/v1/models/other").refused(404, "model")


def test_chat(server):
    answer = server.post(CHAT, ask()).ok().json
    choice = answer["choices"][0]
    assert answer["object"] == "chat.completion" and answer["model"] == "tiny" and answer["id"].startswith("chatcmpl-")
    assert choice["message"]["role"] == "assistant" and choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 8 and usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert answer["timings"]["predicted_n"] == 8
    assert join(server.stream(CHAT, ask(stream=True))) == choice["message"]["content"]


def test_prompts_that_begin_alike_are_found_in_the_cache(server):
    long = "abcdefgh " * 30
    first = server.post(CHAT, ask(long)).ok().json
    again = server.post(CHAT, ask(long)).ok().json
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    cached = again["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached > 0 and again["timings"]["cache_n"] == cached
    assert again["choices"] == first["choices"]


def test_usage_in_a_stream(server):
    events = server.stream(CHAT, ask(stream=True, stream_options={"include_usage": True}))
    last = json.loads(events[-2])
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 8
    assert all("usage" not in json.loads(e) for e in events[:-2])


def test_content_in_parts_and_roles(server):
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    whole = server.post(CHAT, {**ask(), "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "hello"}]})
    split = server.post(CHAT, {**ask(), "messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": parts}]})
    assert whole.ok().json["choices"] == split.ok().json["choices"]


def test_seed_and_n(server):
    drawn = ask(temperature=1.5, seed=7, max_tokens=16)
    three = server.post(CHAT, {**drawn, "n": 3}).ok().json
    assert [c["index"] for c in three["choices"]] == [0, 1, 2] and three["usage"]["completion_tokens"] == 48
    texts = [c["message"]["content"] for c in three["choices"]]
    assert len(set(texts)) == 3
    for i, text in enumerate(texts):
        assert server.post(CHAT, {**drawn, "seed": 7 + i}).ok().json["choices"][0]["message"]["content"] == text
    events = [json.loads(e)["choices"][0] for e in server.stream(CHAT, {**drawn, "n": 3, "stream": True})[:-1]]
    for i, text in enumerate(texts):
        assert "".join(c["delta"].get("content", "") for c in events if c["index"] == i) == text


def test_stop(server):
    text = server.post(CHAT, ask(max_tokens=40)).ok().json["choices"][0]["message"]["content"]
    stop = text[len(text) // 2:][:3]
    answer = server.post(CHAT, ask(max_tokens=40, stop=["never in it", stop])).ok().json["choices"][0]
    assert answer["message"]["content"] == text[:text.index(stop)] and answer["finish_reason"] == "stop"
    assert join(server.stream(CHAT, ask(max_tokens=40, stop=stop, stream=True))) == text[:text.index(stop)]


def test_logprobs(server):
    answer = server.post(CHAT, ask(logprobs=True, top_logprobs=3)).ok().json["choices"][0]
    entries = answer["logprobs"]["content"]
    assert len(entries) == 8
    for e in entries:  # greedy: the token is the likeliest
        assert e["top_logprobs"][0]["token"] == e["token"] and e["logprob"] == e["top_logprobs"][0]["logprob"] < 0
        assert [t["logprob"] for t in e["top_logprobs"]] == sorted((t["logprob"] for t in e["top_logprobs"]), reverse=True)
    chunks = [json.loads(e)["choices"][0] for e in server.stream(CHAT, ask(logprobs=True, top_logprobs=3, stream=True))[:-1]]
    assert [e for c in chunks for e in (c.get("logprobs") or {"content": []})["content"]] == entries


def test_completions(server):
    body = {"prompt": ["abc", "de"], "temperature": 0, "max_tokens": 6, "n": 2}
    answer = server.post(TEXT, body).ok().json
    assert answer["object"] == "text_completion" and [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
    texts = [c["text"] for c in answer["choices"]]
    assert texts[0] == texts[1] and texts[2] == texts[3]
    one = server.post(TEXT, {**body, "prompt": "abc", "n": 1, "echo": True}).ok().json["choices"][0]
    assert one["text"] == "abc" + texts[0]
    events = server.stream(TEXT, {**body, "prompt": "abc", "n": 1, "stream": True})
    assert events[-1] == "[DONE]"
    assert "".join(json.loads(e)["choices"][0]["text"] for e in events[:-1]) == texts[0]


def test_completions_of_token_ids_and_their_logprobs(server):
    answer = server.post(TEXT, {"prompt": [70, 71, 72], "temperature": 0, "max_tokens": 4, "logprobs": 2}).ok().json["choices"][0]
    l = answer["logprobs"]
    assert len(l["tokens"]) == len(l["token_logprobs"]) == len(l["top_logprobs"]) == len(l["text_offset"]) == 4
    assert l["text_offset"][0] == 0 and all(len(t) == 2 for t in l["top_logprobs"])
    assert l["token_logprobs"][0] == max(l["top_logprobs"][0].values())


# ---- the same bytes as `welford run`

def run_text(welford, model, prompt, n):
    return json.loads(welford.run("run", model, "-p", prompt, "--temp", 0, "--repeat-penalty", 1, "-n", n, "--json").ok().stdout)["text"]


def check_against_run(welford, model, prompts, n, *args):
    wanted = [run_text(welford, model, p, n) for p in prompts]

    def answer(i, s):
        body = ask(prompts[i], max_tokens=n, repeat_penalty=1)
        if i % 2:
            return join(s.stream(CHAT, {**body, "stream": True}))
        return s.post(CHAT, body).ok().json["choices"][0]["message"]["content"]

    with Server(welford, model, *args) as s:
        assert [answer(i, s) for i in range(2)] == wanted[:2]  # alone
        with ThreadPoolExecutor(8) as pool:
            for _ in range(2):
                assert list(pool.map(lambda i: answer(i, s), range(len(prompts)))) == wanted


def test_same_bytes_as_run(welford, tiny):
    check_against_run(welford, tiny, [f"{'word ' * (i * 7)}number {i}" for i in range(8)], 24, "-np", 4, "-c", 2048)


def test_same_bytes_as_run_of_a_real_model(welford, smollm2):
    capitals = [f"What is the capital of {c}?" for c in ("France", "Italy", "Spain", "Peru", "Japan", "Kenya")]
    check_against_run(welford, smollm2, [*capitals, "Write a poem.", "Count to ten."], 32)


# ---- refusals

def refusals():
    yield "{", None
    yield "[]", None
    yield "[" * 100 + "]" * 100, None
    yield {}, "messages"
    yield {**ask(), "messages": []}, "messages"
    yield {**ask(), "messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"
    yield {**ask(), "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"
    yield ask(temperature="hot"), "temperature"
    yield ask(temperature=-1), "temperature"
    yield ask(top_p=1.5), "top_p"
    yield ask(n=0), "n"
    yield ask(max_tokens=1.5), "max_tokens"
    yield ask(stop=[""]), "stop"
    yield ask(stop=["a"] * 17), "stop"
    yield ask(top_logprobs=2), "top_logprobs"
    yield ask(logprobs=True, top_logprobs=21), "top_logprobs"
    yield ask(frequency_penalty=0.5), "frequency_penalty"
    yield ask(logit_bias={"5": 1}), "logit_bias"
    yield ask(response_format={"type": "json_schema"}), "response_format"
    yield ask(stream_options={"include_usage": 1}), "stream_options.include_usage"
    yield ask("x" * 5000), "messages"  # more than the context


def test_bad_requests_name_the_field(server):
    for body, field in refusals():
        server.post(CHAT, body).refused(400, field)
    for body, field in (({}, "prompt"), ({"prompt": 3}, "prompt"), ({"prompt": [1, -1]}, "prompt"), ({"prompt": []}, "prompt"),
                        ({"prompt": "x", "logprobs": 1, "echo": True}, "echo")):
        server.post(TEXT, body).refused(400, field)
    server.post(CHAT, ask(frequency_penalty=0, logit_bias={}, response_format={"type": "text"})).ok()


def test_paths_and_methods(server):
    server.get("/nowhere").refused(404)
    server.get(CHAT).refused(405)
    server.post("/health", {}).refused(405)


def test_size_of_a_request(welford, tiny):
    with Server(welford, tiny, "--max-body", 1000) as s:
        s.post(CHAT, ask("x" * 2000)).refused(413)
        c = s.connect()  # in pieces, whose sum nobody tells beforehand
        c.request("POST", CHAT, iter([b"x" * 500] * 4), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        assert c.getresponse().status == 413
        s.post(CHAT, ask("hello")).ok()


def test_hosts_and_origins(welford, tiny):
    with Server(welford, tiny, "--cors-origin", "http://good.example", "--allow-host", "box.local") as s:
        for host in ("evil.example", "evil.example:80", "localhost.evil.example"):
            s.get("/v1/models", {"Host": host}).refused(403)
        for host in ("localhost", f"127.0.0.1:{s.port}", "[::1]:99", "10.0.0.7", "box.local:8080"):
            s.get("/v1/models", {"Host": host}).ok()
        for origin in ("http://evil.example", "null", "https://localhost.evil.example"):
            s.post(CHAT, ask(), {"Origin": origin}).refused(403)
        own = s.post(CHAT, ask(), {"Origin": f"http://127.0.0.1:{s.port}"}).ok()
        assert "access-control-allow-origin" not in own.headers
        good = s.post(CHAT, ask(), {"Origin": "http://good.example"}).ok()
        assert good.headers["access-control-allow-origin"] == "http://good.example"
        before = s.request("OPTIONS", CHAT, headers={"Origin": "http://good.example", "Access-Control-Request-Method": "POST"})
        assert before.status == 204 and "POST" in before.headers["access-control-allow-methods"]
        assert s.request("OPTIONS", CHAT, headers={"Origin": "http://evil.example"}).status == 403


def test_keys(welford, tiny, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# mine\nsecret-1\n\nsecret-2\n")
    with Server(welford, tiny, "--host", "0.0.0.0", "--api-key-file", keys) as s:
        s.get("/health").ok()
        for headers in ({}, {"Authorization": "Bearer secret"}, {"Authorization": "secret-1"}, {"x-api-key": "# mine"}):
            s.post(CHAT, ask(), headers).refused(401)
        s.post(CHAT, ask(), {"Authorization": "Bearer secret-2"}).ok()
        s.post(CHAT, ask(), {"x-api-key": "secret-1"}).ok()
        s.get("/v1/models", {"Host": "any.example", "x-api-key": "secret-1"}).ok()
    assert "secret" not in "".join(s.said)


def test_what_is_refused_at_the_start(welford, tiny, tmp_path):
    said = welford.run("serve", tiny, "--host", "0.0.0.0", "--port", 0).failed(2).stderr
    assert "--no-auth" in said
    welford.run("serve", tiny, "--port", 70000).failed(2)
    welford.run("serve", tiny, "--port", 0, env={"WELFORD_PORT": "x"}).failed(2)
    welford.run("serve", tiny, "--api-key-file", tmp_path / "none").failed(1)
    welford.run("serve", tiny, "--tls-cert", tiny).failed(2)
    with Server(welford, tiny) as s:
        assert "use" in welford.run("serve", tiny, "--port", s.port).failed(1).stderr


def test_options_in_the_environment(welford, tiny):
    with Server(welford, env={"WELFORD_MODEL": str(tiny), "WELFORD_ALIAS": "mine"}) as s:
        assert s.get("/v1/models").ok().json["data"][0]["id"] == "mine"


# ---- many clients, and impolite ones

LONG = {"max_tokens": 1500, "ignore_eos": True}


def is_free(s, seconds=20):
    """Whether another request comes through although there is but one place."""
    start = time.monotonic()
    s.post(CHAT, ask(max_tokens=1)).ok()
    return time.monotonic() - start < seconds


def test_clients_that_leave_free_their_place(welford, tiny):
    with Server(welford, tiny, "-np", 1, "-c", 2048) as s:
        whole = time.monotonic()
        s.post(CHAT, ask(**LONG)).ok()
        whole = time.monotonic() - whole
        for stream in (True, False):
            for client in [s.begin(CHAT, ask(**LONG, stream=stream)) for _ in range(20)]:
                client.close()
        start = time.monotonic()
        s.post(CHAT, ask(max_tokens=1)).ok()
        assert time.monotonic() - start < 10 * whole, "40 answers were made that nobody wanted"


def test_queue_is_bounded(welford, tiny):
    with Server(welford, tiny, "-np", 1, "--queue", 1, "-c", 2048) as s:
        clients = [s.begin(CHAT, ask(**LONG, stream=True)) for _ in range(2)]
        for c in clients:
            c.recv(1)  # the server has taken them both
        refused = s.post(CHAT, ask())
        refused.refused(429)
        assert int(refused.headers["retry-after"]) > 0
        for c in clients:
            c.close()


def test_slow_readers_hold_nobody_up(welford, tiny):
    with Server(welford, tiny, "-np", 2, "-c", 2048) as s:
        clients = [s.begin(CHAT, ask(**LONG, stream=True, logprobs=True, top_logprobs=20)) for _ in range(6)]
        assert is_free(s)
        texts = []
        for c in clients:
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data += c.recv(1 << 16)
            texts.append(data.count(b'"finish_reason":"length"'))
            c.close()
        assert texts == [1] * 6


def test_ping(welford, smollm2):
    prompt = "word " * 1500
    with Server(welford, smollm2, "--ping", 1, "-t", 1, "-np", 1, "-c", 4096) as s:
        first = s.begin(CHAT, ask(**LONG, stream=True))
        first.recv(1)
        c = s.begin(CHAT, ask(prompt, stream=True))
        data = b""
        while b": ping\n\n" not in data:
            more = c.recv(1 << 16)
            assert more and b"data:" not in data, "an answer came before a ping"
            data += more
        first.close()
        c.close()


def test_connections_are_kept(server):
    c = server.connect()
    for _ in range(3):
        c.request("POST", CHAT, json.dumps(ask()))
        r = c.getresponse()
        assert r.status == 200 and r.read()
    c.close()


def test_sigterm_lets_answers_end(welford, tiny):
    with Server(welford, tiny, "-c", 2048) as s:
        whole = s.post(CHAT, ask(**LONG)).ok().json["choices"][0]["message"]["content"]
        with ThreadPoolExecutor(1) as pool:
            c = s.begin(CHAT, ask(**LONG))
            time.sleep(0.05)
            s.process.send_signal(signal.SIGTERM)
            data = b""
            while more := c.recv(1 << 16):
                data += more
                if b"timings" in data:
                    break
            head, body = data.split(b"\r\n\r\n", 1)
            assert json.loads(body)["choices"][0]["message"]["content"] == whole
            c.close()
        assert s.process.wait(30) == 0


def test_a_second_signal_stops_at_once(welford, smollm2):
    with Server(welford, smollm2) as s:
        c = s.begin(CHAT, ask(max_tokens=4000, ignore_eos=True, stream=True))
        c.recv(1)
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert s.process.poll() is None
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(10) == 0
        c.close()
