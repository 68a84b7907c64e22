#!/usr/bin/env python3
"""What speculation brings: decoding with `run --speculate` against `run` without, on four kinds of text.

    bench/speculate.py [--welford build/welford] [-m MODEL] [--pairs 5] [-t THREADS]

Each pair of runs takes turns in being first; the figure is the median of the ratios of their decoding speeds and the
quartiles beside it. Both answers must be the same bytes.
"""
import argparse
import json
import statistics
import subprocess
from pathlib import Path

CODE = '''def mean(values):
    """The arithmetic mean of a list of numbers."""
    if not values:
        raise ValueError("mean of nothing")
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def variance(values):
    """The population variance of a list of numbers."""
    if not values:
        raise ValueError("variance of nothing")
    center = mean(values)
    total = 0.0
    for value in values:
        total += (value - center) ** 2
    return total / len(values)


def deviation(values):
    """The standard deviation of a list of numbers."""
    return variance(values) ** 0.5


def normalize(values, eps=1e-5):
    """Values with mean 0 and variance 1, as LayerNorm has them."""
    center = mean(values)
    scale = (variance(values) + eps) ** -0.5
    return [(value - center) * scale for value in values]
'''

ARTICLE = """The lighthouse at the end of the northern pier was built in 1871 by the harbour company, which had lost eleven
ships on the sandbank in the ten years before. Its tower is 31 metres high and stands on oak piles that were driven nine
metres into the clay. "We did not build it for beauty," the engineer Anna Lindqvist wrote in her report, "but there was no
other way to carry a lamp of that weight." The first lamp burned colza oil and was seen at a distance of fourteen nautical
miles. In 1908 it was replaced by an electric arc, and the keepers, who had carried forty litres of oil up the stairs every
day, were given a house with a garden in the village. Since 1987 nobody has lived there."""

TRACE = "".join(f"Step {i}: we add {i} to the sum. The sum was {i * (i - 1) // 2} and is now {i * (i + 1) // 2}.\n"
                for i in range(1, 13))

# name, prompt, whether it is a raw text to go on with
TEXTS = [
    ("prose", "Write a story about a fisherman who finds a letter in a bottle.", False),
    ("code edit", f"The file stats.py:\n\n```python\n{CODE}```\n\nThe same file with the name `center` changed to "
     "`middle`:\n\n```python\ndef mean(values):\n", True),
    ("summary with quotes", f"An article:\n\n{ARTICLE}\n\nThe article's sentences once more, one a line:\n\nThe lighthouse at the "
     "end of the northern pier", True),
    ("repetitive reasoning", TRACE, True),
]


def decode(welford: str, model: str, text: str, raw: bool, n: int, threads: int, options: list[str]) -> dict:
    command = [welford, "run", model, "-p", text, "--temp", "0", "-n", str(n), "--json", "--ignore-eos", "-t", str(threads),
               *(["--raw"] if raw else []), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def speed(answer: dict) -> float:
    return answer["stats"]["n_decoded"] / answer["stats"]["decode_seconds"]


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--welford", default=str(root / "build/welford"))
    parser.add_argument("-m", "--model",
                        default=str(Path.home() / ".cache/welford/models/smollm2-135m-instruct.q4_1.gguf"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("-n", type=int, default=256, help="tokens to decode")
    parser.add_argument("-t", "--threads", type=int, default=2)
    args = parser.parse_args()
    print("| text | without t/s | with t/s | ratio (quartiles) | guessed | came |\n|---|---|---|---|---|---|")
    for name, text, raw in TEXTS:
        off, on, ratios = [], [], []
        for i in range(args.pairs):
            run = lambda options: decode(args.welford, args.model, text, raw, args.n, args.threads, options)
            if i % 2:
                with_, without = run(["--speculate"]), run([])
            else:
                without, with_ = run([]), run(["--speculate"])
            if with_["tokens"] != without["tokens"]:
                raise SystemExit(f"{name}: the answers differ")
            off.append(speed(without))
            on.append(speed(with_))
            ratios.append(on[-1] / off[-1])
        low, middle, high = statistics.quantiles(ratios, n=4)
        stats = with_["stats"]
        print(f"| {name} | {statistics.median(off):.0f} | {statistics.median(on):.0f} | {middle:.2f} ({low:.2f}-{high:.2f}) "
              f"| {stats['n_guesses']} | {stats['n_right']} |", flush=True)


if __name__ == "__main__":
    main()
