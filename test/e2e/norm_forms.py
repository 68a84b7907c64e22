"""Norms composed from independent choices: how square, mean, variance and root are spelled, casts, gamma and beta, axes, sizes.

make(name, random, rng, road, spoiler) gives a function, what raising must make of it, and its value in double precision.
"""
from dataclasses import dataclass, field

import numpy as np

from graph_text import Arith, Generic, Mapped, Named, Tensor, Tosa, Writer

CHOICES = {
    "kind": ["rms", "layer"],
    "square": ["mul", "pow", "square", "abs", "abs_twice", "dot"],
    "mean": ["times", "over", "inside", "inside_over", "ones", "times", "over", "sum_after", "sum_before"],
    "gain": [1.0] * 7 + [0.5],
    "variance": ["centred", "own_mean", "other_way", "moments", "moments_clamped", "f64", "welford"],
    "root": ["rsqrt", "one_over_sqrt", "pow", "pow_half", "x_over_sqrt", "pow_sqrt"],
    "shape": ["product", "root_gamma", "gamma_root", "x_gamma", "expanded"],
    "gamma": ["none", "right", "left", "plus_one", "spread", "argument_of_all", "scalar", "constant", "elsewhere"],
    "twins": [False] * 5 + [True],
    "beta": ["none", "right", "left"],
    "types": ["f32", "f32", "f32", "f16", "bf16", "bf16_after", "f16_after", "f64"],
    "eps": [1e-5, 1e-6, 1e-2, 0.0],
    "eps_at": ["right", "left"],
    "axes": [1, 1, 1, 2, "all"],
    "keep": [True, False],
    "rank": [1, 2, 3, 3, 4, 5],
    "dynamic": ["none", "none", "rows", "last"],
    "before": ["none", "none", "residual", "transpose", "bias"],
    "after": ["none", "none", "transpose", "add"],
}
# What forbids a norm, and the reason that must be told.
SPOILERS = {
    "unbiased": r"the sum of \d+ values is divided by \d+",
    "count": r"the sum of \d+ values is divided by \d+",
    "exponent": "the exponent is 3, not 2",
    "eps_outside": "eps is outside the root",
    "eps_bound": "eps is a lower bound, not added",
    "eps_bound_outside": "eps is a lower bound, outside the root",
    "eps_argument": "eps is not a constant",
    "first_axis": r"sum over axis \d, not the last",
    "gap": "the sum leaves out an axis",
    "other_x": "square of another value than the one scaled",
    "other_mean": "mean of another value than x",
    "product": "the sum is of a product of two values, not of a square",
    "negated": "the result is negated",
}
ROADS = {"tosa": Tosa, "generic": Generic, "named": Named, "mapped": Mapped, "arith": Arith, "fused": Generic, "lowered": Tosa}


@dataclass
class Form:
    name: str
    choice: dict
    writer: Writer
    results: list[Tensor]
    op: str = ""  # what must be found; empty: nothing
    attributes: dict = field(default_factory=dict)  # eps, axes, plus_one; operands: how many
    reason: str = ""

    def text(self, visibility=" private"):
        return self.writer.text(self.name, self.results, visibility)


def choose(random_, road, spoiler=None):
    c = {name: random_.choice(values) for name, values in CHOICES.items()}
    c["road"], c["spoiler"] = road, spoiler
    return c


