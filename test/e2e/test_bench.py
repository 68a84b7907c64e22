"""welford bench: what it prints. How fast the machine is, no test can know."""
import csv
import io
import json
import math
import re
import statistics

import pytest

QUICK = ["-p", 16, "-n", 4, "-r", 3]


def test_markdown(welford, smollm2):
    lines = welford.run("bench", smollm2, *QUICK, "-d", "0,32", "-t", "1,2").ok().stdout.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["model", "size", "params", "threads", "test", "t/s"]
    assert all(re.fullmatch("-+:?", cell) for cell in rows[1])
    assert [(row[3], row[4]) for row in rows[2:]] == [
        (t, test) for t in ("1", "2") for test in ("pp16", "tg4", "pp16 @ d32", "tg4 @ d32")]
    for row in rows[2:]:
        assert "Q4_1" in row[0] and row[1] == "93.81 MiB" and row[2] == "134.52 M"
        mean, deviation = map(float, row[5].split(" ± "))
        assert mean > 1 and deviation >= 0
    assert len({len(line) for line in lines}) == 1  # a table that lines up


def test_json_and_csv_say_the_same_things(welford, smollm2):
    tests = json.loads(welford.run("bench", smollm2, *QUICK, "-o", "json").ok().stdout)
    rows = list(csv.DictReader(io.StringIO(welford.run("bench", smollm2, *QUICK, "-o", "csv").ok().stdout)))
    assert [(t["n_prompt"], t["n_gen"], t["n_depth"]) for t in tests] == [(16, 0, 0), (0, 4, 0)]
    for t, row in zip(tests, rows, strict=True):
        assert len(t["samples_ts"]) == 3
        assert math.isclose(t["avg_ts"], statistics.mean(t["samples_ts"]), rel_tol=1e-6)
        assert math.isclose(t["stddev_ts"], statistics.stdev(t["samples_ts"]), rel_tol=1e-4, abs_tol=1e-4)
        for key in ("model", "size_bytes", "n_params", "threads", "kv_type", "n_prompt", "n_gen", "n_depth"):
            assert row[key] == str(t[key])


def test_zero_leaves_a_test_out(welford, smollm2):
    tests = json.loads(welford.run("bench", smollm2, "-p", 0, "-n", "2,3", "-r", 1, "-o", "json").ok().stdout)
    assert [(t["n_prompt"], t["n_gen"]) for t in tests] == [(0, 2), (0, 3)]
    assert all(t["stddev_ts"] == 0 for t in tests)


@pytest.mark.parametrize("args", [
    [], ["a", "b"], ["m", "-p", "x"], ["m", "-p", "1,"], ["m", "-n", "-1"], ["m", "-r", "0"], ["m", "-t", "0"],
    ["m", "-o", "xml"], ["m", "-p", ",".join("1" * 17)], ["m", "--kv", "x"],
], ids=" ".join)
def test_usage_errors(welford, args):
    assert welford.run("bench", *args).failed(2).stderr.startswith("welford bench: ")


def test_other_errors(welford, smollm2, tmp_path):
    welford.run("bench", tmp_path / "missing").failed(1)
    assert "8192" in welford.run("bench", smollm2, "-p", 9000, "-n", 0).failed(2).stderr
    assert "--n-depth" in welford.run("bench", "--help").ok().stdout


# ---- --profile, --trace

