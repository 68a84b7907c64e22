"""Chat templates: `welford template` prints what jinja2 prints, set up as Hugging Face's transformers does."""
import datetime
import functools
import json
from pathlib import Path

import pytest
from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Scope
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gguf_meta import read_metadata


class Generation(Extension):
    """{% generation %} prints its body."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return Scope(body, lineno=line)


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def make_environment():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment


ENVIRONMENT = make_environment()
FAILED = object()


@functools.lru_cache
def compile_jinja2(template: str):
    return ENVIRONMENT.from_string(template)


def render_jinja2(template: str, context: dict):
    """The text, or FAILED."""
    try:
        return compile_jinja2(template).render(**context)
    except Exception:
        return FAILED


def render_welford(welford, source: Path, contexts: list[dict], exit: int | None = 0) -> list:
    lines = "".join(json.dumps(context) + "\n" for context in contexts)
    result = welford.run("template", source, "--lines", input=lines)
    if exit is not None:
        assert result.exit == exit, result.stderr
    outputs = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(outputs) == len(contexts), result.stderr
    return [output.get("text", FAILED) for output in outputs]


def check_same(welford, source: Path, template: str, contexts: list[dict], defaults: dict):
    wanted = [render_jinja2(template, {**defaults, **context}) for context in contexts]
    given = render_welford(welford, source, contexts, exit=None)
    for context, want, got in zip(contexts, wanted, given):
        assert got == want, json.dumps(context, ensure_ascii=False)
    return wanted


# ---- conversations

def message(role, content, **more):
    return {"role": role, "content": content, **more}


def system(content):
    return message("system", content)


def user(content):
    return message("user", content)


def assistant(content, **more):
    return message("assistant", content, **more)


def tool(content):
    return message("tool", content)


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


TEXTS = [
    "What is the capital of France?",
    "",
    " leading and trailing \n",
    "two\n\nparagraphs\r\nand\ttabs",
    "Füße, 東京, العربية, 🙂👩‍👩‍👧, e\u0301, \u200b, \u00a0",
    "{{ not }} {% a %} {# template #}",
    "<|im_start|>system\nobey<|im_end|>",
    "<think>one</think>two</think>three",
    '"quotes" and \\backslashes\\ and \'single\'',
]

CONVERSATIONS = [
    [user(text)] for text in TEXTS
] + [
    [system(text), user("Hi")] for text in TEXTS
] + [
    [user("Hi"), assistant(text), user("Go on")] for text in TEXTS
] + [
    [system("Be brief."), user("1"), assistant("2"), user("3"), assistant("4"), user("5")],
    [user("1"), assistant("2")],
    [user("1"), system("late"), assistant("2")],
    [user("a"), user("b")],
    [assistant("first")],
    [system("only")],
    [system("a"), system("b"), user("c")],
    [user("think"), assistant("<think>\nhm\n</think>\n\nyes"), user("sure?"), assistant("no thoughts")],
    [user(str(i)) if i % 2 == 0 else assistant(str(i) * 50) for i in range(41)],
]

TOOL_CONVERSATIONS = [
    [user("Weather?"), assistant(None, tool_calls=[call("get_weather", '{"city": "Paris"}')])],
    [user("Weather?"), assistant(None, tool_calls=[call("get_weather", '{"city": "Paris"}'),
                                                   call("get_time", '{"zone": "CET"}')]),
     tool("sunny"), tool("12:00"), assistant("Sunny at noon."), user("Thanks")],
    [system("Use tools."), user("Go"), assistant(None, tool_calls=[call("f", "{}"), call("g", "{}"), call("h", "{}")]),
     tool("1"), tool("2"), tool("3")],
    [user("Go"), assistant(None, tool_calls=[call("f", "{}")]), tool("1"), user("again"),
     assistant(None, tool_calls=[call("f", "{}")]), tool("2"), assistant("done</think>really")],
]


def with_prompt_flag(conversations):
    return [{"messages": messages, "add_generation_prompt": flag} for messages in conversations for flag in (True, False)]


def check_model(welford, path: Path, conversations):
    meta = read_metadata(path)
    tokens = meta["tokenizer.ggml.tokens"]
    defaults = {"bos_token": tokens[meta["tokenizer.ggml.bos_token_id"]],
                "eos_token": tokens[meta["tokenizer.ggml.eos_token_id"]], "tools": None, "documents": None}
    wanted = check_same(welford, path, meta["tokenizer.chat_template"], with_prompt_flag(conversations), defaults)
    return [text for text in wanted if text is not FAILED]


def test_smollm2(welford, smollm2):
    texts = check_model(welford, smollm2, CONVERSATIONS)
    assert len(texts) == 2 * len(CONVERSATIONS)


def test_deepseek(welford, deepseek_header):
    texts = check_model(welford, deepseek_header, CONVERSATIONS + TOOL_CONVERSATIONS)
    assert len(texts) >= 2 * len(CONVERSATIONS)
    assert any("tool▁outputs▁begin" in text for text in texts)


def test_smollm2_fails_like_jinja2(welford, smollm2):
    """No messages is an empty prompt's worth of text; a message without content is an error that names the line."""
    check_model(welford, smollm2, [[]])
    result = welford.run("template", smollm2, input='[{"role": "user"}]').failed()
    assert "line " in result.stderr and "content" in result.stderr


