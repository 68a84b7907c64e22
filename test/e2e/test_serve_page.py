"""The page of welford serve: its files, and the rules that keep what a model writes from being more than text."""
import re
from pathlib import Path

import pytest

from http_server import Server
from tiny_gguf import tiny_llama

PAGE = Path(__file__).resolve().parents[2] / "src/server/page"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "tiny.gguf"
    path.write_bytes(tiny_llama(layers=1).encode())
    return path


def test_files_are_served_to_all(welford, tiny, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    with Server(welford, tiny, "--api-key-file", keys) as s:
        for path, file, kind in (("/", "index.html", "text/html"), ("/style.css", "style.css", "text/css"),
                                 ("/app.js", "app.js", "text/javascript"), ("/markdown.js", "markdown.js", "text/javascript")):
            answer = s.get(path).ok()
            assert answer.body == (PAGE / file).read_bytes()
            assert answer.headers["content-type"].startswith(kind)
            rules = answer.headers["content-security-policy"]
            assert "default-src 'none'" in rules and "unsafe" not in rules and "frame-ancestors 'none'" in rules
            assert answer.headers["x-content-type-options"] == "nosniff"
        s.get("/other.js").refused(401)


def test_the_page_obeys_its_rules():
    """What the policy forbids is not there, so that nothing of it is missing; and nothing makes HTML of a text."""
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html)
    for address in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert address == "data:," or (PAGE / address).is_file()
    for script in PAGE.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc",
                             script.read_text())
