"""Products, generics, windows and what the raising looks for, for graph_fuzz.py."""
import numpy as np

from fuzz_values import SIZES, Builder, Unfit, affine_map, dims, rounded, type_of


class Structured(Builder):
    # ---- products

    def op_matmul(self):
        x = self.pick_float(rank=self.random.choice([2, 3]))
        if x.rank == 3 and self.is_tosa() and x.element != "f64":
            y = self.constant_or(x.element, lambda v: v.rank == 3 and v.shape[0] == x.shape[0] and v.shape[1] == x.shape[2], (x.shape[0], x.shape[2], self.random.choice(SIZES)))
            z = self.scalar_tensor(x.element, 0)
            acc = "f32" if x.element in ("bf16", "f16") else x.element
            if acc != x.element and self.random.random() < 0.5:
                acc = x.element
            t = f"tensor<1x{x.element}>"
            return self.add(acc, np.matmul(x.lo, y.lo), np.matmul(x.hi, y.hi), f"{{y}} = tosa.matmul {x.name}, {y.name}, {z}, {z} : ({x.type}, {y.type}, {t}, {t}) -> {{T}}",
                            False, [x.dynamic[0] or y.dynamic[0], x.dynamic[1], y.dynamic[2]])
        batch = x.rank == 3
        y = self.constant_or(x.element, lambda v: v.rank == x.rank and (not batch or v.shape[0] == x.shape[0]) and v.shape[-2] == x.shape[-1],
                             (*x.shape[:-2], x.shape[-1], self.random.choice(SIZES)))
        shape = (*x.shape[:-1], y.shape[-1])
        to = x.element if self.random.random() < 0.6 else "f32" if x.element in ("f16", "bf16") else x.element
        start = self.random.choice([0, 0, 0, 1])
        full, t, dynamic = self.filled(shape, to, [*((x, d) for d in range(x.rank - 1)), (y, y.rank - 1)], start)
        self.add(to, np.matmul(x.lo, y.lo) + np.float32(start), np.matmul(x.hi, y.hi) + start,
                 f"{{y}} = linalg.{'batch_' * batch}matmul ins({x.name}, {y.name} : {x.type}, {y.type}) outs({full} : {t}) -> {t}", False, dynamic)

    def op_linear(self):
        """x W^T + b, as a generic with a transposed operand, weights often constant."""
        x = self.pick_float(elements=("f32", "f16", "bf16"), rank=2)
        if not all(x.shape):
            raise Unfit
        n = self.random.choice([5, 16, 17, 32, 48])
        w = self.constant_or(x.element, lambda v: v.rank == 2 and v.shape[1] == x.shape[1], (n, x.shape[1]))
        to = self.random.choice([x.element, "f32"])
        full, t, dynamic = self.filled((x.shape[0], w.shape[0]), to, [(x, 0), (w, 0)], 0)
        maps = [affine_map(3, dims([0, 2])), affine_map(3, dims([1, 2])), affine_map(3, dims([0, 1]))]
        e = x.element
        wide = "" if to == e else f"  %aw = arith.extf %a : {e} to {to}\n  %bw = arith.extf %b : {e} to {to}\n"
        a, b = ("%a", "%b") if to == e else ("%aw", "%bw")
        body = f"^bb0(%a: {e}, %b: {e}, %o: {to}):\n{wide}  %p = arith.mulf {a}, {b} : {to}\n  %s = arith.addf %o, %p : {to}\n  linalg.yield %s : {to}"
        product = self.add(to, x.lo @ w.lo.T, x.hi @ w.hi.T,
                           f'{{y}} = linalg.generic {{indexing_maps = [{", ".join(maps)}], iterator_types = ["parallel", "parallel", "reduction"]}} '
                           f"ins({x.name}, {w.name} : {x.type}, {w.type}) outs({full} : {t}) {{\n{body}\n}} -> {t}", False, dynamic)
        if self.random.random() < 0.5 and w.shape[0] > 1 and not any(dynamic):
            bias = self.constant_or(to, lambda v: v.shape == (1, w.shape[0]), (1, w.shape[0]))
            self.add(to, product.lo + bias.lo, product.hi + bias.hi, f"{{y}} = tosa.add {product.name}, {bias.name} : ({product.type}, {bias.type}) -> {{T}}", False, dynamic)

    def op_quantised(self):
        """x W^T with weights of integers, a scale for each group of a row, and a zero point now and then."""
        x = self.pick_float(elements=("f32",), rank=2)
        k, n = x.shape[1] if x.rank else 0, self.random.choice([3, 16, 20])
        if not all(x.shape) or x.dynamic[1]:
            raise Unfit
        size = self.random.choice([g for g in (1, 2, 4, 8, 16, 32, k) if k % g == 0])
        groups, bits, zero = k // size, self.random.choice([4, 8]), self.random.choice([0.0, 3.0])
        q = self.rng.integers(-2 ** (bits - 1), 2 ** (bits - 1), (n, groups, size))
        scale = (self.rng.random((n, groups)) * 0.02 + 0.001).astype(np.float16 if self.random.random() < 0.7 else np.float32).astype(np.float32)
        names = [self.name() for _ in range(5)]
        t, ts = f"tensor<{n}x{groups}x{size}x", f"tensor<{n}x{groups}xf32>"
        text = f'dense<"0x{scale.tobytes().hex().upper()}">' if scale.size > 1 else f"dense<{float(scale.flat[0]):.17e}>"
        maps = [affine_map(3, dims(m)) for m in ([0, 1, 2], [0, 1], [0, 1, 2])]
        self.lines += [f"{names[0]} = arith.constant dense<{q.tolist()}> : {t}i{bits}>", f"{names[1]} = arith.constant {text} : {ts}",
                       f"{names[2]} = tensor.empty() : {t}f32>",
                       f'{names[3]} = linalg.generic {{indexing_maps = [{", ".join(maps)}], iterator_types = ["parallel", "parallel", "parallel"]}} '
                       f"ins({names[0]}, {names[1]} : {t}i{bits}>, {ts}) outs({names[2]} : {t}f32>) {{\n^bb0(%i: i{bits}, %s: f32, %o: f32):\n"
                       f"  %z = arith.constant {zero} : f32\n  %f = arith.sitofp %i : i{bits} to f32\n  %g = arith.subf %f, %z : f32\n"
                       f"  %h = arith.mulf %g, %s : f32\n  linalg.yield %h : f32\n}} -> {t}f32>",
                       f"{names[4]} = tensor.collapse_shape {names[3]} [[0], [1, 2]] : {t}f32> into tensor<{n}x{k}xf32>"]
        w = ((q - zero) * scale[..., None].astype(np.float64)).reshape(n, k)
        full, out, dynamic = self.filled((x.shape[0], n), "f32", [(x, 0), None], 0)
        products = [affine_map(3, dims([0, 2])), affine_map(3, dims([1, 2])), affine_map(3, dims([0, 1]))]
        self.add("f32", x.lo @ w.T.astype(np.float32), x.hi @ w.T,
                 f'{{y}} = linalg.generic {{indexing_maps = [{", ".join(products)}], iterator_types = ["parallel", "parallel", "reduction"]}} '
                 f"ins({x.name}, {names[4]} : {x.type}, tensor<{n}x{k}xf32>) outs({full} : {out}) {{\n^bb0(%a: f32, %b: f32, %o: f32):\n"
                 f"  %p = arith.mulf %a, %b : f32\n  %s = arith.addf %o, %p : f32\n  linalg.yield %s : f32\n}} -> {out}", False, dynamic)

    # ---- generics

    def op_generic(self):
        """Elementwise, over operands with permuted and missing dimensions."""
        x = self.pick_float(least=1)
        order = self.random.sample(range(x.rank), x.rank)  # dimension d of x is loop order[d]
        loops = [0] * x.rank
        sources = [None] * x.rank
        for d, l in enumerate(order):
            loops[l], sources[l] = x.shape[d], (x, d)
        ins, maps = [x], [order]
        los, his = [x.lo.transpose(np.argsort(order))], [x.hi.transpose(np.argsort(order))]
        for _ in range(self.random.choice([0, 1, 2])):
            kept = sorted(self.random.sample(range(x.rank), self.random.randint(0, x.rank)))
            y = self.constant_or(x.element, lambda v: v.shape == tuple(loops[l] for l in kept), tuple(loops[l] for l in kept))
            ins.append(y)
            maps.append(kept)
            spread = [loops[l] if l in kept else 1 for l in range(x.rank)]
            los.append(y.lo.reshape(spread))
            his.append(y.hi.reshape(spread))
        out, t, dynamic = self.empty(loops, x.element, sources)
        e, body, lo, hi = x.element, "", los[0], his[0]
        value = "%a0"
        for i in range(1, len(ins)):
            op, f = self.random.choice([("addf", np.add), ("mulf", np.multiply), ("subf", np.subtract), ("maximumf", np.maximum)])
            body += f"  %t{i} = arith.{op} {value}, %a{i} : {e}\n"
            value, lo, hi = f"%t{i}", rounded(e, f(lo, los[i])), f(hi, his[i])
        if self.random.random() < 0.3:
            l = self.random.randrange(x.rank)
            ramp = np.arange(loops[l], dtype=np.float32).reshape([-1 if i == l else 1 for i in range(x.rank)])
            body += f"  %i = linalg.index {l} : index\n  %j = arith.index_cast %i : index to i32\n  %k = arith.sitofp %j : i32 to {e}\n  %u = arith.addf {value}, %k : {e}\n"
            value, lo, hi = "%u", rounded(e, lo + ramp), hi + ramp
        body += f"  %n = arith.negf {value} : {e}\n  linalg.yield %n : {e}"
        n = x.rank
        all_maps = ", ".join(affine_map(n, dims(m)) for m in [*maps, range(n)])
        arguments = ", ".join(f"%a{i}: {e}" for i in range(len(ins)))
        kinds = ", ".join(['"parallel"'] * n)
        self.add(e, np.broadcast_to(-lo, loops), np.broadcast_to(-hi, loops),
                 f"{{y}} = linalg.generic {{indexing_maps = [{all_maps}], iterator_types = [{kinds}]}} "
                 f"ins({', '.join(v.name for v in ins)} : {', '.join(v.type for v in ins)}) outs({out} : {t}) {{\n^bb0({arguments}, %o: {e}):\n{body}\n}} -> {t}", False, dynamic)

    def op_generic_reduction(self):
        """Sums of products of two operands over any loops, with two results now and then."""
        x = self.pick_float(elements=("f32", "f64", "bf16", "f16"), least=1)
        n = x.rank
        reduced = sorted(self.random.sample(range(n), self.random.randint(1, n)))
        kept = [l for l in range(n) if l not in reduced]
        self.random.shuffle(kept)
        full, t, dynamic = self.filled([x.shape[l] for l in kept], x.element, [(x, l) for l in kept], 0)
        again, _, _ = self.filled([x.shape[l] for l in kept], x.element, [(x, l) for l in kept], -20)
        e = x.element
        out = affine_map(n, dims(kept))
        kinds = ", ".join('"reduction"' if l in reduced else '"parallel"' for l in range(n))
        order = [sorted(kept).index(l) for l in kept]
        move = lambda a: a.transpose(order) if order else a
        square = lambda a: move((a * a).sum(tuple(reduced)))
        largest = lambda a: move(a.max(tuple(reduced), initial=-20))
        two = self.random.random() < 0.4
        body = f"  %q = arith.mulf %a, %a : {e}\n  %s = arith.addf %q, %o : {e}\n"
        if not two:
            return self.add(e, square(x.lo.astype(np.float64)), square(x.hi),
                            f"{{y}} = linalg.generic {{indexing_maps = [{affine_map(n, dims(range(n)))}, {out}], iterator_types = [{kinds}]}} ins({x.name} : {x.type}) "
                            f"outs({full} : {t}) {{\n^bb0(%a: {e}, %o: {e}):\n{body}  linalg.yield %s : {e}\n}} -> {t}", False, dynamic)
        both = self.name()
        self.lines.append(f"{both}:2 = linalg.generic {{indexing_maps = [{affine_map(n, dims(range(n)))}, {out}, {out}], iterator_types = [{kinds}]}} ins({x.name} : {x.type}) "
                          f"outs({full}, {again} : {t}, {t}) {{\n^bb0(%a: {e}, %o: {e}, %p: {e}):\n{body}  %m = arith.maximumf %a, %p : {e}\n  linalg.yield %s, %m : {e}, {e}\n}} -> ({t}, {t})")
        for i, f in enumerate((square, largest)):
            self.add(e, f(x.lo.astype(np.float64)), f(x.hi), "", x.exact and i == 1, dynamic).name = f"{both}#{i}"

    def op_cumulative_sum(self):
        """The prefix sums of each row: a product with a triangle that linalg.index makes."""
        x = self.pick_float(elements=("f32",), rank=2)
        if not all(x.shape):
            raise Unfit
        full, t, dynamic = self.filled(x.shape, "f32", [(x, 0), (x, 1)], 0)
        body = ("^bb0(%a: f32, %o: f32):\n  %i = linalg.index 1 : index\n  %j = linalg.index 2 : index\n  %c = arith.cmpi sle, %j, %i : index\n"
                "  %z = arith.constant 0.0 : f32\n  %m = arith.select %c, %a, %z : f32\n  %s = arith.addf %o, %m : f32\n  linalg.yield %s : f32")
        # the loop over positions has no operand of its own extent but the result
        self.add("f32", x.lo.cumsum(1), x.hi.cumsum(1),
                 f'{{y}} = linalg.generic {{indexing_maps = [{affine_map(3, dims([0, 2]))}, {affine_map(3, dims([0, 1]))}], iterator_types = ["parallel", "parallel", "reduction"]}} '
                 f"ins({x.name} : {x.type}) outs({full} : {t}) {{\n{body}\n}} -> {t}", False, dynamic)

    # ---- images

    def image(self):
        x = self.pick(lambda v: v.rank == 4 and v.element in ("f32", "f16", "bf16") and all(v.shape) and not any(v.dynamic))
        n, h, w, c = x.shape
        kernel = (self.random.randint(1, min(3, h)), self.random.randint(1, min(3, w)))
        return x, kernel

    def windows(self, a, kernel, stride, dilation=(1, 1)):
        """[n, h, w, kh, kw, c]"""
        n, h, w, c = a.shape
        oh = (h - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
        ow = (w - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
        if oh < 1 or ow < 1:
            raise Unfit
        parts = [[a[:, i * dilation[0]:i * dilation[0] + (oh - 1) * stride[0] + 1:stride[0], j * dilation[1]:j * dilation[1] + (ow - 1) * stride[1] + 1:stride[1]]
                  for j in range(kernel[1])] for i in range(kernel[0])]
        return np.stack([np.stack(row, 3) for row in parts], 3)

    def op_pool(self):
        x, kernel = self.image()
        stride = (self.random.choice([1, 2]), self.random.choice([1, 2]))
        if self.is_tosa():
            h, w = x.shape[1:3]
            if (h - kernel[0]) % stride[0] or (w - kernel[1]) % stride[1]:
                raise Unfit
            shape = f"kernel = array<i64: {kernel[0]}, {kernel[1]}>, pad = array<i64: 0, 0, 0, 0>, stride = array<i64: {stride[0]}, {stride[1]}>"
            if self.random.random() < 0.5:
                f = lambda a: self.windows(a, kernel, stride).max((3, 4))
                return self.add(x.element, f(x.lo), f(x.hi), f"{{y}} = tosa.max_pool2d {x.name} {{{shape}}} : ({x.type}) -> {{T}}", x.exact)
            f = lambda a: self.windows(a.astype(np.float64), kernel, stride).mean((3, 4))
            z, t = self.scalar_tensor(x.element, 0), f"tensor<1x{x.element}>"
            return self.add(x.element, f(x.lo), f(x.hi), f"{{y}} = tosa.avg_pool2d {x.name}, {z}, {z} {{{shape}, acc_type = f32}} : ({x.type}, {t}, {t}) -> {{T}}")
        name, f, start = self.random.choice([("max", lambda a: a.max((3, 4)), -20), ("sum", lambda a: a.sum((3, 4)), 0)])
        lo, hi = f(self.windows(x.lo.astype(np.float64), kernel, stride)), f(self.windows(x.hi, kernel, stride))
        full, t, _ = self.filled(lo.shape, x.element, [None] * 4, start)
        window, wt, _ = self.empty(kernel, x.element, [None] * 2)
        self.add(x.element, lo, hi, f"{{y}} = linalg.pooling_nhwc_{name} {{dilations = dense<1> : tensor<2xi64>, strides = dense<[{stride[0]}, {stride[1]}]> : tensor<2xi64>}} "
                 f"ins({x.name}, {window} : {x.type}, {wt}) outs({full} : {t}) -> {t}", name == "max" and x.exact)

    def op_conv(self):
        x, kernel = self.image()
        o, c = self.random.choice([1, 4, 7]), x.shape[3]
        stride, dilation = (self.random.choice([1, 1, 2]), 1), (1, self.random.choice([1, 1, 2]))
        e = x.element
        if self.is_tosa():
            h, w = x.shape[1:3]
            if (h - kernel[0]) % stride[0] or (w - (kernel[1] - 1) * dilation[1] - 1) % stride[1]:
                raise Unfit
            weights = self.constant_or(e, lambda v: False, (o, *kernel, c))
            bias = self.constant_or(e, lambda v: v.shape == (o,), (o,))
            if self.random.random() < 0.3:  # padding
                pad = (1, 0, 2, 1)
                lo, hi = (np.pad(a, ((0, 0), pad[:2], pad[2:], (0, 0))) for a in (x.lo, x.hi))
                if (h + 1 - kernel[0]) % stride[0] or (w + 3 - (kernel[1] - 1) * dilation[1] - 1) % stride[1]:
                    raise Unfit
            else:
                pad, lo, hi = (0, 0, 0, 0), x.lo, x.hi
            f = lambda a, b, k: np.einsum("nhwijc,oijc->nhwo", self.windows(a.astype(np.float64), kernel, stride, dilation), b) + k
            z, t = self.scalar_tensor(e, 0), f"tensor<1x{e}>"
            lists = ", ".join(f"{key} = array<i64: {', '.join(map(str, numbers))}>" for key, numbers in (("pad", pad), ("stride", stride), ("dilation", dilation)))
            return self.add(e, f(lo, weights.lo, bias.lo), f(hi, weights.hi, bias.hi), f"{{y}} = tosa.conv2d {x.name}, {weights.name}, {bias.name}, {z}, {z} "
                            f"{{acc_type = f32, {lists}}} : ({x.type}, {weights.type}, {bias.type}, {t}, {t}) -> {{T}}")
        depthwise = self.random.random() < 0.5
        weights = self.constant_or(e, lambda v: False, (*kernel, c) if depthwise else (*kernel, c, o))
        rule = "nhwijc,ijc->nhwc" if depthwise else "nhwijc,ijco->nhwo"
        f = lambda a, b: np.einsum(rule, self.windows(a.astype(np.float64), kernel, stride, dilation), b)
        lo, hi = f(x.lo, weights.lo), f(x.hi, weights.hi)
        full, t, _ = self.filled(lo.shape, e, [None] * 4, 0)
        name = "depthwise_conv_2d_nhwc_hwc" if depthwise else "conv_2d_nhwc_hwcf"
        self.add(e, lo, hi, f"{{y}} = linalg.{name} {{dilations = dense<[{dilation[0]}, {dilation[1]}]> : tensor<2xi64>, strides = dense<[{stride[0]}, {stride[1]}]> : tensor<2xi64>}} "
                 f"ins({x.name}, {weights.name} : {x.type}, {weights.type}) outs({full} : {t}) -> {t}")

    # ---- what the raising looks for

    def op_norm(self):
        """mean(x^2) and what follows, over the last axis or another."""
        x = self.pick(lambda v: v.element == "f32" and v.rank > 0 and all(v.shape) and not any(v.dynamic))
        axis = x.rank - 1 if self.random.random() < 0.8 else self.random.randrange(x.rank)
        layer, n = self.random.random() < 0.5, x.shape[axis]
        centre = lambda a: a - a.mean(axis, keepdims=True) if layer else a
        norm = lambda a: centre(a) / np.sqrt((centre(a) ** 2).mean(axis, keepdims=True) + 1e-2)
        stat = type_of([1 if d == axis else m for d, m in enumerate(x.shape)], "f32")
        one = "tensor<" + "1x" * x.rank + "f32>"
        names = [self.name() for _ in range(12)]
        s = self.scalar_tensor("i8", 0)
        put = self.lines.append
        put(f"{names[0]} = arith.constant dense<{1 / n!r}> : {one}" if "." in repr(1 / n) else f"{names[0]} = arith.constant dense<{1 / n:e}> : {one}")
        put(f"{names[1]} = arith.constant dense<1.0e-2> : {one}")
        mul = lambda y, a, b, at, bt, yt: put(f"{y} = tosa.mul {a}, {b}, {s} : ({at}, {bt}, tensor<1xi8>) -> {yt}")
        c = x.name
        if layer:
            put(f"{names[2]} = tosa.reduce_sum {x.name} {{axis = {axis} : i32}} : ({x.type}) -> {stat}")
            mul(names[3], names[2], names[0], stat, one, stat)
            put(f"{names[4]} = tosa.sub {x.name}, {names[3]} : ({x.type}, {stat}) -> {x.type}")
            c = names[4]
        mul(names[5], c, c, x.type, x.type, x.type)
        put(f"{names[6]} = tosa.reduce_sum {names[5]} {{axis = {axis} : i32}} : ({x.type}) -> {stat}")
        mul(names[7], names[6], names[0], stat, one, stat)
        put(f"{names[8]} = tosa.add {names[7]}, {names[1]} : ({stat}, {one}) -> {stat}")
        put(f"{names[9]} = tosa.rsqrt {names[8]} : ({stat}) -> {stat}")
        self.add("f32", norm(x.lo), norm(x.hi), f"{{y}} = tosa.mul {c}, {names[9]}, {s} : ({x.type}, {stat}, tensor<1xi8>) -> {{T}}")

    def op_softmax(self):
        x = self.pick(lambda v: v.element == "f32" and v.rank > 0 and all(v.shape) and not any(v.dynamic))
        axis = x.rank - 1 if self.random.random() < 0.8 else self.random.randrange(x.rank)
        stat = type_of([1 if d == axis else m for d, m in enumerate(x.shape)], "f32")
        m, d, e, t, r = (self.name() for _ in range(5))
        s = self.scalar_tensor("i8", 0)
        self.lines += [f"{m} = tosa.reduce_max {x.name} {{axis = {axis} : i32}} : ({x.type}) -> {stat}", f"{d} = tosa.sub {x.name}, {m} : ({x.type}, {stat}) -> {x.type}",
                       f"{e} = tosa.exp {d} : ({x.type}) -> {x.type}", f"{t} = tosa.reduce_sum {e} {{axis = {axis} : i32}} : ({x.type}) -> {stat}",
                       f"{r} = tosa.reciprocal {t} : ({stat}) -> {stat}"]
        def softmax(a):
            p = np.exp(a - a.max(axis, keepdims=True))
            return p / p.sum(axis, keepdims=True)
        self.add("f32", softmax(x.lo), softmax(x.hi), f"{{y}} = tosa.mul {e}, {r}, {s} : ({x.type}, {stat}, tensor<1xi8>) -> {{T}}")