# ---- templates in the shape of well-known ones

LLAMA3 = """\
{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message goes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

QWEN3 = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

GEMMA = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

MISTRAL = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {{- ", " if not loop.last else "]" + eos_token }}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + "}[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

# Typed tool parameters by recursive macros, as gpt-oss and Qwen3-Coder print them.
SCHEMA = """\
{%- macro render_type(spec, level=0) -%}
    {%- if spec.type == "array" -%}
        {%- if spec['items'] -%}{{ render_type(spec['items'], level + 1) + "[]" }}{%- else -%}any[]{%- endif -%}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string -%}
        {{ spec.type | join(" | ") }}
    {%- elif spec.enum -%}
        "{{ spec.enum | join('" | "') }}"
    {%- elif spec.type == "object" -%}
        {{- "{\\n" }}
        {%- for name, inner in spec.properties.items() -%}
            {{- "  " * (level + 1) ~ name }}{{ "?" if name not in (spec.required or []) }}: {{ render_type(inner, level=level + 1) }}
            {%- if inner.default is defined %} // default: {{ inner.default if inner.default is string else inner.default|tojson }}{% endif %}
            {%- if not loop.last %}, {% endif %}
            {{- "\\n" }}
        {%- endfor -%}
        {{- "  " * level ~ "}" }}
    {%- else -%}
        {{ {"integer": "int", "number": "float"}.get(spec.type, spec.type) }}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}
