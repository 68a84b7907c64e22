"""Tools over HTTP: the template's own way to write calls, with a model that recites one.

The model is a chain: its layer adds nothing, and what follows a token is read off the token. So it says the pieces of one
text, whatever it is asked, and ends.
"""
import json

import numpy as np
import pytest

from http_server import Server
from tiny_gguf import F32, I32, STRING, ARRAY, U32, Tensor, byte_letters, tiny_llama

CHAT = "/v1/chat/completions"

HERMES = """{% if tools %}<tools>{% for t in tools %}{{ t | tojson }}
{% endfor %}</tools>{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}{% if not loop.first or m.content %}
{% endif %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
LLAMA = HERMES.replace("<tool_call>\n", "").replace("\n</tool_call>", "").replace('"arguments"', '"parameters"')
MISTRAL = (HERMES.replace("<tool_call>\n", "{{ '[TOOL_CALLS] [' if loop.first else ', ' }}")
           .replace("\n</tool_call>", "{{ ']' if loop.last else '' }}").replace("{% if not loop.first or m.content %}\n{% endif %}", ""))

ANSWERS = {
    "hermes": (HERMES, ["I look.", "\n<tool_", "call>\n{\"name\": \"lo", "ok_up\", \"argum", "ents\": {\"town\": \"P", "aris\"}}\n</to", "ol_call>"]),
    "llama": (LLAMA, ["{\"name\": \"lo", "ok_up\", \"param", "eters\": {\"town\": \"P", "aris\"}}"]),
    "mistral": (MISTRAL, ["[TOOL_CALLS", "] [{\"name\": \"lo", "ok_up\", \"argum", "ents\": {\"town\": \"P", "aris\"}}]"]),
}
TOOLS = [{"type": "function", "function": {"name": "look_up", "description": "Looks a town up.", "parameters": {
    "type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}}}]


def reciting_model(pieces: list[str], template: str) -> bytes:
    n_embd, letters = 64, byte_letters()
    model = tiny_llama(layers=1, n_embd=n_embd, context=2048, chat_template=template)
    values = dict(model.values)
    tokens, types = list(values["tokenizer.ggml.tokens"].data), list(values["tokenizer.ggml.token_type"].data)
    first = len(tokens)
    tokens += ["".join(letters[b] for b in piece.encode()) for piece in pieces]
    types += [1] * len(pieces)
    model.set("tokenizer.ggml.tokens", ARRAY, tokens)
    model.set("tokenizer.ggml.token_type", ARRAY, types, I32)
    model.set("llama.vocab_size", U32, len(tokens))
    embd, output = np.zeros((len(tokens), n_embd), np.float32), np.zeros((len(tokens), n_embd), np.float32)
    embd[:first, 0] = 1  # all that a prompt is made of
    for i in range(len(pieces)):
        embd[first + i, 1 + i] = 1
        output[first + i, i] = 10
    output[2, len(pieces)] = 10  # the end token after the last piece
    new = {"token_embd.weight": embd, "output.weight": output}
    for i, t in enumerate(model.tensors):
        if t.name in new:
            model.tensors[i] = Tensor(t.name, F32, new[t.name].shape, new[t.name].tobytes())
        elif t.name.endswith(("attn_output.weight", "ffn_down.weight")):
            model.tensors[i] = Tensor(t.name, F32, t.shape, bytes(len(t.data)))
        elif t.name == "output_norm.weight":
            model.tensors[i] = Tensor(t.name, F32, t.shape, np.ones(n_embd, np.float32).tobytes())
    model.set("tokenizer.ggml.eos_token_id", U32, 2)
    return model.encode()


@pytest.fixture(params=list(ANSWERS))
def reciting(request, welford, tmp_path):
    template, pieces = ANSWERS[request.param]
    path = tmp_path / f"{request.param}.gguf"
    path.write_bytes(reciting_model(pieces, template))
    with Server(welford, path, "-c", 2048) as s:
        yield s, "".join(pieces), "I look." if request.param == "hermes" else None


def ask(**more):
    return {"messages": [{"role": "user", "content": "Where is Paris?"}], "temperature": 0, "max_tokens": 50, **more}


def test_without_tools_all_is_text(reciting):
    s, text, _ = reciting
    choice = s.post(CHAT, ask()).ok().json["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": text} and choice["finish_reason"] == "stop"
    none = s.post(CHAT, ask(tools=TOOLS, tool_choice="none")).ok().json["choices"][0]
    assert none == choice


def test_calls(reciting):
    s, _, before = reciting
    choice = s.post(CHAT, ask(tools=TOOLS)).ok().json["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] == before
    [call] = choice["message"]["tool_calls"]
    assert call["type"] == "function" and call["id"] and call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"]) == {"town": "Paris"}

    chunks = [json.loads(e)["choices"][0] for e in s.stream(CHAT, ask(tools=TOOLS, stream=True))[:-1]]
    assert "".join(c["delta"].get("content") or "" for c in chunks) == (before or "")
    calls = [c for chunk in chunks for c in chunk["delta"].get("tool_calls", [])]
    assert [c["index"] for c in calls] == [0] and calls[0]["function"] == call["function"]
    assert chunks[-1]["finish_reason"] == "tool_calls"

    other = [{"type": "function", "function": {"name": "other"}}]
    text = s.post(CHAT, ask(tools=other)).ok().json["choices"][0]
    assert text["finish_reason"] == "stop" and "tool_calls" not in text["message"]


def test_the_other_interfaces(reciting):
    s, _, before = reciting
    tools = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in TOOLS]
    message = s.post("/v1/messages", ask(tools=tools)).ok().json
    use = message["content"][-1]
    assert message["stop_reason"] == "tool_use" and len(message["content"]) == (2 if before else 1)
    assert use["type"] == "tool_use" and use["name"] == "look_up" and use["input"] == {"town": "Paris"}
    events = s.named_events("/v1/messages", ask(tools=tools, stream=True))
    starts = [e for e in events if e["type"] == "content_block_start"]
    assert [e["index"] for e in starts] == list(range(len(starts))) and starts[-1]["content_block"]["name"] == "look_up"
    parts = [e["delta"]["partial_json"] for e in events if e.get("delta", {}).get("type") == "input_json_delta"]
    assert json.loads("".join(parts)) == {"town": "Paris"}
    assert sum(e["type"] == "content_block_stop" for e in events) == len(starts)

    lines = s.lines("/api/chat", {"messages": ask()["messages"], "tools": TOOLS, "options": {"temperature": 0}})
    calls = [c for l in lines for c in l["message"].get("tool_calls", [])]
    assert [c["function"] for c in calls] == [{"name": "look_up", "arguments": {"town": "Paris"}}]


def test_a_call_and_its_result_are_rendered(reciting):
    s, text, _ = reciting
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"town": "Paris"}'}}
    said = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "In France."}]
    prompt = s.post("/apply-template", {"messages": said, "tools": TOOLS}).ok().json["prompt"]
    assert "Looks a town up." in prompt and '{"town": "Paris"}' in prompt and "tool\nIn France." in prompt
    blocks = [{"role": "user", "content": "Where?"},
              {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "look_up", "input": {"town": "Paris"}}]},
              {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "In France."}]}]
    tools = [{"name": "look_up", "description": "Looks a town up.", "input_schema": TOOLS[0]["function"]["parameters"]}]
    n = s.post("/v1/messages/count_tokens", {"messages": blocks, "tools": tools}).ok().json["input_tokens"]
    assert n == len(s.post("/tokenize", {"content": prompt}).ok().json["tokens"])


def test_a_call_is_begun_for_the_model(welford, tmp_path):
    """tool_choice writes the beginning of the call, and the model goes on from there."""
    path = tmp_path / "begun.gguf"
    path.write_bytes(reciting_model(["{\"town\": \"R", "ome\"}}\n</tool", "_call>"], HERMES))
    with Server(welford, path, "-c", 2048) as s:
        choice = {"type": "function", "function": {"name": "look_up"}}
        answer = s.post(CHAT, ask(tools=TOOLS, tool_choice=choice)).ok().json["choices"][0]
        [call] = answer["message"]["tool_calls"]
        assert call["function"]["name"] == "look_up" and json.loads(call["function"]["arguments"]) == {"town": "Rome"}
        assert answer["message"]["content"] is None and answer["finish_reason"] == "tool_calls"


def test_refused(welford, tmp_path):
    path = tmp_path / "plain.gguf"
    path.write_bytes(tiny_llama(layers=1, context=2048, chat_template="{% for m in messages %}{{ m.content }}{% endfor %}").encode())
    with Server(welford, path) as s:
        assert "template" in s.post(CHAT, ask(tools=TOOLS)).refused(400, "tools")
        s.post(CHAT, ask(tools=[{"type": "function"}])).refused(400, "tools[0]")
        s.post(CHAT, ask(tools=TOOLS, tool_choice="sometimes")).refused(400, "tool_choice")
        s.post(CHAT, ask(tool_choice="required")).refused(400, "tool_choice")
        bad = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}
        s.post(CHAT, {"messages": [bad]}).refused(400, "messages[0].tool_calls")