def settle(c):
    """Makes the choices fit each other."""
    tosa = c["road"] in ("tosa", "lowered")
    spoiler = c["spoiler"]
    if spoiler in ("unbiased", "other_mean"):
        c["kind"] = "layer"
    if spoiler in ("other_x", "exponent", "product"):
        c["kind"] = "rms" if spoiler != "exponent" else c["kind"]
        c["types"] = "f32"
    if spoiler == "exponent":
        c["variance"], c["square"] = "centred", "pow"
    if spoiler == "product":
        c["square"] = "mul"
    if spoiler in ("unbiased", "other_mean"):
        c["variance"] = "centred"
    if spoiler in ("eps_bound", "eps_bound_outside", "eps_outside", "eps_argument"):
        c["eps"] = 1e-2
        if spoiler != "eps_argument" and c["variance"] == "moments_clamped":
            c["variance"] = "moments"
    if spoiler in ("eps_outside", "eps_bound_outside"):
        c["root"], c["shape"] = "x_over_sqrt", "product"
    if spoiler == "first_axis":
        c["rank"], c["axes"] = max(2, c["rank"]), 1
    if spoiler == "gap":
        c["rank"], c["axes"] = max(3, c["rank"]), 2
    if spoiler == "negated":
        c["root"] = {"x_over_sqrt": "rsqrt"}.get(c["root"], c["root"])
        c["shape"] = "product"
    if spoiler:
        c["dynamic"] = "none"
    if c["eps"] == 0 and c["kind"] == "layer":
        c["eps"] = 1e-5
    if spoiler and c["gamma"] == "elsewhere":
        c["gamma"] = "right"
    if c["gamma"] == "elsewhere":
        c["rank"], c["axes"] = max(3, c["rank"]), 1
    if c["kind"] == "rms":
        c["beta"] = "none"
        if c["shape"] == "expanded":
            c["shape"] = "product"
    else:
        if c["variance"] == "f64":
            c["types"] = "f32"
    if c["mean"].startswith("sum") and (c["kind"] == "layer" or spoiler or c["root"] == "x_over_sqrt" or c["shape"] != "product"):
        c["mean"] = "times"
    if c["mean"].startswith("sum"):  # x / |x| * sqrt(n)
        c["gain"], c["types"], c["dynamic"] = 1.0, "f32", "none"
    if spoiler or c["types"] != "f32" or c["gamma"] != "none" or c["dynamic"] != "none" or c["root"] == "x_over_sqrt":
        c["gain"] = 1.0
    if c["axes"] == 2 and c["rank"] < 2:
        c["axes"] = 1
    if c["rank"] == 1 and c["dynamic"] == "rows":
        c["dynamic"] = "none"
    if spoiler in ("first_axis", "gap") or c["axes"] != 1:
        c["mean"] = {"ones": "times"}.get(c["mean"], c["mean"])
        c["square"] = {"dot": "mul"}.get(c["square"], c["square"])
    if c["kind"] == "layer" and c["square"] in ("abs_twice", "dot") and c["variance"] == "f64":
        c["square"] = "mul"
    if tosa:
        if c["dynamic"] == "last":
            c["dynamic"] = "rows"
        if c["dynamic"] != "none":
            c["square"] = {"dot": "mul"}.get(c["square"], c["square"])
            c["mean"] = {"ones": "times"}.get(c["mean"], c["mean"])
            c["keep"] = True
    if c["dynamic"] == "last" and c["road"] in ("named", "mapped", "arith"):
        c["dynamic"] = "rows"
    if c["dynamic"] == "last":  # a mean by a constant would be no mean
        c["mean"] = {"times": "over", "inside": "inside_over", "ones": "over"}.get(c["mean"], c["mean"])
    if c["road"] in ("named", "mapped", "arith"):
        c["keep"] = False
        c["dynamic"] = {"last": "rows"}.get(c["dynamic"], c["dynamic"])
    if c["gamma"] == "none" and c["shape"] in ("root_gamma", "gamma_root", "x_gamma"):
        c["shape"] = "product"
    if c["root"] == "x_over_sqrt" and c["shape"] in ("root_gamma", "gamma_root", "expanded"):
        c["root"] = "rsqrt"
    if c["shape"] != "product" and c["types"].endswith("_after"):
        c["types"] = c["types"].removesuffix("_after")
    if c["shape"] == "expanded" and c["spoiler"] in ("other_mean",):
        c["shape"] = "product"
    if c["gamma"] in ("scalar", "constant") and c["shape"] != "product":
        c["gamma"] = "right"
    if c["beta"] != "none" and c["gamma"] in ("scalar", "constant"):
        c["beta"] = "none"
    if c["after"] == "transpose" and c["road"] == "fused" and (c["axes"] != 1 or c["rank"] < 3):
        c["after"] = "none"  # fused, the normalised axis would no longer be the last
    if c["after"] == "add" and c["kind"] == "layer" and (c["axes"] == "all" or c["rank"] == c["axes"]):
        c["after"] = "none"  # it would be a beta
    if c["types"].endswith("_after") and c["beta"] != "none":
        c["beta"] = "none"
    if c["types"].endswith("_after") and c["gamma"] == "plus_one":
        c["gamma"] = "right"
    if c["variance"] == "welford" and (c["road"] not in ("generic", "fused") or spoiler or c["dynamic"] == "last"):
        c["variance"] = "centred"
    if spoiler or c["types"] not in ("f32", "f64") or c["gamma"] not in ("right", "left") or c["shape"] != "product":
        c["twins"] = False
    if c["twins"]:
        c["after"], c["mean"] = "none", "times" if c["mean"].startswith("sum") else c["mean"]
    return c


