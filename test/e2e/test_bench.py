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
