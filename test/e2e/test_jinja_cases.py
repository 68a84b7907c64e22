"""Random templates with the text that jinja2 gives for them, or none where it fails; made by jinja_fuzz.py --write."""
import json

import jinja_fuzz

TABLE = json.loads(jinja_fuzz.TABLE.read_text())


def test_cases():
    assert TABLE["context"] == jinja_fuzz.CONTEXT, "write the table again"
    wrong = []
    for template, want in TABLE["cases"]:
        got, message = jinja_fuzz.run_welford(template)
        if got != want or (got is None and "line " not in message):
            wrong.append(f"{template!r}: {want!r}, not {got!r} {message or ''}")
    assert not wrong, "\n".join(wrong)
    assert sum(want is not None for _, want in TABLE["cases"]) > 400


def test_generator_is_of_use():
    """Templates differ, and use most of the language."""
    templates = [jinja_fuzz.Generator(seed).template() for seed in range(3000)]
    assert len(set(templates)) > 2000
    text = "".join(templates)
    for word in ("macro", "recursive", "tojson", "wordwrap", ".format(", " % ", "selectattr", "groupby", "*[", "**{"):
        assert word in text