def sizes(c, random_):
    rank = c["rank"]
    dims = [random_.choice([2, 3]) for _ in range(rank)]
    dims[-1] = random_.choice([16, 24, 40])
    n_axes = rank if c["axes"] == "all" else c["axes"]
    axes = list(range(rank - n_axes, rank))
    if c["spoiler"] == "first_axis":
        axes = [random_.randrange(rank - 1)]
    if c["spoiler"] == "gap":
        axes = [rank - 3, rank - 1]
    if c["spoiler"] and max(dims[a] for a in axes) < 8:
        dims[axes[0]] = 8
    return dims, axes


class Build:
    def __init__(self, c, name, random_, rng):
        self.c = c
        self.dims, self.axes = sizes(c, random_)
        self.w = ROADS[c["road"]](len(self.dims))
        self.rng, self.n = rng, int(np.prod([self.dims[a] for a in self.axes]))
        self.last = tuple(range(len(self.dims) - len(self.axes), len(self.dims)))
        self.form = Form(name, c, self.w, [])
        element = c["types"].split("_")[0]
        self.x_element, self.element = element, "f64" if element == "f64" else "f32"
        self.dynamic = {"none": (), "rows": (0,), "last": self.last[-1:] if len(self.axes) == 1 else self.axes}[c["dynamic"]]
        if c["dynamic"] == "rows" and 0 in self.axes:
            self.dynamic = ()

    def array(self, dims, scale=1.0):
        return np.asarray(self.rng.standard_normal(dims) * scale).astype(np.float16).astype(np.float32)

    def vector(self, element, axes=None):
        """An argument along the normalised axes."""
        axes = self.last if axes is None else axes
        dims = [d if a in axes else 1 for a, d in enumerate(self.dims)]
        whole = self.c["gamma"] == "argument_of_all"
        return self.w.arg(self.array(dims), element, self.dynamic, None if whole else axes)

    def x(self):
        w, c = self.w, self.c
        dims = list(self.dims)
        if c["before"] == "transpose" and len(dims) > 1:
            perm = [*range(len(dims))]
            perm[0], perm[1] = 1, 0
            dims[0], dims[1] = dims[1], dims[0]
            dynamic = [perm[a] for a in self.dynamic]
            return w.transpose(w.arg(self.array(dims, 0.1), self.x_element, dynamic), perm)
        x = w.arg(self.array(dims, 0.1), self.x_element, self.dynamic)
        if c["before"] == "residual":
            x = w("add", x, w.arg(self.array(dims, 0.1), self.x_element, self.dynamic))
            self.form.results.append(x)
        if c["before"] == "bias":
            x = w("add", x, self.vector(self.x_element))
        return x

    def square(self, x):
        w, kind = self.w, self.c["square"]
        exponent = w.const(3.0 if self.c["spoiler"] == "exponent" else 2.0, x.element)
        if self.c["spoiler"] == "product":
            return w("mul", x, w.arg(self.array(x.dims), x.element, self.dynamic))
        if kind == "pow":
            return w("pow", x, exponent)
        if kind == "square":
            return w("square", x)
        if kind == "abs":
            return w("pow", w("abs", x), exponent) if isinstance(w, Tosa) else w("square", w("abs", x))
        if kind == "abs_twice":
            return w("mul", w("abs", x), w("abs", x))
        return w("mul", x, x)

    def mean(self, x, spelled=None, n=None):
        w, kind = self.w, spelled or self.c["mean"]
        n = n or self.n
        if kind == "ones":
            ones = w.spread(w.const(1 / n, x.element), x)
            return w.dot(x, ones)
        size = w.size_of(x, self.axes, x.element) if n == self.n else w.const(float(n), x.element)
        if kind == "inside":
            return w.sum(w("mul", x, w.const(1 / n, x.element)), self.axes, self.c["keep"])
        if kind == "inside_over":
            return w.sum(w("div", x, size), self.axes, self.c["keep"])
        s = w.sum(x, self.axes, self.c["keep"])
        if kind.startswith("sum"):
            return s
        return w("div", s, size) if kind == "over" else w("mul", s, w.const(1 / n, x.element))

    def mean_square(self, x, n=None):
        w, n = self.w, n or self.n
        if self.c["square"] == "dot" and self.c["spoiler"] != "product":
            s = w.dot(x, x)
            size = w.size_of(x, self.axes, x.element) if n == self.n else w.const(float(n), x.element)
            if self.c["mean"].startswith("sum"):
                return s
            return w("div", s, size) if self.c["dynamic"] == "last" else w("mul", s, w.const(1 / n, x.element))
        return self.mean(self.square(x), n=n)

    def statistics(self, x):
        """(what is scaled, mean square of it, mean)"""
        w, c = self.w, self.c
        n = None
        if c["spoiler"] == "unbiased":
            n = self.n - 1
        if c["spoiler"] == "count":
            n = 2 * self.n
        if c["kind"] == "rms":
            y = w.arg(self.array(self.dims), x.element, self.dynamic) if c["spoiler"] == "other_x" else x
            return y, self.mean_square(x, n), None
        if c["variance"] == "welford":
            m, m2 = w.welford(x, self.axes)
            return w("sub", x, m), w("mul", m2, w.const(1 / self.n, m2.element)), m
        m = self.mean(x, n=n if c["spoiler"] == "count" and c["variance"] not in ("centred", "own_mean") else None)
        d = w("sub", x, m)
        if c["variance"] == "f64":
            wide = w.cast(x, "f64")
            v = w.cast(self.mean_square(w("sub", wide, self.mean(wide)), n), x.element)
        elif c["variance"].startswith("moments"):
            v = w("sub", self.mean_square(x, n), w("mul", m, m))
            if c["variance"] == "moments_clamped":
                v = w("max", v, w.const(0.0, v.element))
        elif c["variance"] == "own_mean":
            v = self.mean_square(w("sub", x, self.mean(x, "times" if c["dynamic"] != "last" else "over")), n)
        elif c["variance"] == "other_way":
            v = self.mean_square(w("sub", m, x), n)
        else:
            v = self.mean_square(d, n)
        if c["spoiler"] == "other_mean":
            m = self.mean(w.arg(self.array(self.dims), x.element, self.dynamic))
            d = w("sub", x, m)
        return d, v, m

    def add(self, at, a, b):
        return self.w("add", a, b) if at == "right" else self.w("add", b, a)

    def mul(self, at, a, b):
        return self.w("mul", a, b) if at != "left" else self.w("mul", b, a)

    def with_eps(self, v):
        w, c = self.w, self.c
        if c["eps"] == 0 or c["spoiler"] in ("eps_outside", "eps_bound_outside"):
            return v
        if c["spoiler"] == "eps_bound":
            return w("max", v, w.const(c["eps"], v.element))
        if c["spoiler"] == "eps_argument":
            return w("add", v, w.arg(np.full([1] * len(self.dims), 0.5, np.float32), v.element, axes=()))
        eps = c["eps"] * (self.n if c["mean"].startswith("sum") else 1)
        if isinstance(w, Tosa):
            return self.add(c["eps_at"], v, w.const(eps, v.element))
        return self.add(c["eps_at"], v, w.cast(w.const(eps, "f64"), v.element))

    def inverse_root(self, v):
        w, kind = self.w, self.c["root"]
        if kind == "one_over_sqrt":
            return w("recip", w("sqrt", v))
        if kind == "pow":
            return w("pow", v, w.const(-0.5, v.element))
        if kind in ("pow_half", "pow_sqrt"):
            root = w("pow", v, w.const(0.5, v.element))
            return w("recip", root) if kind == "pow_half" else w("div", w.const(1.0, v.element), root)
        return w("rsqrt", v)

    def gamma(self, element):
        w, kind = self.w, self.c["gamma"]
        if kind == "none":
            return None
        if kind == "scalar":
            return w.arg(self.array([1] * len(self.dims)), element, axes=())
        if kind == "constant":
            return w.const(0.75, element)
        if kind == "elsewhere":
            return self.vector(element, (self.last[0] - 1,))
        g = self.vector(element)
        if kind == "plus_one":
            g = w("add", g, w.const(1.0, element))
        return g

    def build(self):
        w, c, form = self.w, self.c, self.form
        x16 = self.x()
        x = w.cast(x16, self.element)
        after = c["types"].endswith("_after")
        scaled, v, m = self.statistics(x)
        v = self.with_eps(v)
        gamma_element = self.x_element if after else self.element
        gamma = self.gamma(gamma_element)
        if gamma is not None and c["gamma"] == "spread":
            gamma = w.spread(gamma, scaled)
        beta = self.vector(self.element) if c["beta"] != "none" else None
        if c["root"] == "x_over_sqrt":
            root = w("sqrt", v)
            if c["spoiler"] == "eps_outside":
                root = w("add", root, w.const(c["eps"], v.element))
            if c["spoiler"] == "eps_bound_outside":
                root = w("max", root, w.const(c["eps"], v.element))
            if c["shape"] == "x_gamma":
                y = w("div", w("mul", scaled, gamma), root)
            else:
                y = w("div", scaled, root)
        else:
            root = self.inverse_root(v)
            if c["spoiler"] == "negated":
                root = w("neg", root)
            if c["gain"] != 1 or c["mean"] == "sum_before":
                root = w("mul", root, w.const(c["gain"] * (self.n ** 0.5 if c["mean"] == "sum_before" else 1), root.element))
            y = self.product(x, scaled, root, m, gamma, beta)
            if c["mean"] == "sum_after":
                y = w("mul", y, w.const(self.n ** 0.5, y.element))
        if after:
            y = w.cast(y, self.x_element)
        if c["twins"]:
            form.results.append(self.mul(c["gamma"], y, self.vector(gamma_element)))
        if c["shape"] == "product" and gamma is not None:
            y = self.mul(c["gamma"], y, gamma)
        if beta is not None and c["shape"] != "expanded":
            y = self.add(c["beta"], y, beta)
        if not after:
            y = w.cast(y, self.x_element)
        if c["after"] == "add":
            y = w("add", y, x16)
        if c["after"] == "transpose" and len(self.dims) > 1:
            y = w.transpose(y, [1, 0, *range(2, len(self.dims))])
        form.results.append(y)
        self.expect(gamma, beta)
        return form

    def product(self, x, scaled, root, m, gamma, beta):
        w, shape = self.w, self.c["shape"]
        if shape == "root_gamma":
            return w("mul", scaled, w("mul", root, gamma))
        if shape == "gamma_root":
            return w("mul", w("mul", gamma, root), scaled)
        if shape == "x_gamma":
            return w("mul", w("mul", scaled, gamma), root)
        if shape == "expanded":
            inverse = root if gamma is None else w("mul", root, gamma)
            shift = w("mul", m, inverse)
            if beta is None:
                return w("sub", w("mul", x, inverse), shift)
            return w("add", w("mul", x, inverse), w("sub", beta, shift))
        return w("mul", scaled, root)

    def expect(self, gamma, beta):
        c, form = self.c, self.form
        if c["spoiler"]:
            form.reason = SPOILERS[c["spoiler"]]
            return
        form.op = f"wf.{c['kind']}_norm"
        operands = 1 + (gamma is not None and c["gamma"] not in ("scalar", "constant")) + (beta is not None)
        operands += c["gain"] != 1  # stands as gamma
        if c["gamma"] == "elsewhere":
            operands = 1  # x alone: product and sum come after the op
        if c["gamma"] in ("scalar", "constant"):
            operands = None  # spread over a row it may be taken as a vector
        form.attributes = {"eps": c["eps"], "axes": len(self.axes), "operands": operands,
                           "plus_one": c["gamma"] == "plus_one", "times": 2 if c["twins"] else 1}


def make(name, random_, rng, road, spoiler=None, **fixed):
    c = choose(random_, road, spoiler)
    c.update(fixed)
    return Build(settle(c), name, random_, rng).build()
