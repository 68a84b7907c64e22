"""Random Jinja templates: what jinja2 prints or refuses, welford prints or refuses.

    python jinja_fuzz.py [--seed N] [--count N]      compare on N templates
    python jinja_fuzz.py --write N                   write N of them with jinja2's answers to golden/jinja_cases.json

The table is checked by test_jinja_cases.py, which needs no jinja2.
"""
import argparse
import concurrent.futures
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLE = HERE / "golden" / "jinja_cases.json"
# What welford refuses by name though Python computes it; slices of constants that have none, which jinja2's optimizer
# makes undefined where it fails on the same values of variables.
REFUSED = re.compile(r"beyond 64 bits|complex number|filter '(pprint|random|urlize)'|method '(encode|translate|maketrans)'"
                     r"|cannot be sliced|more than|printing a part of a range|grows beyond|wider than")

CONTEXT = {
    "s": "Hello, World! it's <b>x</b> & y-z", "u": "Straße éÀ 東京 🙂 ǆ", "w": "  two  words\n and\tmore \n", "e": "", "d1": "42", "dash": "a-b--c well-known x_1",
    "i": 7, "z": 0, "neg": -3, "big": 1234567, "f": 2.5, "g": -0.1, "h": 1e16, "t": True, "n": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "mixed": [1, "a", None, 2.5, True, [1]], "el": [],
    "d": {"b": 1, "a": 2, "C": 3}, "nested": {"x": {"y": [1, {"z": "deep"}]}, "items": "own", "k": None},
    "people": [{"name": "Bob", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25, "tags": []}, {"name": "Cy", "age": 30}],
}


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.oddity = self.r.choice([0, 0.04, 0.2])

    def pick(self, *options):
        return self.r.choice(options)

    def maybe(self, text, chance=0.5):
        return text if self.r.random() < chance else ""

    # ---- literals

    def small(self):
        return self.pick("0", "1", "2", "3", "5", "10", "-1", "-2", "i", "z", "neg")

    def name(self):
        return self.pick("x", "y", "name", "age", "a", "b")

    def letters(self):
        return self.pick("''", "' '", "','", "'a'", "'b'", "'l'", "'x'", "'-'", "'lo'", "'ß'", "'A'", "'é'", "'\\n'", "'ab'", "'Hello'", "'<'", "'0'")

    def args(self, *options):
        """A random beginning of the arguments, now and then one too many or with an odd type."""
        kept = list(options[:self.r.randint(0, len(options))])
        if self.r.random() < 0.03:
            kept.append(self.any(0))
        return ", ".join(kept)

    # ---- typed expressions

    def any(self, depth):
        return self.pick(self.integer, self.real, self.string, self.list, self.dict, self.boolean, self.sundry)(depth)

    def sundry(self, depth):
        return self.pick("none", "undefined_name", "nested.k", "nested.nothing", "range(3)", "d.items()", "d.keys()", "(1, 2)", "('a',)", "()", "mixed", "namespace(a=1)", "people[0]", "people", "(l|map('string'))")

    def other(self, wanted, depth):
        """Mostly the wanted type."""
        return self.any(depth - 1) if self.r.random() < self.oddity else wanted(depth - 1)

    def integer(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.3:
            return self.pick(self.small(), str(r.randint(-20, 2000)), "big", "1_000", "0x1F", "0b101", "0o17", "l[0]", "d.a", "d['b']", "true")
        I, S, L = (lambda: self.other(self.integer, depth)), (lambda: self.other(self.string, depth)), (lambda: self.other(self.list, depth))
        return self.pick(
            lambda: f"({I()} {self.pick('+', '-', '*', '//', '%')} {I()})",
            lambda: f"({self.small()} ** {self.pick('0', '1', '2', '3')})",
            lambda: f"-{I()}", lambda: f"({S()}|length)", lambda: f"({L()}|{self.pick('length', 'count', 'sum', 'first', 'last', 'min', 'max')})",
            lambda: f"{S()}.{self.pick('count', 'find', 'rfind', 'index', 'rindex')}({self.letters()}{self.maybe(', ' + self.small(), 0.3)})",
            lambda: f"({S()}|wordcount)", lambda: f"({self.any(depth - 1)}|int({self.args(self.small(), self.pick('2', '8', '10', '16', '36'))}))",
            lambda: f"({I()}|abs)", lambda: f"{L()}.{self.pick('index', 'count')}({self.any(depth - 2)})",
            lambda: f"({I()} if {self.boolean(depth - 1)} else {I()})", lambda: f"(people|sum(attribute='age'))")()

    def real(self, depth):
        if depth <= 0 or self.r.random() < 0.3:
            return self.pick("f", "g", "h", "1.5", "1e3", "2.0", "0.1", "1e-7", "123456789.123", "1_0.5", "-0.0", "1e100")
        N = lambda: self.other(self.pick(self.integer, self.real), depth)
        return self.pick(
            lambda: f"({N()} {self.pick('+', '-', '*', '/', '//', '%')} {self.other(self.real, depth)})",
            lambda: f"({self.integer(depth - 1)} / {N()})", lambda: f"({N()}|round({self.args(self.pick('0', '1', '2', '3'), self.pick(chr(39) + 'floor' + chr(39), chr(39) + 'ceil' + chr(39), chr(39) + 'common' + chr(39)))}))",
            lambda: f"({self.any(depth - 1)}|float{self.maybe('(1.5)', 0.3)})", lambda: f"(2 ** -{self.pick('1', '2')})", lambda: f"-{self.real(depth - 1)}")()

    def format_spec(self):
        return (self.maybe(self.pick("*", "0", "é", "")  + self.pick("<", ">", "^", "="), 0.5) + self.maybe(self.pick("+", "-", " "), 0.2) + self.maybe("#", 0.15) + self.maybe("0", 0.15)
                + self.maybe(str(self.r.randint(1, 14)), 0.6) + self.maybe(self.pick(",", "_"), 0.2) + self.maybe("." + str(self.r.randint(0, 8)), 0.3) + self.pick("", "", "d", "f", "g", "e", "s", "x", "X", "o", "b", "%", "c", "n", "E", "G", "F"))

    def percent(self):
        return "%" + self.maybe(self.pick("-", "+", " ", "#", "0", "-0", "+ "), 0.4) + self.maybe(str(self.r.randint(1, 12)), 0.5) + self.maybe("." + str(self.r.randint(0, 6)), 0.3) + self.pick("s", "s", "d", "i", "f", "g", "e", "x", "X", "o", "r", "c", "a", "G", "E", "u")

    def format_string(self):
        return "".join(self.pick("{}", "{:" + self.format_spec() + "}", "{:" + self.format_spec() + "}", "{!r}", "{{", "}}", "x", "{!s:>5}") for _ in range(self.r.randint(1, 3)))

    def string(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.25:
            return self.pick("s", "u", "w", "e", "d1", "dash", "ls[0]", "people[0].name", "'abc'", "'A1 b2'", "'x=y&z'", "'tab\\there'", "'Ünï cödé'", "\"it's\"", "'q\"'", "'\\x41\\u00e9'", "'a' 'b'")
        S, A, I = (lambda: self.other(self.string, depth)), (lambda: self.any(depth - 1)), (lambda: self.small())
        L = self.letters
        return self.pick(
            lambda: f"({S()} + {S()})", lambda: f"({A()} ~ {A()}{self.maybe(' ~ ' + A(), 0.3)})", lambda: f"({S()} * {self.pick('0', '1', '2', '-1')})",
            lambda: f"{S()}.{self.pick('upper', 'lower', 'title', 'capitalize', 'swapcase', 'casefold', 'strip', 'lstrip', 'rstrip', 'expandtabs')}()",
            lambda: f"{S()}.{self.pick('strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix')}({L()})",
            lambda: f"{S()}.replace({L()}, {L()}{self.maybe(', ' + I(), 0.3)})",
            lambda: f"{S()}.{self.pick('center', 'ljust', 'rjust')}({r.randint(-1, 40)}{self.maybe(', ' + L(), 0.4)})",
            lambda: f"{S()}.zfill({r.randint(0, 12)})", lambda: f"{L()}.join({self.other(self.list, depth)}|map('string'))", lambda: f"{L()}.join({self.other(self.list, depth)})",
            lambda: f"({S()}|{self.pick('upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'escape', 'e', 'forceescape', 'striptags', 'urlencode', 'reverse')})",
            lambda: f"({A()}|{self.pick('string', 'tojson', 'escape', 'urlencode', 'upper', 'title', 'trim', 'striptags', 'd', 'forceescape')})",
            lambda: f"({S()}|trim({L()}))", lambda: f"({S()}|replace({L()}, {A()}{self.maybe(', ' + I(), 0.3)}))",
            lambda: f"({S()}|indent({self.args(self.pick('2', chr(39) + '> ' + chr(39), 'width=1'), 'true', 'true')}))",
            lambda: f"({S()}|center({self.args(str(r.randint(0, 40)))}))", lambda: f"({S()}|truncate({self.args(str(r.randint(3, 20)), self.pick('true', 'false'), L(), self.pick('0', '2', '5'))}))",
            lambda: f"({S()}|wordwrap({self.args(str(r.randint(1, 20)), self.pick('true', 'false'), L(), self.pick('true', 'false'))}))",
            lambda: f"({self.pick(self.integer, self.real)(depth - 1)}|filesizeformat{self.maybe('(true)', 0.4)})",
            lambda: f"({self.other(self.dict, depth)}|xmlattr{self.maybe('(false)', 0.3)})", lambda: f"({self.other(self.dict, depth)}|urlencode)",
            lambda: f"({A()}|tojson({self.args('indent=' + self.pick('0', '1', '2', 'none', chr(39) + '-' + chr(39)), 'ensure_ascii=' + self.pick('true', 'false'), 'sort_keys=true', 'separators=(' + chr(39) + ',' + chr(39) + ', ' + chr(39) + ':' + chr(39) + ')')}))",
            lambda: f"({json.dumps(self.percent() + self.maybe(' ' + self.percent(), 0.3) + self.maybe('%%', 0.1))} % {self.pick('(' + A() + ', ' + A() + ')', A(), '(' + A() + ',)')})",
            lambda: f"({json.dumps(self.percent())}|format({A()}))", lambda: f"({json.dumps('%(a)' + self.pick('s', 'd', '5s', 'r'))} % {{'a': {A()}}})", lambda: f"({json.dumps('%*d %-*s')} % ({r.randint(-9, 9)}, {self.integer(0)}, {r.randint(0, 9)}, {S()}))",
            lambda: f"{json.dumps(self.format_string())}.format({A()}, {A()}, {A()})", lambda: f"{json.dumps(self.format_string())}.format({self.pick(self.integer, self.real, self.string)(depth - 1)}, {self.pick(self.integer, self.real, self.string)(0)}, {self.integer(0)})",
            lambda: f"{json.dumps(self.pick('{a[b]}', '{0.name}', '{a.b}', '{0}{a}', '{0[0]}', '{a:>{0}}', '{0:{a}}', '{1}', '{', '}', '{0}{}', '{0!x}'))}.format({self.pick(A(), '5', 'people')}, a={self.pick('d', A(), S())})",
            lambda: f"{S()}[{self.slice()}]", lambda: f"{S()}[{I()}]", lambda: f"({self.other(self.list, depth)}|join({self.args(L(), 'attribute=' + chr(39) + 'name' + chr(39))}))",
            lambda: f"({S()} if {self.boolean(depth - 1)}{self.maybe(' else ' + S(), 0.8)})", lambda: f"({self.pick('ls', '(ls|list)', S() + '.split()')}|{self.pick('first', 'last', 'max', 'min', 'join')})", lambda: f"({A()}|default({S()}, {self.pick('true', 'false')}))")()

    def slice(self):
        part = lambda: self.maybe(str(self.r.randint(-8, 8)), 0.6)
        return part() + ":" + part() + self.maybe(":" + self.maybe(self.pick("1", "2", "-1", "-2", "3"), 0.8), 0.4)

    def list(self, depth):
        if depth <= 0 or self.r.random() < 0.25:
            return self.pick("l", "ls", "mixed", "el", "[1, 2]", "['a', 'b']", "(range(4)|list)", "(1, 2)", "people", "(d.keys()|list)", "[[1, 2], [0]]", "range(1, 9, 3)")
        L, S, A = (lambda: self.other(self.list, depth)), (lambda: self.other(self.string, depth)), (lambda: self.any(depth - 1))
        test = self.pick("'odd'", "'string'", "'number'", "'none'", "'defined'", "'in', [1, 'a']", "'eq', 1", "'gt', 1", "'lower'", "'sameas', none", "'divisibleby', 2", "'upper'", "'mapping'", "'true'", "'ne', 2", "'iterable'", "'<', 3")
        return self.pick(
            lambda: f"[{A()}, {A()}]", lambda: f"({L()} + {L()})", lambda: f"({L()} * 2)", lambda: f"{L()}[{self.slice()}]",
            lambda: f"({L()}|{self.pick('sort', 'unique|list', 'reverse|list', 'list', 'sort(reverse=true)', 'sort(case_sensitive=true)')})", lambda: f"({S()}|list)",
            lambda: f"{S()}.{self.pick('split', 'rsplit', 'splitlines')}()", lambda: f"{S()}.{self.pick('split', 'rsplit')}({self.pick(self.letters(), 'none')}{self.maybe(', ' + self.small(), 0.4)})",
            lambda: f"{S()}.{self.pick('partition', 'rpartition')}({self.letters()})", lambda: f"{S()}.splitlines(true)",
            lambda: f"({L()}|{self.pick('select', 'reject')}({test})|list)", lambda: f"({L()}|{self.pick('select', 'reject')}|list)",
            lambda: f"(people|{self.pick('selectattr', 'rejectattr')}('{self.pick('age', 'name', 'tags', 'none')}'{self.maybe(', ' + test, 0.7)})|map(attribute='name')|list)",
            lambda: f"(people|map(attribute='{self.pick('name', 'tags.0', 'tags', 'age', 'zz')}'{self.maybe(', default=5', 0.4)})|list)", lambda: f"({L()}|map('{self.pick('upper', 'string', 'length', 'int', 'tojson', 'abs', 'first', 'list', 'trim', 'title', 'float')}')|list)",
            lambda: f"({L()}|batch({self.pick('1', '2', '3', '0', '-1')}{self.maybe(', 0', 0.4)})|list)", lambda: f"({L()}|slice({self.pick('1', '2', '3', '4')}{self.maybe(', 0', 0.4)})|list)",
            lambda: f"({self.other(self.dict, depth)}|{self.pick('dictsort', 'items|list', 'list')}{self.maybe('', 1)})", lambda: f"(d|dictsort({self.args(self.pick('true', 'false'), chr(39) + self.pick('key', 'value') + chr(39), 'true')}))",
            lambda: f"(people|groupby('{self.pick('age', 'name')}')|list)", lambda: f"(people|sort(attribute='{self.pick('age', 'name', 'age,name')}', reverse={self.pick('true', 'false')})|map(attribute='name')|list)",
            lambda: f"({self.other(self.dict, depth)}.{self.pick('keys', 'values', 'items')}()|list)", lambda: f"(range({self.args(self.small(), str(self.r.randint(-3, 12)), self.pick('1', '2', '-1', '3')) or '2'})|list)")()

    def dict(self, depth):
        if depth <= 0 or self.r.random() < 0.4:
            return self.pick("d", "nested", "{}", "{'a': 1}", "{'a': none, 'b': '<'}", "people[0]", "{1: 2, 'x y': 3}")
        return self.pick(lambda: f"{{'{self.name()}': {self.any(depth - 1)}, {self.pick(self.integer, self.string, self.boolean)(depth - 2)}: {self.any(depth - 1)}}}",
                         lambda: f"dict({self.name()}={self.any(depth - 1)})", lambda: f"dict({self.other(self.dict, depth)}, {self.name()}={self.any(depth - 1)})", lambda: f"dict({self.list(depth - 1)}|batch(2))", lambda: f"d.copy()", lambda: f"dict.fromkeys({self.list(depth - 1)}, {self.any(0)})")()

    def boolean(self, depth):
        if depth <= 0 or self.r.random() < 0.2:
            return self.pick("true", "false", "t", "s", "e", "n", "z", "el", "undefined_name")
        A = lambda: self.any(depth - 1)
        N = lambda: self.pick(self.integer, self.real)(depth - 1)
        S = lambda: self.other(self.string, depth)
        return self.pick(
            lambda: f"({N()} {self.pick('<', '<=', '>', '>=', '==', '!=')} {N()})", lambda: f"({N()} < {N()} {self.pick('<', '<=', '==')} {N()})", lambda: f"({A()} {self.pick('==', '!=', '==', 'in', 'not in', '<')} {A()})",
            lambda: f"({A()} {self.pick('and', 'or')} {A()})", lambda: f"(not {A()})", lambda: f"({S()} {self.pick('<', '>=', 'in', '==')} {S()})",
            lambda: f"({A()} is {self.maybe('not ', 0.2)}{self.pick('defined', 'undefined', 'none', 'string', 'number', 'integer', 'float', 'boolean', 'mapping', 'sequence', 'iterable', 'callable', 'true', 'false', 'odd', 'even', 'lower', 'upper', 'escaped', 'filter', 'test', 'sameas(none)', 'eq(1)', 'in(l)', 'divisibleby 3', 'ge(2)', 'equalto ' + self.letters(), 'lt 3')})",
            lambda: f"{S()}.{self.pick('isalpha', 'isalnum', 'isdigit', 'isdecimal', 'isnumeric', 'isspace', 'isupper', 'islower', 'istitle', 'isascii', 'isprintable', 'isidentifier')}()",
            lambda: f"{S()}.{self.pick('startswith', 'endswith')}({self.pick(self.letters(), '(' + self.letters() + ', ' + self.letters() + ')')}{self.maybe(', ' + self.small(), 0.3)})", lambda: f"({A()} in {self.list(depth - 1)})", lambda: f"f.is_integer()")()

    # ---- statements

    def space(self):
        return self.pick("", "", "", " ", "\n", "\n  ", "  \n", "x\n\n", " y ", "\t")

    def tag(self, inside):
        return "{%" + self.pick("", "", "", "-", "+") + " " + inside + " " + self.pick("", "", "", "-", "+") + "%}"

    def print(self, depth):
        return "{{" + self.pick("", "", "", "-") + " " + self.any(depth) + " " + self.pick("", "", "", "-") + "}}"

    def body(self, depth):
        return "".join(self.space() + self.statement(depth) + self.space() for _ in range(self.r.randint(1, 2)))

    def statement(self, depth):
        if depth <= 0 or self.r.random() < 0.35:
            return self.print(2)
        T, B, E = self.tag, (lambda: self.body(depth - 1)), (lambda kind=None: (kind or self.any)(2))
        return self.pick(
            lambda: T(f"if {E(self.boolean)}") + B() + self.maybe(T(f"elif {E(self.boolean)}") + B(), 0.3) + self.maybe(T("else") + B(), 0.5) + T("endif"),
            lambda: T(f"for v in {E(self.list)}{self.maybe(' if ' + self.pick('v', 'loop is defined', 'v is string'), 0.25)}") + "{{ v }}{{ loop." + self.pick("index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem", "cycle('a', 'b')", "changed(v)", "changed(loop.first)", "cycle(*ls)", "nothing") + " }}" + self.maybe(T("if loop.index == 2") + T(self.pick("break", "continue")) + T("endif"), 0.3) + B() + self.maybe(T("else") + B(), 0.3) + T("endfor"),
            lambda: T("for k, v in " + E(self.dict) + self.pick(".items()", "|dictsort", "|items")) + "{{ k }}={{ v }}" + T("endfor"),
            lambda: T(f"for v in {self.pick('[1, [2, [3]], 4]', '[[], [1]]', 'nested.x.y')} recursive") + "{{ loop.depth }}" + T("if v is iterable and v is not string") + "({{ loop(v) }})" + T("else") + "{{ v }}" + T("endif") + T("endfor"),
            lambda: T(f"set v = {E()}") + "{{ v }}" + B(), lambda: T("set a, b = " + E() + ", " + E()) + "{{ a }}{{ b }}", lambda: T(f"set v{self.maybe(' | upper', 0.3)}") + B() + T("endset") + "{{ v }}{{ v|length }}",
            lambda: T(f"filter {self.pick('upper', 'trim', 'indent(2)', 'replace(' + self.letters() + ', ' + self.letters() + ')', 'title', 'length', 'escape|upper')}") + B() + T("endfilter"),
            lambda: T(f"macro m({self.pick('', 'a', 'a, b=2', 'a=1, b=a')})") + "{{ a }}{{ b }}" + self.maybe("{{ varargs }}", 0.4) + self.maybe("{{ kwargs }}", 0.4) + self.maybe("{{ caller() }}", 0.3) + B() + T("endmacro") + self.pick("{{ m(" + self.args("1", "'x'", "3") + ") }}", "{{ m(*" + self.pick("l", "[1]", "ls[:2]") + ") }}", "{{ m(**{'a': 5}) }}", "{{ m(b=3, *[1]) }}", T("call m(1)") + "in" + T("endcall"), "{{ m(1, zz=2) }}", "{{ m.name }}{{ m.arguments }}{{ m.caller }}"),
            lambda: T(f"with v = {E()}, w2 = 5") + "{{ v }}{{ w2 }}" + B() + T("endwith"), lambda: "{#" + self.pick("", "-") + " note " + self.pick("", "-") + "#}" + B(), lambda: T("raw") + self.space() + "{{ raw }}" + self.space() + T("endraw"),
            lambda: T("set ns = namespace(a=1)") + T("for q in l") + T("set ns.a = ns.a + q") + T("endfor") + "{{ ns.a }}{{ ns.b }}", lambda: T("set c = cycler('a', 'b')") + "{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}", lambda: T("set j = joiner(" + self.maybe("'|'", 0.5) + ")") + "{{ j() }}1{{ j() }}2{{ j() }}",
            lambda: T("generation") + B() + T("endgeneration"))()

    def template(self):
        return self.print(self.r.randint(1, 4)) if self.r.random() < 0.6 else self.body(3)


def run_welford(template: str):
    """(text, None) or (None, message)."""
    with tempfile.NamedTemporaryFile("w", suffix=".jinja", newline="") as file:
        file.write(template)
        file.flush()
        program = os.environ.get("WELFORD", str(HERE.parents[1] / "build" / "welford"))
        done = subprocess.run([program, "template", file.name], input=json.dumps(CONTEXT).encode(), capture_output=True, timeout=60)
    if done.returncode not in (0, 1):
        return None, f"exit {done.returncode}"
    return (done.stdout.decode(), None) if done.returncode == 0 else (None, done.stderr.decode().strip().split(": ", 2)[-1])


def run_jinja2(template: str):
    from test_chat_template import FAILED, render_jinja2
    text = render_jinja2(template, {**CONTEXT, "add_generation_prompt": True, "tools": None, "documents": None})
    return None if text is FAILED else text


def has_address(text):
    return text is not None and re.search(r"0x[0-9a-f]{6,}|&lt;(generator|bound|built-in|function)|<(generator|bound|built-in|function)|generator object|_generator|dict_iterator|<itertools|at 0X|GENERATOR|bound method|TemplateDict", text) is not None


def compare(template: str):
    """None where both agree, "refused" where welford may refuse, else what differs."""
    want = run_jinja2(template)
    if has_address(want) or (want is not None and len(want) > 100000):
        return None
    got, message = run_welford(template)
    if got == want and (message is None or not message.startswith("exit")):
        return None
    if got is None and want is not None and REFUSED.search(message):
        return "refused"
    return f"template {template!r}\n  jinja2  {want!r}\n  welford {got!r} {message or ''}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--write", type=int, metavar="N")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + (options.write or options.count))
    templates = [Generator(seed).template() for seed in seeds]
    if options.write:
        cases = [[t, run_jinja2(t)] for t in templates if len(t) < 400]
        cases = [[t, want] for t, want in cases if not has_address(want) and compare(t) is None]
        TABLE.write_text(json.dumps({"context": CONTEXT, "cases": cases}, ensure_ascii=True, indent=0) + "\n")
        print(f"{len(cases)} cases")
        return 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(compare, templates))
    failures = [x for x in results if x not in (None, "refused")]
    print("\n".join(failures))
    rendered = sum(run_jinja2(t) is not None for t in templates)
    print(f"{len(templates)} templates, {rendered} of them render, {results.count('refused')} refused by name, {len(failures)} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
