"""Changes of shape and indices from data for graph_fuzz.py."""
import numpy as np

from fuzz_values import Builder, Unfit, stored, type_of


class Shapes(Builder):
    def op_transpose(self):
        x = self.pick(lambda v: v.rank > 1)
        order = self.random.sample(range(x.rank), x.rank)
        dynamic = [x.dynamic[d] for d in order]
        if self.is_tosa() and x.element != "f64":
            text = f"{{y}} = tosa.transpose {x.name} {{perms = array<i32: {', '.join(map(str, order))}>}} : ({x.type}) -> {{T}}"
        else:
            out, t, dynamic = self.empty([x.shape[d] for d in order], x.element, [(x, d) for d in order])
            text = f"{{y}} = linalg.transpose ins({x.name} : {x.type}) outs({out} : {t}) permutation = {order}"
        self.add(x.element, x.lo.transpose(order), x.hi.transpose(order), text, x.exact, dynamic)

    def op_reverse(self):
        x = self.pick(lambda v: v.rank > 0 and v.element != "f64")
        axis = self.random.randrange(x.rank)
        self.add(x.element, np.flip(x.lo, axis), np.flip(x.hi, axis), f"{{y}} = tosa.reverse {x.name} {{axis = {axis} : i32}} : ({x.type}) -> {{T}}", x.exact, x.dynamic)

    def op_reshape(self):
        x = self.pick(lambda v: v.element != "f64" and not any(v.dynamic) and v.lo.size)
        left, shape = x.lo.size, []
        for p in (2, 3, 5, 7, 11, 17):
            while left % p == 0 and len(shape) < 4 and self.random.random() < 0.5:
                shape.append(p)
                left //= p
        shape.append(left)
        self.random.shuffle(shape)
        name, t = self.shape_constant(shape)
        self.add(x.element, x.lo.reshape(shape), x.hi.reshape(shape), f"{{y}} = tosa.reshape {x.name}, {name} : ({x.type}, {t}) -> {{T}}", x.exact)

    def op_collapse(self):
        x = self.pick(lambda v: v.rank > 1)
        at = self.random.randrange(x.rank - 1)
        groups = [[d] for d in range(at)] + [[at, at + 1]] + [[d] for d in range(at + 2, x.rank)]
        shape = [int(np.prod([x.shape[d] for d in g])) for g in groups]
        self.add(x.element, x.lo.reshape(shape), x.hi.reshape(shape), f"{{y}} = tensor.collapse_shape {x.name} {groups} : {x.type} into {{T}}", x.exact,
                 [any(x.dynamic[d] for d in g) for g in groups])

    def op_expand(self):
        x = self.pick(lambda v: v.rank > 0)
        at = self.random.randrange(x.rank)
        n = x.shape[at]
        factor = self.random.choice([f for f in (1, 2, 3, 4) if n % f == 0])
        first = self.random.random() < 0.5
        pair = [n // factor, factor] if first else [factor, n // factor]
        free = [x.dynamic[at], False] if first else [False, x.dynamic[at]]
        groups = [[d] for d in range(at)] + [[at, at + 1]] + [[d + 1] for d in range(at + 1, x.rank)]
        shape, dynamic = [*x.shape[:at], *pair, *x.shape[at + 1:]], [*x.dynamic[:at], *free, *x.dynamic[at + 1:]]
        sizes = []
        for d, (size, unknown) in enumerate(zip(shape, dynamic)):
            sizes.append(self.index(size) if unknown else str(size))
        self.add(x.element, x.lo.reshape(shape), x.hi.reshape(shape),
                 f"{{y}} = tensor.expand_shape {x.name} {groups} output_shape [{', '.join(sizes)}] : {x.type} into {{T}}", x.exact, dynamic)

    def op_slice(self):
        x = self.pick(lambda v: v.rank > 0 and all(v.shape))
        starts = [self.random.randint(0, max(n - 1, 0)) for n in x.shape]
        sizes = [self.random.randint(min(n, 1), n - a) if n else 0 for a, n in zip(starts, x.shape)]
        if self.is_tosa() and x.element != "f64" and not any(x.dynamic) and all(x.shape):
            (a, at), (b, bt) = self.shape_constant(starts), self.shape_constant(sizes)
            cut = tuple(slice(p, p + n) for p, n in zip(starts, sizes))
            return self.add(x.element, x.lo[cut], x.hi[cut], f"{{y}} = tosa.slice {x.name}, {a}, {b} : ({x.type}, {at}, {bt}) -> {{T}}", x.exact)
        steps = [self.random.choice([1, 1, 2]) for _ in x.shape]
        sizes = [(n + s - 1) // s for n, s in zip(sizes, steps)]
        cut = tuple(slice(p, p + n * s, s) if n else slice(0, 0) for p, n, s in zip(starts, sizes, steps))
        lo, hi = x.lo[cut], x.hi[cut]
        if tuple(lo.shape) != tuple(sizes):
            raise Unfit
        t = type_of(sizes, x.element)
        drop = [d for d, n in enumerate(sizes) if n == 1]
        if drop and self.random.random() < 0.5:
            lo, hi = np.squeeze(lo, drop[0]), np.squeeze(hi, drop[0])
            t = type_of(lo.shape, x.element)
        self.add(x.element, lo, hi, f"{{y}} = tensor.extract_slice {x.name}{starts} {sizes} {steps} : {x.type} to {t}", x.exact)

    def op_insert_slice(self):
        x = self.pick()
        y = self.pick(lambda v: v.element == x.element and v.rank == x.rank and all(a <= b for a, b in zip(x.shape, v.shape)))
        if any(x.dynamic) or not x.rank or not all(x.shape):
            raise Unfit
        at = [self.random.randint(0, b - a) for a, b in zip(x.shape, y.shape)]
        cut = tuple(slice(p, p + n) for p, n in zip(at, x.shape))
        lo, hi = y.lo.copy(), y.hi.copy()
        lo[cut], hi[cut] = x.lo, x.hi
        self.add(x.element, lo, hi, f"{{y}} = tensor.insert_slice {x.name} into {y.name}{at} {list(x.shape)} {[1] * x.rank} : {x.type} into {y.type}",
                 x.exact and y.exact, y.dynamic)

    def op_pad(self):
        x = self.pick(lambda v: v.rank > 0 and v.element != "i1")
        widths = [(self.random.choice([0, 0, 1, 2]), self.random.choice([0, 0, 1, 3])) for _ in x.shape]
        lo, hi = np.pad(x.lo, widths, constant_values=1), np.pad(x.hi, widths, constant_values=1)
        if self.is_tosa() and x.element in ("f32", "f16", "bf16", "i32"):
            one = self.scalar_tensor(x.element, 1)
            p, t = self.shape_constant([n for w in widths for n in w])
            text = f"{{y}} = tosa.pad {x.name}, {p}, {one} : ({x.type}, {t}, tensor<1x{x.element}>) -> {{T}}"
        else:
            one = self.name()
            self.lines.append(f"{one} = arith.constant {'1.0' if x.is_float else 1} : {x.element}")
            low, high = [a for a, _ in widths], [b for _, b in widths]
            arguments = ", ".join(f"%p{d}_{self.n_names}: index" for d in range(x.rank))
            text = f"{{y}} = tensor.pad {x.name} low{low} high{high} {{\n^bb0({arguments}):\n  tensor.yield {one} : {x.element}\n}} : {x.type} to {{T}}"
        self.add(x.element, lo, hi, text, x.exact, x.dynamic)

    def op_concat(self):
        x = self.pick(lambda v: v.rank > 0)
        axis = self.random.randrange(x.rank)
        fits = lambda v: v.element == x.element and v.rank == x.rank and all(a == b for d, (a, b) in enumerate(zip(x.shape, v.shape)) if d != axis)
        parts = [x, *(self.pick(fits) for _ in range(self.random.choice([1, 1, 2])))]
        dynamic = [any(p.dynamic[d] for p in parts) for d in range(x.rank)]
        names, types = ", ".join(p.name for p in parts), ", ".join(p.type for p in parts)
        lo, hi = np.concatenate([p.lo for p in parts], axis), np.concatenate([p.hi for p in parts], axis)
        if self.is_tosa() and x.element != "f64":
            text = f"{{y}} = tosa.concat {names} {{axis = {axis} : i32}} : ({types}) -> {{T}}"
        else:
            text = f"{{y}} = tensor.concat dim({axis}) {names} : ({types}) -> {{T}}"
        self.add(x.element, lo, hi, text, all(p.exact for p in parts), dynamic)

    def op_tile(self):
        x = self.pick(lambda v: v.rank > 0 and v.element != "f64" and not any(v.dynamic))
        times = [self.random.choice([1, 1, 2, 3]) for _ in x.shape]
        name, t = self.shape_constant(times)
        self.add(x.element, np.tile(x.lo, times), np.tile(x.hi, times), f"{{y}} = tosa.tile {x.name}, {name} : ({x.type}, {t}) -> {{T}}", x.exact)

    def op_broadcast(self):
        x = self.pick()
        shape = list(x.shape)
        at = self.random.randint(0, x.rank)
        n = self.random.choice(self.base)
        shape.insert(at, n)
        sources = [(x, d) for d in range(x.rank)]
        sources.insert(at, None)
        out, t, dynamic = self.empty(shape, x.element, sources)
        spread = lambda a: np.broadcast_to(np.expand_dims(a, at), shape)
        self.add(x.element, spread(x.lo), spread(x.hi), f"{{y}} = linalg.broadcast ins({x.name} : {x.type}) outs({out} : {t}) dimensions = [{at}]", x.exact, dynamic)

    # ---- indices from data

    def op_gather(self):
        x = self.pick(lambda v: v.rank == 3 and v.element in ("f32", "f16", "bf16", "i32") and all(v.shape))
        n = self.random.choice([1, 3, 8])
        i, name, t = self.indices((x.shape[0], n), x.shape[1])
        if x.dynamic[0]:
            raise Unfit
        take = lambda a: np.take_along_axis(a, i[..., None].astype(np.int64), 1)
        self.add(x.element, take(x.lo), take(x.hi), f"{{y}} = tosa.gather {x.name}, {name} : ({x.type}, {t}) -> {{T}}", x.exact, [False, False, x.dynamic[2]])

    def op_scatter(self):
        x = self.pick(lambda v: v.rank == 3 and v.element in ("f32", "f16", "bf16", "i32") and all(v.shape) and not any(v.dynamic))
        n = self.random.randint(1, x.shape[1])
        i = np.stack([self.rng.permutation(x.shape[1])[:n] for _ in range(x.shape[0])]).astype(np.int32)
        name = self.name()
        t = type_of(i.shape, "i32")
        text = f'dense<"0x{i.tobytes().hex().upper()}">' if i.size > 1 else f"dense<{int(i.flat[0])}>"
        self.lines.append(f"{name} = arith.constant {text} : {t}")
        y = self.pick(lambda v: v.element == x.element and v.shape == (x.shape[0], n, x.shape[2]) and not any(v.dynamic)) if self.random.random() < 0.2 else None
        if y is None:
            c = self.numbers(x.element, (x.shape[0], n, x.shape[2]))
            text = f'dense<"0x{stored(x.element, c).tobytes().hex().upper()}">' if c.size > 1 else f"dense<{float(c.flat[0]):.17e}>" if x.is_float else f"dense<{int(c.flat[0])}>"
            y = self.add(x.element, c, c, f"{{y}} = arith.constant {text} : {{T}}", True)
        lo, hi = x.lo.copy(), x.hi.copy()
        for b in range(x.shape[0]):
            lo[b, i[b]], hi[b, i[b]] = y.lo[b], y.hi[b]
        self.add(x.element, lo, hi, f"{{y}} = tosa.scatter {x.name}, {name}, {y.name} : ({x.type}, {t}, {y.type}) -> {{T}}", x.exact and y.exact)

    # ---- rows at places from data

    def rows_for(self, x, axis, n):
        shape = (*x.shape[:axis], n, *x.shape[axis + 1:])
        if self.random.random() < 0.3:
            try:
                return self.pick(lambda v: v.element == x.element and v.shape == shape and not any(v.dynamic))
            except Unfit:
                pass
        c = self.numbers(x.element, shape)
        if c.size < 2 or x.element == "i1":
            raise Unfit
        return self.add(x.element, c, c, f'{{y}} = arith.constant dense<"0x{stored(x.element, c).tobytes().hex().upper()}"> : {{T}}', True)

    def pick_rows(self):
        x = self.pick(lambda v: v.rank > 1 and v.lo.size and not any(v.dynamic))
        return x, self.random.randrange(x.rank - 1)

    def op_insert_at(self):
        """Rows that follow each other from a computed one on."""
        x, axis = self.pick_rows()
        n = self.random.randint(1, x.shape[axis])
        part, first = self.rows_for(x, axis, n), self.random.randint(0, x.shape[axis] - n)
        zero, read, at = self.name(), self.name(), self.name()
        self.lines += [f"{zero} = arith.constant dense<{first}> : tensor<1xi64>", f"{read} = tensor.extract {zero}[{self.index(0)}] : tensor<1xi64>",
                       f"{at} = arith.index_cast {read} : i64 to index"]
        offsets = ", ".join(at if d == axis else "0" for d in range(x.rank))
        where = tuple(slice(first, first + n) if d == axis else slice(None) for d in range(x.rank))
        lo, hi = x.lo.copy(), x.hi.copy()
        lo[where], hi[where] = part.lo, part.hi
        self.add(x.element, lo, hi, f"{{y}} = tensor.insert_slice {part.name} into {x.name}[{offsets}] {list(part.shape)} {[1] * x.rank} : {part.type} into {{T}}",
                 x.exact and part.exact)

    def op_store(self):
        """A loop for each axis up to the rows', over rows at places of a list: as often as not for all that is in front."""
        x, axis = self.pick_rows()
        n = self.random.randint(1, 4)
        rows = self.rows_for(x, axis, n)
        lead = x.shape[:axis] if self.random.random() < 0.5 else ()
        i, at, t = self.indices((*lead, n), x.shape[axis])
        loops, text, carried = [], "", x.name
        bounds = [*x.shape[:axis], n]
        zero, one, ends = self.index(0), self.index(1), [self.index(size) for size in bounds]
        y, element = self.name(), x.element
        for d in range(axis + 1):
            loops.append((self.name(), self.name()))
            result = y if d == 0 else f"{y}_{d}"
            text += f"{result} = scf.for {loops[d][0]} = {zero} to {ends[d]} step {one} iter_args({loops[d][1]} = {carried}) -> ({x.type}) {{\n"
            carried = loops[d][1]
        index = [iv for iv, _ in loops]
        offsets = ["0"] * (x.rank - axis - 1)
        sizes, ones = [1] * (axis + 1) + list(x.shape[axis + 1:]), [1] * x.rank
        piece = type_of(sizes, element)
        places = ", ".join(index if lead else index[-1:])
        text += (f"%p{y[1:]} = tensor.extract {at}[{places}] : {t}\n%q{y[1:]} = arith.index_cast %p{y[1:]} : i32 to index\n"
                 f"%r{y[1:]} = tensor.extract_slice {rows.name}[{', '.join(index + offsets)}] {sizes} {ones} : {rows.type} to {piece}\n"
                 f"%s{y[1:]} = tensor.insert_slice %r{y[1:]} into {carried}[{', '.join([*index[:-1], f'%q{y[1:]}', *offsets])}] {sizes} {ones} : {piece} into {x.type}\n"
                 f"scf.yield %s{y[1:]} : {x.type}\n}}")
        for d in range(axis, 0, -1):
            text += f"\nscf.yield {y}_{d} : {x.type}\n}}"
        lo, hi = x.lo.copy(), x.hi.copy()
        each = np.broadcast_to(i, bounds)
        for lead_index in np.ndindex(*x.shape[:axis]):
            for w in range(n):
                to = (*lead_index, each[(*lead_index, w)])
                lo[to], hi[to] = rows.lo[(*lead_index, w)], rows.hi[(*lead_index, w)]
        self.lines.append(text)
        self.add(x.element, lo, hi, "", x.exact and rows.exact).name = y
