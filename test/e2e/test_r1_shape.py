"""tools/make_r1_shape.py, made small: DeepSeek R1's tokenizer, template and layers as people have them on disk."""
import json
import sys

import pytest
from tokenizers import Tokenizer

from conftest import ROOT
from test_tokenizer import make_texts
from test_tokenizer_json import compare

sys.path.insert(0, str(ROOT / "tools"))
import make_r1_shape

SMALL = make_r1_shape.Shape(hidden=64, layers=3, feed_forward=96, heads=4, kv_heads=2)


@pytest.fixture(scope="module")
def meta(deepseek_header):
    return make_r1_shape.read_metadata(deepseek_header)


@pytest.fixture(scope="module")
def folder(meta, tmp_path_factory):
    return make_r1_shape.write_hf(meta, tmp_path_factory.mktemp("r1") / "small", SMALL)


def test_tokenizer(welford, meta, folder):
    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = [t["content"] for t in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]]
    ids = compare(welford, folder, reference, make_texts(31, added), True)
    assert all(one[0] == meta["tokenizer.ggml.bos_token_id"] for one in ids)


def test_template_opens_and_forgets_reasoning(welford, folder):
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>\nwell\n</think>\n\nHello"},
            {"role": "user", "content": "Why?"}]
    text = welford.run("template", folder, input=json.dumps(said)).ok().stdout
    assert text == ("<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>\n\nHello<｜end▁of▁sentence｜>"
                    "<｜User｜>Why?<｜Assistant｜><think>\n")


@pytest.mark.parametrize("weights", [None, "q8_0"])
def test_runs_and_fuses_every_norm_of_quantised_weights(welford, folder, weights):
    options = ["--weights", weights] if weights else []
    result = welford.run("run", folder, *options, "-p", "Why is the sky blue?", "-n", 6, "--report", "-s", 1).ok()
    table = {line.split()[0]: line.split(maxsplit=3)[1:] for line in result.stderr.splitlines()[1:]}
    # a layer's two norms, its attention and its gate, and the last norm
    assert table["quantize-output"] == (["13", "13"] if weights else ["13", "0", "13 float weights: the linear reads f32"])
    assert result.stdout.strip()


def test_bf16_is_as_stored(welford, folder):
    as_stored, bf16 = (welford.run("logits", folder, "-p", "The sky is", *options).ok().stdout
                       for options in ([], ["--weights", "bf16"]))
    assert as_stored == bf16