def test_profile_counts_what_the_model_computes(welford, smollm2):
    args = ("bench", smollm2, "--profile", "-p", 16, "-n", 3, "-d", 8, "-r", 2)
    prefill, decode = json.loads(welford.run(*args, "-o", "json").ok().stdout)
    matrices = 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576)
    head = 49152 * 576
    for test, tokens, outputs, past in ((prefill, 16, 1, 8), (decode, 3, 3, 8)):
        flops, bytes = {}, {}
        for kernel in test["kernels"]:
            assert kernel["seconds"] > 0 and kernel["calls"] > 0 and kernel["ceiling"] in ("fma", "int8")
            kind = kernel["name"].split("_")[0]
            flops[kind] = flops.get(kind, 0) + kernel["flops"]
            bytes[kind] = bytes.get(kind, 0) + kernel["bytes"]
            assert kernel["ceiling"] == ("int8" if kind in ("linear", "embed") else "fma"), kernel["name"]
        # as a model's size is usually counted; what is added to a product (a residual, the activation) may add a little
        assert math.isclose(flops["linear"], 2 * (tokens * matrices + outputs * head), rel_tol=0.01)
        pairs = sum(past + i + 1 for i in range(tokens))
        assert flops["attention"] == pytest.approx(30 * pairs * 4 * 9 * 64, rel=0.01)
        calls = 1 if test is prefill else 3
        weights = calls * (matrices * 20 / 32 + head * 34 / 32)  # Q4_1 and Q8_0: bytes a block of 32
        assert 1 < bytes["linear"] / weights < 1.2  # and the activations
        assert sum(kernel["seconds"] for kernel in test["kernels"]) <= test["seconds"]
        assert all(test["ceilings"][name] > 1e9 for name in ("fma", "bf16", "int8", "read"))
    table = welford.run(*args).ok().stdout
    assert "linear_q4_1x16_576_swiglu" in table and "ceiling: read" in table and "prefill of 16 tokens at depth 8" in table


def overlaps(events):
    """Whether two spans of one thread are partly inside each other."""
    end = 0
    for event in sorted(events, key=lambda e: e["ts"]):
        if event["ts"] < end - 0.01:  # both were rounded to a nanosecond
            return True
        end = event["ts"] + event["dur"]
    return False


@pytest.mark.parametrize("args", [("bench", "-p", 48, "-n", 6, "-r", 2), ("run", "--temp", 0, "-n", 6, "-p", "Hello there")],
                         ids=["bench", "run"])
def test_trace(welford, smollm2, tmp_path, args):
    file = tmp_path / "trace.json"
    welford.run(*args, smollm2, "--trace", file, "-t", 2).ok()
    events = json.loads(file.read_text())["traceEvents"]
    phases = [e for e in events if e["tid"] == 0]
    assert {"open", "prefill", "decode"} <= {e["name"] for e in phases}
    spans = [e for e in events if e["tid"] > 0]
    assert {e["tid"] for e in spans} <= {1, 2} and spans
    for thread in (1, 2):
        assert not overlaps([e for e in spans if e["tid"] == thread])
    assert {"n_tokens", "n_past", "tiles", "op"} <= set(spans[0]["args"])
    decoding = [e for e in phases if e["name"] in ("prefill", "decode")]
    for span in spans:  # kernels run in a phase
        assert any(p["ts"] - 1 <= span["ts"] and span["ts"] + span["dur"] <= p["ts"] + p["dur"] + 1 for p in decoding), span
    layers = {e["args"]["op"].split(".")[1].split(" ")[0] for e in spans if e["args"]["op"].startswith("blk.")}
    assert layers == {str(i) for i in range(30)}


def test_ablation_has_a_row_a_fusion(welford, smollm2):
    lines = welford.run("bench", smollm2, "-p", 8, "-n", 2, "-r", 2, "--ablate").ok().stdout.splitlines()
    assert lines[0] == "| off | prefill 8 | decode 2 |"
    rows = {name: cells for name, *cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines[2:])}
    report = welford.run("run", smollm2, "-p", "x", "-n", 1, "--report").ok().stderr
    fusions = re.findall(r"^(\S+) +\d+ +\d+", report, re.M)
    assert list(rows) == ["(none)"] + fusions and "quantize-output" in fusions
    for name, cells in rows.items():
        assert len(cells) == 2
        for cell in cells:
            assert re.fullmatch(r"\d+\.\d ± \d+\.\d t/s" if name == "(none)" else r"\d+\.\d{3} ± \d+\.\d{3}", cell)


def test_trace_and_profile_usage(welford, smollm2, tmp_path):
    for args in (["--profile", "--ablate"], ["--profile", "-o", "csv"], ["--trace", "x", "--profile"], ["--trace", "x", "--ablate"]):
        welford.run("bench", smollm2, *args).failed(2)
    assert "nothing to measure" in welford.run("bench", smollm2, "-p", "0,0", "-n", 0).failed(2).stderr
    assert "no/such" in welford.run("bench", smollm2, *QUICK, "--trace", tmp_path / "no/such/file").failed().stderr