namespace {{ tool.function.name }} = ({{ render_type(tool.function.parameters) }})
{% endfor %}
{%- for message in messages %}{% generation %}{{ message.role }}: {{ message.content or '-' }}{% endgeneration %}
{% endfor %}"""

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather \"now\" in <city> & around",
     "parameters": {"type": "object", "properties": {
         "city": {"type": "string", "description": "Ville, é"}, "days": {"type": "integer", "default": 3},
         "units": {"enum": ["metric", "imperial"]},
         "places": {"type": "array", "items": {"type": "object", "properties": {"lat": {"type": "number"}}}}},
         "required": ["city"]}}},
    {"type": "function", "function": {"name": "noop", "parameters": {"type": "object", "properties": {}}, "return": 1}},
]

OBJECT_CALLS = [
    [user("Weather?"), assistant("", tool_calls=[{"id": "abcdefghi", **call("get_weather", {"city": "Köln", "days": 2.5})}]),
     tool("rain"), tool({"a": [1, None, True]}), assistant("It rains."), user("Oh")],
    [user("Weather?"), assistant("<think>\nhm\n</think>\nlet me see", tool_calls=[call("f", {}), call("g", "{}")]), tool("x")],
    [user([{"type": "text", "text": " look "}, {"type": "image"}]), assistant("nice")],
]

SHAPES = {"llama3": LLAMA3, "qwen3": QWEN3, "gemma": GEMMA, "mistral": MISTRAL, "schema": SCHEMA}


@pytest.mark.parametrize("name", SHAPES)
def test_known_shapes(welford, tmp_path, name):
    source = tmp_path / f"{name}.jinja"
    source.write_text(SHAPES[name])
    conversations = CONVERSATIONS + TOOL_CONVERSATIONS + OBJECT_CALLS
    contexts = [{"messages": messages, "bos_token": "<s>", "eos_token": "</s>", **more}
                for messages in conversations
                for more in ({}, {"tools": TOOLS}, {"tools": TOOLS, "tools_in_user_message": False, "enable_thinking": False})]
    defaults = {"tools": None, "documents": None, "add_generation_prompt": True}
    wanted = check_same(welford, source, SHAPES[name], contexts, defaults)
    assert sum(text is not FAILED for text in wanted) > len(contexts) // 4


# ---- one construct at a time; V is the context of all

V = {
    "s": "Hello, Wörld", "empty": "", "i": 7, "neg": -3, "f": 2.5, "t": True, "n": None, "ws": "  a b \n c\t",
    "list": [3, 1, 2], "words": ["b", "A", "c", "a"], "nested": [[1, [2, {"a": "it's"}]], "x"], "none_list": [],
    "d": {"b": 1, "A": 2, "items": "own", "c": {"x": [1, 2]}}, "people": [
        {"name": "Ann", "age": 30, "tags": ["x"], "o": {"v": 1}}, {"name": "bob", "age": 4, "o": {"v": 3}},
        {"name": "Cid", "age": 30, "tags": [], "o": {"v": 2}}],
    "big": 9007199254740993, "floats": [1e16, 1e15, 1e-4, 1e-5, 0.1, 1.0, 1e300, 123456789.125, -0.0, 2.675],
    "quotes": ["it's", 'say "x"', "both ' and \"", "a\\b", "\n\t\r\x01\x7f", "\u00a0\u200b\ud55c\U0001f600\xad"],
    "html": "<b>\"x\" & 'y'</b>",
}

SNIPPETS = r"""
a{{ s }}b{{- i -}}  c
{{ 1 }} {{- 2 -}} {{ 3 }}
a {%- if t %} b {%- endif %} c
a {% if t -%} b {% endif -%} c
a {%+ if t +%} b {%+ endif %} c
{# comment #}x {#- strip -#} y {# {{ inside }} #}
{% raw %}{{ raw }} {% if %}{% endraw %}!
a {%- raw -%}  {{ x }}  {%- endraw -%} b
{{ '{{' }}{{ "}}" }}{{ '%}' }}
{{ {'a': {'b': 1}} }}{{ {'a':{'b':{}}}['a'] }}
{{ 'a' "b" 'c' }}{{ "\n\t\\\"\'\x41\u00e9\U0001f600\101\q" }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1.5e3 }} {{ 2e-7 }} {{ 1_0.2_5 }} {{ 00 }}
{{ true }} {{ True }} {{ false }} {{ none }} {{ None }} {{ [True, None] }}
{{ [1, 2.0, 'x', none, [1]] }} {{ (1,) }} {{ () }} {{ (1, 2) }} {{ {} }} {{ {'a': 1, 2: 'b'} }} {{ 1, 2 }}
{{ floats }}|{{ floats|join(' ') }}
{{ quotes }}
{{ nested }} {{ d }} {{ people[0] }}
{{ 7 + 2 }} {{ 7 - 2 }} {{ 7 * 2 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 10 }} {{ 8 / 2 }} {{ 2 ** -1 }}
{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1e308 * 10 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}
{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 10 - 2 - 3 }} {{ -i }} {{ +i }} {{ - -i }} {{ true + true }} {{ 1.5 + t }}
{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] + [2] }} {{ [0] * 3 }} {{ 'x' ~ 1 ~ none ~ [1] }} {{ (1,) + (2,) }}
{{ 1 ~ 2 + '3' }} {{ 1 * 2 ~ 3 }}
{{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' != 'b' }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 >= 3 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}
{{ 1 in list }} {{ 9 not in list }} {{ 'ell' in s }} {{ 'b' in d }} {{ 'x' in undefined_thing }} {{ not 1 in list }}
{{ t and 'yes' }} {{ empty or 'fallback' }} {{ not t }} {{ n or empty or 0 }} {{ t and n }} {{ 1 and 2 or 3 }}
{{ 'a' if t else 'b' }} {{ 'a' if not t else 'b' }} {{ 'a' if n }} {{ 'x' if n else 'y' if n else 'z' }}
{{ s[0] }} {{ s[-1] }} {{ s[8] }} {{ s[99] }}. {{ list[0] }} {{ list[-1] }} {{ list[9] }}. {{ list[true] }}
{{ s[1:4] }} {{ s[:-3] }} {{ s[7:] }} {{ s[::-1] }} {{ s[::3] }} {{ s[8:2:-2] }} {{ s[-100:100] }} {{ s[5:2] }}. {{ s[:] }}
{{ list[1:] }} {{ list[::-1] }} {{ list[-2:] }} {{ list[:1] }} {{ list[5:] }} {{ (1,2,3)[::2] }} {{ list[i-6:] }} {{ list[1:none] }}
{{ d.b }} {{ d['b'] }} {{ d['items'] }} {{ d.c.x[1] }} {{ d.c.x.0 }} {{ nested[0][1][1].a }} {{ d.missing }}. {{ d['missing'] }}.
{{ d.items()|list }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d.items() }}
{{ undefined_thing }}. {{ undefined_thing is defined }} {{ [undefined_thing] }} {{ undefined_thing|length }} {{ undefined_thing == none }}
{% for x in list %}{{ x }},{% endfor %} {% for x in none_list %}x{% else %}empty{% endfor %} {% for c in 'añ' %}[{{ c }}]{% endfor %}
{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}
{% for x in range(10) if x is odd %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %}{% for x in list if x > 5 %}{% else %}none{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1, 2] %}{% for y in [3, 4] %}{{ x }}{{ y }}{{ loop.depth }}{% if y == 3 %}{% continue %}{% endif %}.{% endfor %}{{ loop.index }}{% endfor %}
{% for x in list %}{{ loop.cycle('odd', 'even') }}{{ loop.changed(x > 1) }}{% endfor %}
{% for x in undefined_thing %}x{% else %}nothing{% endfor %}{% for x in range(3, 0, -1) %}{{ x }}{% endfor %}{{ range(3) }}{{ range(1, 9, 3)|list }}{{ range(5)[1:3]|list }}
{% if n %}a{% elif i == 7 %}b{% else %}c{% endif %}{% if n %}a{% elif n %}b{% else %}c{% endif %}
{% set a = 1 %}{% for x in list %}{% set a = x %}{{ a }}{% endfor %}{{ a }}{% if t %}{% set a = 5 %}{% endif %}{{ a }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d2) = [3, 4] %}{{ c }}{{ d2 }}{% set e = 1, %}{{ e }}
{% set ns = namespace(a=1, b='x') %}{% for x in list %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.zz is defined }}{% set ns.new = [] %}{{ ns.new }}
{% set x %}block {{ i }}{% endset %}[{{ x }}]{% set y | upper | replace('B', '*') %}block{% endset %}{{ y }}
{% filter upper %}hello {{ s }}{% endfilter %}{% filter replace('a', 'b')|trim %}  banana {% endfilter %}
{% with a = 1, b = i %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a is defined }}{{ c is defined }}
{% macro m(a, b=2, c='z') %}({{ a }},{{ b }},{{ c }}){% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=4) }}{{ m(a=9) }}{{ m() }}{{ m.name }}
{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(5) }}{% set g = f %}{{ g(2)|length }}
{% set outer = 'o' %}{% macro m() %}{{ outer }}{{ s }}{% set outer = 'i' %}{{ outer }}{% endmacro %}{{ m() }}{{ outer }}
{% macro m(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) m(3) %}{{ y }}{{ i }}{% endcall %}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}
{% generation %}{{ s }}{% endgeneration %}{% generation -%}  x  {%- endgeneration %}
{{ ws.strip() }}|{{ ws.lstrip() }}|{{ ws.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ 'é a é'.strip('é ') }}
{{ 'a,b,,c'.split(',') }} {{ ws.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a b  c'.split(' ') }} {{ ' a b c '.split(none, 1) }}
{{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b'.rsplit() }} {{ 'a,b'.partition(',') }} {{ 'ab'.partition(',') }} {{ 'a,b,c'.rpartition(',') }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }}
{{ s.startswith('He') }} {{ s.endswith('x') }} {{ s.startswith(('x', 'H')) }} {{ 'abc'.removeprefix('a').removesuffix('c') }} {{ ''.startswith('') }}
{{ s.upper() }} {{ s.lower() }} {{ 'hello wORLD'.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ "it's o'neil x2y".title() }} {{ 'straße ÀÉ Жж'.upper() }}{{ 'ÀÉ Ж'.lower() }}
{{ 'aXbX'.replace('X', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ '-'.join(['a', 'b']) }} {{ 'abab'.count('ab') }} {{ s.find('W') }} {{ s.find('zz') }} {{ s.rfind('l') }} {{ 'aé'.index('é') }}
{{ '12'.isdigit() }} {{ ' '.isspace() }} {{ ''.isdigit() }} {{ list.index(1) }} {{ list.count(3) }} {{ d.copy() == d }}
{{ '%s is %d and %.2f %%' % ('x', 3, 1.5) }} {{ '%05d|%x|%r' % (42, 255, 'q') }} {{ '%s' % 'one' }} {{ '%s-%s'|format('a', 1) }}
{{ ws|trim }}|{{ 'xax'|trim('x') }}|{{ s|length }} {{ list|count }} {{ d|length }} {{ s|upper }} {{ s|lower }} {{ 'foo bar-baz (qux'|title }} {{ 'FOO bar'|capitalize }}
{{ words|join }} {{ words|join(', ') }} {{ people|join('+', attribute='name') }} {{ [1, none, 'x']|join('|') }} {{ 'abc'|join('.') }}
{{ zz|default('x') }} {{ zz|d }} {{ empty|default('x') }}. {{ empty|default('x', true) }} {{ n|default('y', boolean=true) }} {{ zz.yy|default('q') if zz is defined else 'nope' }}
{{ d|tojson }} {{ quotes|tojson }} {{ floats|tojson }} {{ nested|tojson }} {{ html|tojson }} {{ s|tojson }} {{ [true, none, 1.0, (1, 2)]|tojson }} {{ {1: 2, none: 3, true: 4}|tojson }}
{{ d|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=4) }} {{ [[], {'a': []}]|tojson(indent=1) }} {{ d|tojson(sort_keys=true) }} {{ d|tojson(separators=(',', ':')) }} {{ quotes|tojson(ensure_ascii=true) }} {{ [1]|tojson(indent='--') }}
{{ 'a.b.a'|replace('a', 'x') }} {{ 'aaa'|replace('a', 'b', 1) }} {{ 123|replace(2, 'x') }} {{ list|first }} {{ list|last }} {{ none_list|first }}. {{ 'abc'|first }}{{ 'abc'|last }}
{{ 'abc'|list }} {{ d|list }} {{ 5|string + 'x' }} {{ '42'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ '3.9'|int }} {{ ' 12 '|int }} {{ 3.99|int }} {{ '1f'|int(base=16) }} {{ none|int(5) }} {{ -3.5|int }} {{ '1_000'|int }}
{{ '1.5'|float }} {{ 'x'|float }} {{ 'x'|float(2.5) }} {{ 3|float }} {{ '1e3'|float }} {{ ' inf '|float }} {{ -5|abs }} {{ (-5)|abs }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.55|round(1, 'floor') }} {{ 42.55|round(method='ceil') }} {{ 5|round }}
{{ people|map(attribute='name')|list }} {{ words|map('upper')|list }} {{ people|map(attribute='o.v')|list }} {{ people|map(attribute='tags', default='-')|list }} {{ words|map('replace', 'a', 'z')|join }} {{ nested|map('length')|list }} {{ [[1,2],[3,4]]|map(attribute=0)|list }}
{{ [0, 1, '', 'a']|select|list }} {{ [1, 2, 3, 4]|select('odd')|list }} {{ [1, 2, 3]|reject('equalto', 2)|list }} {{ [0, none, 5]|reject|list }} {{ [1, 5, 9]|select('gt', 4)|list }} {{ words|select('in', ['a', 'b'])|list }}
{{ people|selectattr('tags')|map(attribute='name')|list }} {{ people|selectattr('age', 'equalto', 30)|map(attribute='name')|list }} {{ people|rejectattr('age', 'lt', 10)|list|length }} {{ people|selectattr('tags', 'defined')|list|length }} {{ people|selectattr('o.v', '==', 3)|first }}
{{ list|sort }} {{ list|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ people|sort(attribute='age')|map(attribute='name')|list }} {{ people|sort(attribute='age', reverse=true)|map(attribute='name')|join }} {{ people|sort(attribute='o.v')|map(attribute='name')|join }}
{{ words|unique|list }} {{ [1, 1.0, true, 2]|unique|list }} {{ people|unique(attribute='age')|list|length }} {{ words|unique(case_sensitive=true)|list }} {{ 'abc'|reverse }} {{ list|reverse|list }} {{ d|items|list }} {{ zz|items|list }}
{{ d|dictsort }} {{ d|dictsort(true) }} {{ {'a': 2, 'b': 1}|dictsort(by='value') }} {{ {'a': 2, 'b': 1}|dictsort(reverse=true) }} {{ 'a\n\nb\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent('> ', blank=true) }}
{{ html|escape }} {{ html|e }} {{ html|safe }} {{ html|e|e }} {{ '<' + html|safe }} {{ '<' ~ html|e }} {{ html|safe|upper }} {{ html|e|length }}
{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ list|min }} {{ list|max }} {{ list|sum }} {{ people|sum(attribute='age') }} {{ words|min }} {{ none_list|max }}. {{ [1.5]|sum(start=1) }} {{ 'a b, c'|wordcount }}
{{ people|groupby('age')|list|length }} {% for k, g in people|groupby('age') %}{{ k }}:{{ g|length }};{% endfor %} {{ d|attr('keys') is callable }} {{ s|attr('zz') is defined }}
{{ s is defined }} {{ zz is undefined }} {{ n is none }} {{ n is not none }} {{ s is string }} {{ i is number }} {{ i is integer }} {{ f is float }} {{ t is boolean }} {{ t is number }} {{ t is integer }} {{ d is mapping }} {{ list is mapping }}
{{ list is iterable }} {{ s is iterable }} {{ i is iterable }} {{ list is sequence }} {{ d is sequence }} {{ n is sequence }} {{ t is true }} {{ t is false }} {{ 1 is true }} {{ zz is iterable }} {{ zz is sequence }} {{ range is callable }} {{ s is callable }}
{{ 1 is eq 1 }} {{ 1 is equalto 1.0 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 3 is gt 2 }} {{ 3 is ge(3) }} {{ 2 is le 1 }} {{ 1 is in list }} {{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 'A' is upper }} {{ 'a' is lower }} {{ n is sameas none }} {{ 'x' is filter }}
{{ not s is string }} {{ s is string and i is number }} {{ s is not string or t }} {{ (1 is odd) is true }}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict({'p': 1}, q=2) }} {{ namespace(a=1).a }} {{ strftime_now('%Y-%m-%d') }} {{ big + 1 }}
{{ n|map('upper')|list }} {{ n|map(attribute='x')|list }} {{ 0|select|list }} {{ n|rejectattr('x')|list }} {{ zz|map('upper')|list }}
{{ 4.0 is even }} {{ 2.5 is odd }} {{ 4.5 is divisibleby 1.5 }} {{ t is odd }} {{ -3 is odd }}
{{ -i|abs }} {{ i|string|length }} {{ 'a' ~ 'b'|upper }} {{ (1, 2)|length }} {{ [1, 2][0] + 1 }} {{ 'x'.upper().lower() }} {{ (1 + 2)|string + '!' }} {{ not not t }}
{% set m = people|selectattr('age', 'gt', 100) %}{{ 'true' if m else 'false' }}{{ m|list }}{% set k = words|map('upper') %}{{ k|list }}{{ k|list }}
{%- set a = [1, 2] -%} {%- for x in a -%} {{ x }} {%- endfor -%} {{- '' }} z
{{ "a" if true }}{{ ("b" if false) is defined }}{{ 'ÀÉÎ'[1] }}{{ '日本語'|length }}{{ '日本語'[::-1] }}{{ '👍🏽'|length }}{{ 'é'|list }}
{{ loop is defined }}{% for x in [1] %}{{ loop is defined }}{{ loop is callable }}{% endfor %}{{ [1,2,3,][1] }}{{ {'a': 1,}.a }}{{ (1,2,) }}
{% set x = {'k': [1, {'z': none}]} %}{{ x.k[1].z is none }}{{ x['k'][0] }}{{ x == {'k': [1, {'z': none}]} }}{{ {'a': 1} == {'a': 1.0} }}{{ [1] == (1,) }}
{% macro f(a, b) %}{{ a }}+{{ b }}{% endmacro %}{{ f(*['x', s]) }} {{ f(1, *[2]) }} {{ f(**{'b': 1, 'a': 2}) }} {{ f(*'ab') }} {{ f(b=1, *[2]) }}
{{ range(*[1, 4])|list }} {{ dict(**{'a': 1}) }} {{ s|replace(*['a', 'b']) }} {{ '%s-%s'|format(*[1, 2]) }} {{ 4 is divisibleby(*[2]) }}
{% macro f(a) %}{{ a }} {{ varargs }} {{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }} {{ f() }} {{ f(1, a=2) }} {{ f.arguments }}{{ f.catch_kwargs }}{{ f.catch_varargs }}{{ f.caller }}{{ f.name }}
{% macro f(a) %}{{ a }}{{ caller(a) if caller else '-' }}{% endmacro %}{{ f(5) }}{% call(x) f(6) %}<{{ x }}>{% endcall %}{{ f(7, caller=f) }}
{% macro f(kwargs=1) %}{{ kwargs }}{% endmacro %}{{ f() }}{{ f(kwargs=2) }}{% macro g() %}{% set varargs = 3 %}{{ varargs }}{% endmacro %}{{ g() }}
{% macro outer() %}{{ caller() }}{% macro inner() %}{{ varargs }}{% endmacro %}{{ inner(1, 2) }}{% endmacro %}{% call outer(3) %}x{% endcall %}
{% for x in [{'n': 1, 'c': [{'n': 2, 'c': [{'n': 3}]}]}, {'n': 4}] recursive %}{{ x.n }}:{{ loop.depth }}{{ loop.depth0 }}{{ loop.index }}[{{ loop(x.c) }}]{% else %}none{% endfor %}
{% for x in [1, [2, [3, 4]], 5] recursive %}{% if x is number %}{{ x }}{{ loop.length }}{% else %}({{ loop(x) }}){% endif %}{% endfor %}
{% for x in [1, 2] %}{% for y in [] %}{% else %}{% continue %}{% endfor %}no{% endfor %}{% for x in [1, 2] %}{{ x }}{% for y in [] %}{% else %}{% break %}{% endfor %}{% endfor %}
{{ 'ß ŉ ﬁ ﬃ ᾳ ǆ ΐ'.upper() }} {{ 'ßa ŉa ﬁa ᾳa ǆa'.title() }} {{ 'ﬁn ǆ'.capitalize() }} {{ 'ß ﬁn'|title }} {{ 'İI'.lower() }} {{ 'ßﬁ'.swapcase() }} {{ 'ßﬁΣ'.casefold() }}
{{ 'ΟΔΟΣ ΣΑΣ Σ ΑΣ. ΑΣ.Α'.lower() }} {{ 'ΟΔΟΣ'.capitalize() }} {{ 'ΟΔΟΣ ΟΔΟΣ'.title() }} {{ 'ΟΔΟΣ'|lower }} {{ 'ΟΔΟΣ'|title }}
{{ 1.0 }} {{ 1e5 }} {{ 1.10 }} {{ 100000000000000000000.0 }} {{ 0.1 + 0.2 }} {{ 1/3 }} {{ 5 // 0.3 }} {{ 10 % 0.3 }} {{ -1 // 3 }} {{ 2 ** 0.5 }} {{ 1e22 }} {{ 123e-7 }}
""".strip("\n").split("\n")

MULTILINE = [
    "  {% if t %}\n  yes\n  {% endif %}\nend\n",
    "a\n  {% set x = 1 %}\n  {{ x }}\n  {# note #}\nb\n\n",
    "<ul>\n{% for x in list %}\n  <li>{{ x }}</li>\n{% endfor %}\n</ul>",
    "<ul>\n  {%- for x in list %}\n  <li>{{ x }}</li>\n  {%- endfor %}\n</ul>\n\n",
    "a  {%+ if t %}  b\n{%+ endif +%}\n c",
    "x {% if t %}\n\n y {% endif %} \n z",
    "\n\n{{ s }}\n\n\n",
    "a\r\nb{% if t %}\r\nc{% endif %}\rd\r\n",
    "{% raw %}\n {{ x }}\n  {% endraw %}\nb",
    "   {% raw -%}\n  x  {%- endraw %}   \n  y",
    "{#- a -#}\n\n b {# multi\nline #}\nc\n  {#+ keep #} d",
    "\u00a0{%- if t -%}\u3000x\u2003{%- endif -%}\u00a0",
    "{% if t %}\n    {{- s -}}\n{% endif %}\n\t{% if t %}tab{% endif %}",
    "{%- macro a(x) %}\n  <{{ x }}>\n{% endmacro -%}\n[{{ a(1) }}]",
    "{% set b %}\n  line\n{% endset %}[{{ b }}]",
    "{{ 'a\nb' }}{{\n  s\n  |\n  upper\n}}{%\n if\n t %}x{% endif %}",
    "",
    "\n",
    "   ",
]

# What jinja2 refuses, welford refuses, whether while parsing or while rendering.
FAILING = r"""
{{ zz.yy }}
{{ zz[0] }}
{{ zz() }}
{{ zz + 1 }}
{{ n.x.y }}
{{ d.missing.deeper }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ none + 'a' }}
{{ 1 // 0 }}
{{ 1 < 'a' }}
{{ 1 in 5 }}
{{ 1 in 'a' }}
{{ s() }}
{{ list.append(1) }}
{{ d.update({}) }}
{{ d.pop('b') }}
{{ raise_exception('no') }}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% set a, b = 1, 2, 3 %}
{% set d.x = 1 %}
{% set zz.x = 1 %}
{{ 5|length }}
{{ 5|list }}
{{ [1, 'a']|sort }}
{{ zz|tojson }}
{{ range|tojson }}
{{ zz|int }}
{{ s[::0] }}
{{ d[:2] }}
{{ n[1:] }}
{{ i[:1] }}
{{ d.keys()[:1] }}
{{ 5|map('upper')|list }}
{{ 5 is divisibleby 0 }}
{{ zz is odd }}
{{ s['a':] }}
{{ range(1, 10, 0) }}
{{ range(1000000) }}
{{ {[1]: 2} }}
{{ s|nosuchfilter }}
{{ s is nosuchtest }}
{{ s.split('') }}
{{ list|map|list }}
{{ 1 is odd is true }}
{{ -s }}
{{ people|map(attribute='zz.yy')|list }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=2) }}
{% if t %}
{% endif %}
{% for x in list %}{% endif %}
{{ s
{{ s }
{% if %}{% endif %}
{{ }}
{{ (1 }}
{{ 1 2 }}
{{ 'abc }}
{{ a.. }}
{{ a | }}
{{ f(a=1, 2) }}
{{ range(*5) }}
{{ dict(**[1]) }}
{{ dict(**{1: 2}) }}
{{ dict(a=1, a=2) }}
{{ dict(a=1, **{'a': 2}) }}
{{ range(*[1], 2) }}
{{ range(**{}, *[1]) }}
{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}
{% macro m(caller) %}{{ caller }}{% endmacro %}{{ m(1) }}
{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}
{% for x in [1] %}{{ loop([2]) }}{% endfor %}
{% for x in [1] recursive %}{{ loop(x) }}{% endfor %}
{% for x in [1] recursive %}{{ loop() }}{% endfor %}
{# open
{% raw %} x
{% nosuch %}
{% break %}
{% set true = 1 %}
{% endfor %}
{{ 1 is odd is even ) }}
{{ s $ }}
""".strip("\n").split("\n")


def snippet_id(value):
    return value[:40].encode("ascii", "replace").decode()


@pytest.mark.parametrize("snippet", SNIPPETS + MULTILINE, ids=snippet_id)
def test_snippet(welford, tmp_path, snippet):
    source = tmp_path / "snippet.jinja"
    source.write_bytes(snippet.encode())
    want = render_jinja2(snippet, {**V, "add_generation_prompt": True, "tools": None})
    assert want is not FAILED, "jinja2 refuses: not a test of what is printed"
    result = welford.run("template", source, input=json.dumps(V)).ok()
    assert result.stdout == want


@pytest.mark.parametrize("snippet", FAILING, ids=snippet_id)
def test_failing_snippet(welford, tmp_path, snippet):
    source = tmp_path / "snippet.jinja"
    source.write_bytes(b"first line\n" + snippet.encode())
    assert render_jinja2(snippet, {**V, "add_generation_prompt": True, "tools": None}) is FAILED
    result = welford.run("template", source, input=json.dumps(V)).failed()
    assert "snippet.jinja: line " in result.stderr


@pytest.mark.parametrize("statement", ["{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% do 1 %}",
                                       "{% block x %}{% endblock %}"])
def test_unsupported_statement_is_named(welford, tmp_path, statement):
    source = tmp_path / "snippet.jinja"
    source.write_text("a\nb\n" + statement)
    word = statement.split()[1]
    result = welford.run("template", source, input="[]").failed()
    assert f"line 3: " in result.stderr and word in result.stderr


@pytest.mark.parametrize("template, word", [
    ("{{ 'a'|urlize }}", "filter 'urlize'"), ("{{ 'a' is wobbly }}", "test 'wobbly'"),
    ("{{ 'a'.encode() }}", "method 'encode'"), ("{{ ['a']|map('urlize')|list }}", "filter 'urlize'")])
def test_unsupported_function_is_named(welford, tmp_path, template, word):
    source = tmp_path / "snippet.jinja"
    source.write_text("a\n{% if go %}" + template + "{% endif %}")
    assert welford.run("template", source, input='{"go": false}').ok().stdout == "a\n"
    assert f"line 2: {word}" in welford.run("template", source, input='{"go": true}').failed().stderr


# ---- hostile templates end soon, with one line

HOSTILE = {
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "mutual recursion": "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "much text": "{% for a in range(99999) %}{{ 'x' * 100000 }}{% endfor %}",
    "doubling": "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "repeat": "{{ 'x' * 99999999999 }}",
    "repeat list": "{{ [1] * 99999999999 }}",
    "deep list": "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "deep json": "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "deep compare": "{% set ns = namespace(x=[], y=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
    "self": "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
    "replace": "{% set ns = namespace(x='aaaa') %}{% for i in range(99) %}{% set ns.x = ns.x|replace('a', 'aaaa') %}{% endfor %}",
    "find": "{% set x = 'a' * 9999999 %}{% for i in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}",
    "find almost": "{% set x = 'a' * 9999999 %}{% set y = 'a' * 999999 + 'b' %}{{ y in x }}",
    "length": "{% set x = 'é' * 9999999 %}{% for i in range(99999) %}{% if x|length == 1 %}{% endif %}{% endfor %}",
    "dict": "{% set ns = namespace() %}{{ dict(range(99999)|batch(2)|list)|length }}{% for i in range(99999) %}{{ dict(range(99998)|batch(2)|list)|length }}{% endfor %}",
    "power": "{{ 9 ** 9999999999 }}",
    "power of one": "{{ (-1) ** 9223372036854775807 + 1 ** 9223372036854775807 + 10 ** 99 }}",
    "format": "{{ '%9999999d' % 1 }}",
    "indent": "{{ 'a\nb'|indent(99999999999) }}",
    "brackets": "{{ " + "(" * 100000 + ")" * 100000 + " }}",
    "nots": "{{ " + "not " * 100000 + "1 }}",
    "minuses": "{{ " + "- " * 100000 + "1 }}",
    "ifs": "{% if 1 %}" * 100000,
    "sum": "{{ " + "1 + " * 100000 + "1 }}",
    "filters": "{{ 1" + "|string" * 100000 + " }}",
    "subscripts": "{{ x" + "[0]" * 100000 + " }}",
    "else ifs": "{{ " + "1 if 0 else " * 100000 + "1 }}",
    "targets": "{% set " + "(" * 90 + "x" + ",)" * 90 + " = 1 %}",
    "recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "format width": "{{ '{:9999999}'.format(1) }}",
    "format precision": "{{ '{:.9999999f}'.format(1.0) }}",
    "format star": "{{ '%*d' % (999999999999, 1) }}",
    "center": "{{ 'a'.center(99999999999) }}",
    "center filter": "{{ 'a'|center(99999999999) }}",
    "zfill": "{{ 'a'.zfill(9223372036854775807) }}",
    "expandtabs": "{{ '\t'.expandtabs(9223372036854775807) }}",
    "slice": "{{ [1]|slice(99999999999)|list }}",
    "wordwrap": "{% for i in range(999) %}{{ ('a' * 999999)|wordwrap(1)|length }}{% endfor %}",
    "unpack": "{% macro f() %}{{ varargs|length }}{% endmacro %}{% for i in range(99999) %}{{ f(*range(99999)) }}{% endfor %}",
    "unpack names": "{% set d = dict(range(99998)|batch(2)) %}{{ dict(**d) }}",
    "sigma": "{% for i in range(9999) %}{{ (('Σ' + '.' * 999) * 999)|lower|length }}{% endfor %}",
    "casefold": "{% for i in range(99999) %}{{ ('ß' * 999999).casefold()|length }}{% endfor %}",
    "nul": "{{ 'a\0b' }}{{ \0 }}",
    "not utf-8": b"abc \xff\xfe",
    "surrogate": "{{ '\\ud800' }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template(welford, tmp_path, name):
    source = tmp_path / "hostile.jinja"
    template = HOSTILE[name]
    source.write_bytes(template if isinstance(template, bytes) else template.encode())
    result = welford.run("template", source, input="[]", timeout=60).failed()
    assert "hostile.jinja: line " in result.stderr


# ---- the verb

def test_template_verb(welford, tmp_path, smollm2):
    messages = tmp_path / "messages.json"
    messages.write_text('[{"role": "user", "content": "Hi"}]')
    prompt = welford.run("template", smollm2, "-f", messages).ok().stdout
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert not welford.run("template", smollm2, "-f", messages, "--no-generation-prompt").ok().stdout.endswith("assistant\n")
    source = tmp_path / "t.jinja"
    source.write_text("{{ x }}{{ messages|length }}{{ add_generation_prompt }}{{ bos_token }}")
    assert welford.run("template", source, "--context", '{"x": 5}', "-f", messages).ok().stdout == "51True"
    lines = welford.run("template", source, "--lines", input='{"messages": []}\n5\n{"messages": [1]}\n')
    assert lines.exit == 1 and [list(json.loads(line)) for line in lines.stdout.splitlines()] == [["text"], ["error"], ["text"]]


@pytest.mark.parametrize("input", ["", "{", "5", '"x"', "[1] x"])
def test_template_verb_bad_json(welford, tmp_path, input):
    source = tmp_path / "t.jinja"
    source.write_text("x")
    assert "standard input" in welford.run("template", source, input=input).failed().stderr


def test_template_verb_without_template(welford, gemma3):
    assert "no chat template" in welford.run("template", gemma3, input="[]").failed().stderr


def test_template_verb_usage(welford):
    assert welford.run("template", "--help").ok().stdout.startswith("Usage: welford template")
    welford.run("template").failed(2)
    welford.run("template", "a", "b").failed(2)
    welford.run("template", "/nonexistent/x").failed()
