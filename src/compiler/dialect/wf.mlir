// What the ops mean: a function for each op of the wf dialect that graphs have, and for each op of TOSA, tensor and
// linalg that upstream lowers to nothing structured. It is what the kernels are held to, and what runs where no kernel
// takes an op. docs/wf.md says in words what stands here. An op that only joins others has no function: residual_norm, a
// linear of several weights and columns are first taken apart (fuse/unfuse.c).
//
// The arguments of a function are the op's operands, then its attributes. Operands have been reshaped to the rank that
// stands here; all sizes are open. Where a size is 1 and others of the same loop are not, the operand is repeated.
// `wf.absent` stands for each element of an operand that is left out. The types are placeholders, each for the element
// type of what has its name; a cast from a type to itself is none.

!wide = f64            // what is computed in: f32, or f64 where the first operand is
!x = f8E5M2
!y = f8E4M3
!gamma = f8E4M3FN
!beta = f8E3M4
!rounded = f8E5M2FNUZ  // what intermediate values are rounded to: !wide when the op does not say
!up = f8E4M3FN
!w = f8E4M3FN
!bias = f8E3M4
!residual = f8E4M3FNUZ
!cos = f8E4M3FN        // and of sin
!k = f8E4M3FN
!v = f8E3M4
!mask = f8E4M3FNUZ
!sink = f8E4M3B11FNUZ
!i = i7                // of integers that are indices

!xs = tensor<?x?x!x>
!ys = tensor<?x?x!y>
!matrix = tensor<?x?x!wide>
!vector = tensor<?x!wide>
#rows = affine_map<(r, c) -> (r, c)>
#per_row = affine_map<(r, c) -> (r)>
#per_column = affine_map<(r, c) -> (c)>
#each_row = affine_map<(r) -> (r)>

// ---- norms

// y = x / sqrt(sum x^2 / n + eps) * gamma
func.func @wf.rms_norm(%x: !xs, %gamma: tensor<?x!gamma> {wf.absent = 1.0}, %eps: !wide, %plus_one: i1)
    -> !ys attributes {wf.rounded = !rounded} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %x, %c0 : !xs
  %c = tensor.dim %x, %c1 : !xs
  %zero = arith.constant 0.0 : !wide
  %n_int = arith.index_cast %c : index to i64
  %n = arith.sitofp %n_int : i64 to !wide
  %sum_e = tensor.empty(%r) : !vector
  %sum_0 = linalg.fill ins(%zero : !wide) outs(%sum_e : !vector) -> !vector
  %sum = linalg.generic {indexing_maps = [#rows, #per_row], iterator_types = ["parallel", "reduction"]}
      ins(%x : !xs) outs(%sum_0 : !vector) {
  ^bb0(%a: !x, %so_far: !wide):
    %v = arith.extf %a : !x to !wide
    %square = arith.mulf %v, %v : !wide
    %t = arith.addf %square, %so_far : !wide
    linalg.yield %t : !wide
  } -> !vector
  %y_e = tensor.empty(%r, %c) : !ys
  %y = linalg.generic {indexing_maps = [#rows, #per_column, #per_row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x, %gamma, %sum : !xs, tensor<?x!gamma>, !vector) outs(%y_e : !ys) {
  ^bb0(%a: !x, %g: !gamma, %squares: !wide, %out: !y):
    %v = arith.extf %a : !x to !wide
    %mean = arith.divf %squares, %n : !wide
    %root = arith.addf %mean, %eps : !wide
    %inverse = math.rsqrt %root : !wide
    %normed = arith.mulf %v, %inverse : !wide
    %scaled = func.call @scale(%normed, %g, %plus_one) : (!wide, !gamma, i1) -> !wide
    %t = arith.truncf %scaled : !wide to !y
    linalg.yield %t : !y
  } -> !ys
  return %y : !ys
}

// The normed value, rounded, times gamma or gamma + 1.
func.func private @scale(%normed: !wide, %gamma: !gamma, %plus_one: i1) -> !wide {
  %one = arith.constant 1.0 : !wide
  %rounded = arith.truncf %normed : !wide to !rounded
  %v = arith.extf %rounded : !rounded to !wide
  %g = arith.extf %gamma : !gamma to !wide
  %g1 = arith.addf %g, %one : !wide
  %factor = arith.select %plus_one, %g1, %g : !wide
  %scaled = arith.mulf %v, %factor : !wide
  return %scaled : !wide
}

// y = (x - mean) / sqrt(sum (x - mean)^2 / n + eps) * gamma + beta
func.func @wf.layer_norm(%x: !xs, %gamma: tensor<?x!gamma> {wf.absent = 1.0},
                         %beta: tensor<?x!beta> {wf.absent = -0.0}, %eps: !wide, %plus_one: i1)
    -> !ys attributes {wf.rounded = !rounded} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %x, %c0 : !xs
  %c = tensor.dim %x, %c1 : !xs
  %zero = arith.constant 0.0 : !wide
  %n_int = arith.index_cast %c : index to i64
  %n = arith.sitofp %n_int : i64 to !wide
  %e = tensor.empty(%r) : !vector
  %none = linalg.fill ins(%zero : !wide) outs(%e : !vector) -> !vector
  %sum = linalg.generic {indexing_maps = [#rows, #per_row], iterator_types = ["parallel", "reduction"]}
      ins(%x : !xs) outs(%none : !vector) {
  ^bb0(%a: !x, %so_far: !wide):
    %v = arith.extf %a : !x to !wide
    %t = arith.addf %v, %so_far : !wide
    linalg.yield %t : !wide
  } -> !vector
  %mean = linalg.generic {indexing_maps = [#each_row, #each_row], iterator_types = ["parallel"]}
      ins(%sum : !vector) outs(%e : !vector) {
  ^bb0(%a: !wide, %out: !wide):
    %t = arith.divf %a, %n : !wide
    linalg.yield %t : !wide
  } -> !vector
  %squares = linalg.generic {indexing_maps = [#rows, #per_row, #per_row], iterator_types = ["parallel", "reduction"]}
      ins(%x, %mean : !xs, !vector) outs(%none : !vector) {
  ^bb0(%a: !x, %m: !wide, %so_far: !wide):
    %v = arith.extf %a : !x to !wide
    %centred = arith.subf %v, %m : !wide
    %square = arith.mulf %centred, %centred : !wide
    %t = arith.addf %square, %so_far : !wide
    linalg.yield %t : !wide
  } -> !vector
  %y_e = tensor.empty(%r, %c) : !ys
  %y = linalg.generic {indexing_maps = [#rows, #per_column, #per_column, #per_row, #per_row, #rows],
                       iterator_types = ["parallel", "parallel"]}
      ins(%x, %gamma, %beta, %mean, %squares : !xs, tensor<?x!gamma>, tensor<?x!beta>, !vector,
          !vector) outs(%y_e : !ys) {
  ^bb0(%a: !x, %g: !gamma, %b: !beta, %m: !wide, %s: !wide, %out: !y):
    %v = arith.extf %a : !x to !wide
    %centred = arith.subf %v, %m : !wide
    %variance = arith.divf %s, %n : !wide
    %root = arith.addf %variance, %eps : !wide
    %inverse = math.rsqrt %root : !wide
    %normed = arith.mulf %centred, %inverse : !wide
    %scaled = func.call @scale(%normed, %g, %plus_one) : (!wide, !gamma, i1) -> !wide
    %rounded = arith.truncf %scaled : !wide to !rounded
    %product = arith.extf %rounded : !rounded to !wide
    %shift = arith.extf %b : !beta to !wide
    %shifted = arith.addf %product, %shift : !wide
    %t = arith.truncf %shifted : !wide to !y
    linalg.yield %t : !y
  } -> !ys
  return %y : !ys
}

// ---- products

// y = x w^T + bias + residual
func.func @wf.linear(%x: !xs, %w: tensor<?x?x!w>, %bias: tensor<?x!bias> {wf.absent = -0.0},
                     %residual: tensor<?x?x!residual> {wf.absent = -0.0}) -> !ys {
  %c0 = arith.constant 0 : index
  %r = tensor.dim %x, %c0 : !xs
  %n = tensor.dim %w, %c0 : tensor<?x?x!w>
  %zero = arith.constant 0.0 : !wide
  %e = tensor.empty(%r, %n) : !matrix
  %none = linalg.fill ins(%zero : !wide) outs(%e : !matrix) -> !matrix
  %product = linalg.generic {indexing_maps = [affine_map<(r, n, k) -> (r, k)>, affine_map<(r, n, k) -> (n, k)>,
                                              affine_map<(r, n, k) -> (r, n)>],
                             iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : !xs, tensor<?x?x!w>) outs(%none : !matrix) {
  ^bb0(%a: !x, %b: !w, %so_far: !wide):
    %v = arith.extf %a : !x to !wide
    %u = arith.extf %b : !w to !wide
    %p = arith.mulf %v, %u : !wide
    %t = arith.addf %so_far, %p : !wide
    linalg.yield %t : !wide
  } -> !matrix
  %y_e = tensor.empty(%r, %n) : !ys
  %y = linalg.generic {indexing_maps = [#rows, #per_column, #rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%product, %bias, %residual : !matrix, tensor<?x!bias>, tensor<?x?x!residual>)
      outs(%y_e : !ys) {
  ^bb0(%p: !wide, %b: !bias, %more: !residual, %out: !y):
    %bw = arith.extf %b : !bias to !wide
    %biased = arith.addf %p, %bw : !wide
    %rw = arith.extf %more : !residual to !wide
    %sum = arith.addf %biased, %rw : !wide
    %t = arith.truncf %sum : !wide to !y
    linalg.yield %t : !y
  } -> !ys
  return %y : !ys
}

// w = d q, of blocks of the columns: as a matrix of its own where no kernel takes the linear.
func.func @wf.blocks(%q: tensor<?x?x?x!i>, %d: tensor<?x?x!x>) -> tensor<?x?x?x!y> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %q, %c0 : tensor<?x?x?x!i>
  %b = tensor.dim %q, %c1 : tensor<?x?x?x!i>
  %c = tensor.dim %q, %c2 : tensor<?x?x?x!i>
  %w_e = tensor.empty(%n, %b, %c) : tensor<?x?x?x!y>
  %w = linalg.generic {indexing_maps = [affine_map<(n, b, c) -> (n, b, c)>, affine_map<(n, b, c) -> (n, b)>,
                                        affine_map<(n, b, c) -> (n, b, c)>],
                       iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%q, %d : tensor<?x?x?x!i>, tensor<?x?x!x>) outs(%w_e : tensor<?x?x?x!y>) {
  ^bb0(%i: !i, %scale: !x, %out: !y):
    %number = arith.sitofp %i : !i to !wide
    %s = arith.extf %scale : !x to !wide
    %product = arith.mulf %number, %s : !wide
    %t = arith.truncf %product : !wide to !y
    linalg.yield %t : !y
  } -> tensor<?x?x?x!y>
  return %w : tensor<?x?x?x!y>
}

// y = activation(gate) * up
func.func @wf.glu(%gate: !xs, %up: tensor<?x?x!up>) -> !ys attributes {wf.rounded = !rounded} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %gate, %c0 : !xs
  %c = tensor.dim %gate, %c1 : !xs
  %y_e = tensor.empty(%r, %c) : !ys
  %y = linalg.generic {indexing_maps = [#rows, #rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%gate, %up : !xs, tensor<?x?x!up>) outs(%y_e : !ys) {
  ^bb0(%a: !x, %b: !up, %out: !y):
    %g = arith.extf %a : !x to !wide
    %u = arith.extf %b : !up to !wide
    %active = func.call @activation(%g) : (!wide) -> !wide
    %rounded = arith.truncf %active : !wide to !rounded
    %v = arith.extf %rounded : !rounded to !wide
    %product = arith.mulf %v, %u : !wide
    %t = arith.truncf %product : !wide to !y
    linalg.yield %t : !y
  } -> !ys
  return %y : !ys
}

// The function that the attribute `activation` names: one of the next three.
func.func private @activation(!wide) -> !wide

// g / (1 + e^-g)
func.func private @silu(%g: !wide) -> !wide {
  %one = arith.constant 1.0 : !wide
  %minus = arith.negf %g : !wide
  %e = math.exp %minus : !wide
  %d = arith.addf %one, %e : !wide
  %y = arith.divf %g, %d : !wide
  return %y : !wide
}

// g (1 + erf(g / sqrt(2))) / 2
func.func private @gelu(%g: !wide) -> !wide {
  %one = arith.constant 1.0 : !wide
  %half = arith.constant 0.5 : !wide
  %c = arith.constant 0.7071067811865476 : !wide
  %u = arith.mulf %g, %c : !wide
  %e = math.erf %u : !wide
  %d = arith.addf %one, %e : !wide
  %h = arith.mulf %half, %g : !wide
  %y = arith.mulf %h, %d : !wide
  return %y : !wide
}

// g (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))) / 2
func.func private @gelu_tanh(%g: !wide) -> !wide {
  %one = arith.constant 1.0 : !wide
  %half = arith.constant 0.5 : !wide
  %c = arith.constant 0.7978845608028654 : !wide
  %k = arith.constant 0.044715 : !wide
  %g2 = arith.mulf %g, %g : !wide
  %g3 = arith.mulf %g2, %g : !wide
  %m = arith.mulf %k, %g3 : !wide
  %a = arith.addf %g, %m : !wide
  %ca = arith.mulf %c, %a : !wide
  %e = math.tanh %ca : !wide
  %d = arith.addf %one, %e : !wide
  %h = arith.mulf %half, %g : !wide
  %y = arith.mulf %h, %d : !wide
  return %y : !wide
}

// ---- rows that are chosen, and elementwise

// y[i] = scale table[ids[i]]
func.func @wf.embed(%table: !xs, %ids: tensor<?x!i>, %scale: !wide) -> !ys {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %ids, %c0 : tensor<?x!i>
  %c = tensor.dim %table, %c1 : !xs
  %y_e = tensor.empty(%r, %c) : !ys
  %y = linalg.generic {indexing_maps = [#per_row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<?x!i>) outs(%y_e : !ys) {
  ^bb0(%id: !i, %out: !y):
    %id_64 = arith.extsi %id : !i to i64
    %row = arith.index_cast %id_64 : i64 to index
    %column = linalg.index 1 : index
    %a = tensor.extract %table[%row, %column] : !xs
    %v = arith.extf %a : !x to !wide
    %scaled = arith.mulf %v, %scale : !wide
    %t = arith.truncf %scaled : !wide to !y
    linalg.yield %t : !y
  } -> !ys
  return %y : !ys
}

// y = cap tanh(x / cap)
func.func @wf.softcap(%x: !xs, %cap: !wide) -> !ys {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %x, %c0 : !xs
  %c = tensor.dim %x, %c1 : !xs
  %y_e = tensor.empty(%r, %c) : !ys
  %y = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x : !xs) outs(%y_e : !ys) {
  ^bb0(%a: !x, %out: !y):
    %v = arith.extf %a : !x to !wide
    %capped = func.call @cap(%v, %cap) : (!wide, !wide) -> !wide
    %t = arith.truncf %capped : !wide to !y
    linalg.yield %t : !y
  } -> !ys
  return %y : !ys
}

func.func private @cap(%x: !wide, %cap: !wide) -> !wide {
  %part = arith.divf %x, %cap : !wide
  %bent = math.tanh %part : !wide
  %y = arith.mulf %bent, %cap : !wide
  return %y : !wide
}

// ---- softmax

!scores = tensor<?x?x?x?x?x!wide>
!x5 = tensor<?x?x?x?x?x!x>
!y5 = tensor<?x?x?x?x?x!y>
!sinks = tensor<?x?x?x?x!sink>
#scores = affine_map<(b, k, g, t, s) -> (b, k, g, t, s)>
#each_query = affine_map<(b, k, g, t) -> (b, k, g, t)>

// y = e^(x - m) / (e^(sink - m) + sum e^(x - m)), m the largest of a row and its sink.
func.func private @softmax(%x: !matrix, %sink: !vector, %zero_masked: i1) -> !matrix {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %x, %c0 : !matrix
  %c = tensor.dim %x, %c1 : !matrix
  %zero = arith.constant 0.0 : !wide
  %lowest = arith.constant 0xFFF0000000000000 : !wide
  %row_e = tensor.empty(%r) : !vector
  %e = tensor.empty(%r, %c) : !matrix
  %max_0 = func.call @first_max(%sink, %row_e) : (!vector, !vector) -> !vector
  %max = linalg.generic {indexing_maps = [#rows, #per_row], iterator_types = ["parallel", "reduction"]}
      ins(%x : !matrix) outs(%max_0 : !vector) {
  ^bb0(%a: !wide, %so_far: !wide):
    %larger = arith.maximumf %a, %so_far : !wide
    linalg.yield %larger : !wide
  } -> !vector
  %exp = linalg.generic {indexing_maps = [#rows, #per_row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x, %max : !matrix, !vector) outs(%e : !matrix) {
  ^bb0(%a: !wide, %m: !wide, %out: !wide):
    %below = arith.subf %a, %m : !wide
    %weight = math.exp %below : !wide
    linalg.yield %weight : !wide
  } -> !matrix
  %sum_0 = func.call @first_sum(%sink, %max, %row_e) : (!vector, !vector, !vector) -> !vector
  %sum = linalg.generic {indexing_maps = [#rows, #per_row], iterator_types = ["parallel", "reduction"]}
      ins(%exp : !matrix) outs(%sum_0 : !vector) {
  ^bb0(%a: !wide, %so_far: !wide):
    %more = arith.addf %a, %so_far : !wide
    linalg.yield %more : !wide
  } -> !vector
  %y = linalg.generic {indexing_maps = [#rows, #per_row, #per_row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%exp, %sum, %max : !matrix, !vector, !vector) outs(%e : !matrix) {
  ^bb0(%a: !wide, %all: !wide, %m: !wide, %out: !wide):
    %part = arith.divf %a, %all : !wide
    %hidden = arith.cmpf oeq, %m, %lowest : !wide
    %is_zero = arith.andi %hidden, %zero_masked : i1
    %v = arith.select %is_zero, %zero, %part : !wide
    linalg.yield %v : !wide
  } -> !matrix
  return %y : !matrix
}

// What the largest value and the sum of a row start from: the functions for a sink, or for none.
func.func private @first_max(!vector, !vector) -> !vector
func.func private @first_sum(!vector, !vector, !vector) -> !vector

func.func private @first_max.none(%sink: !vector, %e: !vector) -> !vector {
  %lowest = arith.constant 0xFFF0000000000000 : !wide
  %y = linalg.fill ins(%lowest : !wide) outs(%e : !vector) -> !vector
  return %y : !vector
}

func.func private @first_max.sink(%sink: !vector, %e: !vector) -> !vector {
  return %sink : !vector
}

func.func private @first_sum.none(%sink: !vector, %max: !vector, %e: !vector) -> !vector {
  %zero = arith.constant 0.0 : !wide
  %y = linalg.fill ins(%zero : !wide) outs(%e : !vector) -> !vector
  return %y : !vector
}

func.func private @first_sum.sink(%sink: !vector, %max: !vector, %e: !vector) -> !vector {
  %y = linalg.generic {indexing_maps = [#each_row, #each_row, #each_row], iterator_types = ["parallel"]}
      ins(%sink, %max : !vector, !vector) outs(%e : !vector) {
  ^bb0(%a: !wide, %m: !wide, %out: !wide):
    %below = arith.subf %a, %m : !wide
    %weight = math.exp %below : !wide
    linalg.yield %weight : !wide
  } -> !vector
  return %y : !vector
}

// The sinks of scores [b, k, g, t, s], one for each row of s.
func.func private @spread_sinks(%sink: !sinks, %b: index, %k: index, %g: index, %t: index) -> !vector {
  %e = tensor.empty(%b, %k, %g, %t) : tensor<?x?x?x?x!wide>
  %wide = linalg.generic {indexing_maps = [#each_query, #each_query],
                          iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%sink : !sinks) outs(%e : tensor<?x?x?x?x!wide>) {
  ^bb0(%a: !sink, %out: !wide):
    %v = arith.extf %a : !sink to !wide
    linalg.yield %v : !wide
  } -> tensor<?x?x?x?x!wide>
  %y = tensor.collapse_shape %wide [[0, 1, 2, 3]] : tensor<?x?x?x?x!wide> into !vector
  return %y : !vector
}

// x [r, c], whose rows stand in [b, k, g, t] as far as sinks go.
func.func @wf.softmax(%x: !xs, %sink: !sinks {wf.absent = 0xFFF0000000000000 : f64}, %zero_masked: i1,
                      %b: index, %k: index, %g: index, %t: index) -> !ys {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tensor.dim %x, %c0 : !xs
  %c = tensor.dim %x, %c1 : !xs
  %wide_e = tensor.empty(%r, %c) : !matrix
  %wide = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x : !xs) outs(%wide_e : !matrix) {
  ^bb0(%a: !x, %out: !wide):
    %v = arith.extf %a : !x to !wide
    linalg.yield %v : !wide
  } -> !matrix
  %sinks = func.call @spread_sinks(%sink, %b, %k, %g, %t) : (!sinks, index, index, index, index) -> !vector
  %parts = func.call @softmax(%wide, %sinks, %zero_masked) : (!matrix, !vector, i1) -> !matrix
  %y_e = tensor.empty(%r, %c) : !ys
  %y = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%parts : !matrix) outs(%y_e : !ys) {
  ^bb0(%a: !wide, %out: !y):
    %v = arith.truncf %a : !wide to !y
    linalg.yield %v : !y
  } -> !ys
  return %y : !ys
}

!x3 = tensor<?x?x?x!x>
!y3 = tensor<?x?x?x!y>
!cube = tensor<?x?x?x!wide>
#cube = affine_map<(b, i, c) -> (b, i, c)>
#line = affine_map<(b, i, c) -> (b, c)>

// Along the axis in the middle.
func.func @linalg.softmax(%x: !x3) -> !y3 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %x, %c0 : !x3
  %i = tensor.dim %x, %c1 : !x3
  %c = tensor.dim %x, %c2 : !x3
  %zero = arith.constant 0.0 : !wide
  %lowest = arith.constant 0xFFF0000000000000 : !wide
  %line_e = tensor.empty(%b, %c) : !matrix
  %max_0 = linalg.fill ins(%lowest : !wide) outs(%line_e : !matrix) -> !matrix
  %max = linalg.generic {indexing_maps = [#cube, #line], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%x : !x3) outs(%max_0 : !matrix) {
  ^bb0(%a: !x, %so_far: !wide):
    %v = arith.extf %a : !x to !wide
    %larger = arith.maximumf %v, %so_far : !wide
    linalg.yield %larger : !wide
  } -> !matrix
  %exp_e = tensor.empty(%b, %i, %c) : !cube
  %exp = linalg.generic {indexing_maps = [#cube, #line, #cube], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %max : !x3, !matrix) outs(%exp_e : !cube) {
  ^bb0(%a: !x, %m: !wide, %out: !wide):
    %v = arith.extf %a : !x to !wide
    %below = arith.subf %v, %m : !wide
    %weight = math.exp %below : !wide
    linalg.yield %weight : !wide
  } -> !cube
  %sum_0 = linalg.fill ins(%zero : !wide) outs(%line_e : !matrix) -> !matrix
  %sum = linalg.generic {indexing_maps = [#cube, #line], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%exp : !cube) outs(%sum_0 : !matrix) {
  ^bb0(%a: !wide, %so_far: !wide):
    %more = arith.addf %a, %so_far : !wide
    linalg.yield %more : !wide
  } -> !matrix
  %y_e = tensor.empty(%b, %i, %c) : !y3
  %y = linalg.generic {indexing_maps = [#cube, #line, #cube], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%exp, %sum : !cube, !matrix) outs(%y_e : !y3) {
  ^bb0(%a: !wide, %all: !wide, %out: !y):
    %part = arith.divf %a, %all : !wide
    %v = arith.truncf %part : !wide to !y
    linalg.yield %v : !y
  } -> !y3
  return %y : !y3
}

// ---- rotations of heads

!angles = tensor<?x?x!cos>

// x: batch, tokens, heads, halves, features of a half. cos and sin: tokens, features of a half.
// (a, b) becomes (a cos - b sin, b cos + a sin)
func.func @wf.rope(%x: !x5, %cos: !angles, %sin: !angles)
    -> !y5 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %b = tensor.dim %x, %c0 : !x5
  %t = tensor.dim %x, %c1 : !x5
  %h = tensor.dim %x, %c2 : !x5
  %p = tensor.dim %x, %c3 : !x5
  %f = tensor.dim %x, %c4 : !x5
  %e = tensor.empty(%b, %t, %h, %p, %f) : !y5
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, h, p, f) -> (b, t, h, p, f)>,
                                        affine_map<(b, t, h, p, f) -> (b, t, h, 1 - p, f)>,
                                        affine_map<(b, t, h, p, f) -> (t, f)>, affine_map<(b, t, h, p, f) -> (t, f)>,
                                        affine_map<(b, t, h, p, f) -> (b, t, h, p, f)>],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%x, %x, %cos, %sin : !x5, !x5, !angles, !angles)
      outs(%e : !y5) {
  ^bb0(%a: !x, %other: !x, %c: !cos, %s: !cos, %out: !y):
    %half = linalg.index 3 : index
    %v = func.call @rotate(%half, %a, %other, %c, %s) : (index, !x, !x, !cos, !cos) -> !y
    linalg.yield %v : !y
  } -> !y5
  return %y : !y5
}

// x: batch, tokens, heads, pairs, features of a pair.
func.func @wf.rope.interleaved(%x: !x5, %cos: !angles, %sin: !angles)
    -> !y5 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %b = tensor.dim %x, %c0 : !x5
  %t = tensor.dim %x, %c1 : !x5
  %h = tensor.dim %x, %c2 : !x5
  %f = tensor.dim %x, %c3 : !x5
  %p = tensor.dim %x, %c4 : !x5
  %e = tensor.empty(%b, %t, %h, %f, %p) : !y5
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, h, f, p) -> (b, t, h, f, p)>,
                                        affine_map<(b, t, h, f, p) -> (b, t, h, f, 1 - p)>,
                                        affine_map<(b, t, h, f, p) -> (t, f)>, affine_map<(b, t, h, f, p) -> (t, f)>,
                                        affine_map<(b, t, h, f, p) -> (b, t, h, f, p)>],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%x, %x, %cos, %sin : !x5, !x5, !angles, !angles)
      outs(%e : !y5) {
  ^bb0(%a: !x, %other: !x, %c: !cos, %s: !cos, %out: !y):
    %half = linalg.index 4 : index
    %v = func.call @rotate(%half, %a, %other, %c, %s) : (index, !x, !x, !cos, !cos) -> !y
    linalg.yield %v : !y
  } -> !y5
  return %y : !y5
}

// a cos - other sin for what comes first in its pair, a cos + other sin for what comes second
func.func private @rotate(%half: index, %a: !x, %other: !x, %cos: !cos, %sin: !cos) -> !y {
  %zero = arith.constant 0 : index
  %aw = arith.extf %a : !x to !wide
  %bw = arith.extf %other : !x to !wide
  %c = arith.extf %cos : !cos to !wide
  %s = arith.extf %sin : !cos to !wide
  %is_first = arith.cmpi eq, %half, %zero : index
  %minus = arith.negf %s : !wide
  %sign = arith.select %is_first, %minus, %s : !wide
  %k = arith.mulf %aw, %c : !wide
  %l = arith.mulf %bw, %sign : !wide
  %sum = arith.addf %k, %l : !wide
  %y = arith.truncf %sum : !wide to !y
  return %y : !y
}

// ---- attention

!keys = tensor<?x?x?x?x!k>
!values = tensor<?x?x?x?x!v>
!mask5 = tensor<?x?x?x?x?x!mask>

// y = softmax(scale q k^T + mask) v
//
// b sequences, t queries, s keys, k heads of keys and values, for g heads of queries each, of d features; e of values.
func.func @wf.attention(%q: !x5, %k: !keys, %v: !values,
                        %mask: !mask5 {wf.absent = -0.0},
                        %sink: !sinks {wf.absent = 0xFFF0000000000000 : f64},
                        %scale: !wide, %causal: i1, %window: index, %softcap: !wide, %zero_masked: i1)
    -> !y5 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %b = tensor.dim %q, %c0 : !x5
  %t = tensor.dim %q, %c1 : !x5
  %n_kv = tensor.dim %q, %c2 : !x5
  %g = tensor.dim %q, %c3 : !x5
  %s = tensor.dim %k, %c1 : !keys
  %e = tensor.dim %v, %c3 : !values
  %zero = arith.constant 0.0 : !wide
  %lowest = arith.constant 0xFFF0000000000000 : !wide
  %past = arith.subi %s, %t : index
  %no_window = arith.cmpi eq, %window, %c0 : index
  %yes = arith.constant true
  %not_causal = arith.xori %causal, %yes : i1
  %has_cap = arith.cmpf une, %softcap, %zero : !wide
  %scores_e = tensor.empty(%b, %n_kv, %g, %t, %s) : !scores
  %scores_0 = linalg.fill ins(%zero : !wide) outs(%scores_e : !scores) -> !scores
  %products = linalg.generic {indexing_maps = [affine_map<(b, k, g, t, s, d) -> (b, t, k, g, d)>,
                                               affine_map<(b, k, g, t, s, d) -> (b, s, k, d)>,
                                               affine_map<(b, k, g, t, s, d) -> (b, k, g, t, s)>],
                              iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel",
                                                "reduction"]}
      ins(%q, %k : !x5, !keys) outs(%scores_0 : !scores) {
  ^bb0(%a: !x, %c: !k, %so_far: !wide):
    %aw = arith.extf %a : !x to !wide
    %cw = arith.extf %c : !k to !wide
    %p = arith.mulf %aw, %cw : !wide
    %sum = arith.addf %so_far, %p : !wide
    linalg.yield %sum : !wide
  } -> !scores
  %scores = linalg.generic {indexing_maps = [#scores, #scores, #scores],
                            iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%products, %mask : !scores, !mask5)
      outs(%scores_e : !scores) {
  ^bb0(%p: !wide, %m: !mask, %out: !wide):
    %scaled = arith.mulf %p, %scale : !wide
    %bent = func.call @cap(%scaled, %softcap) : (!wide, !wide) -> !wide
    %capped = arith.select %has_cap, %bent, %scaled : !wide
    %masked = func.call @mask(%capped, %m) : (!wide, !mask) -> !wide
    %i = linalg.index 3 : index
    %j = linalg.index 4 : index
    %last = arith.addi %i, %past : index
    %has_come = arith.cmpi sle, %j, %last : index
    %before = arith.subi %last, %window : index
    %is_near = arith.cmpi sgt, %j, %before : index
    %stays = arith.ori %is_near, %no_window : i1
    %is_inside = arith.andi %has_come, %stays : i1
    %is_seen = arith.ori %is_inside, %not_causal : i1
    %score = arith.select %is_seen, %masked, %lowest : !wide
    linalg.yield %score : !wide
  } -> !scores
  %rows = tensor.collapse_shape %scores [[0, 1, 2, 3], [4]] : !scores into !matrix
  %sinks = func.call @spread_sinks(%sink, %b, %n_kv, %g, %t) : (!sinks, index, index, index, index) -> !vector
  %soft = func.call @softmax(%rows, %sinks, %zero_masked) : (!matrix, !vector, i1) -> !matrix
  %weights = tensor.expand_shape %soft [[0, 1, 2, 3], [4]] output_shape [%b, %n_kv, %g, %t, %s] : !matrix into !scores
  %sum_e = tensor.empty(%b, %t, %n_kv, %g, %e) : !scores
  %sum_0 = linalg.fill ins(%zero : !wide) outs(%sum_e : !scores) -> !scores
  %sum = linalg.generic {indexing_maps = [affine_map<(b, k, g, t, e, s) -> (b, k, g, t, s)>,
                                          affine_map<(b, k, g, t, e, s) -> (b, s, k, e)>,
                                          affine_map<(b, k, g, t, e, s) -> (b, t, k, g, e)>],
                         iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%weights, %v : !scores, !values) outs(%sum_0 : !scores) {
  ^bb0(%a: !wide, %c: !v, %so_far: !wide):
    %cw = arith.extf %c : !v to !wide
    %p = arith.mulf %a, %cw : !wide
    %more = arith.addf %so_far, %p : !wide
    linalg.yield %more : !wide
  } -> !scores
  %y_e = tensor.empty(%b, %t, %n_kv, %g, %e) : !y5
  %y = linalg.generic {indexing_maps = [#scores, #scores],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%sum : !scores) outs(%y_e : !y5) {
  ^bb0(%a: !wide, %out: !y):
    %n = arith.truncf %a : !wide to !y
    linalg.yield %n : !y
  } -> !y5
  return %y : !y5
}

// One of the next two, by the type of the mask.
func.func private @mask(!wide, !mask) -> !wide

func.func private @mask.float(%score: !wide, %mask: !mask) -> !wide {
  %m = arith.extf %mask : !mask to !wide
  %y = arith.addf %score, %m : !wide
  return %y : !wide
}

func.func private @mask.i1(%score: !wide, %is_seen: i1) -> !wide {
  %lowest = arith.constant 0xFFF0000000000000 : !wide
  %y = arith.select %is_seen, %score, %lowest : !wide
  return %y : !wide
}

// ---- ops of TOSA and tensor. Indices that are computed are checked against their bounds when they are used.

// y[b, at[b, w], c] = rows[b, w, c], one w after the other, and x elsewhere: first which of the rows each row of y takes,
// -1 for none, then that row. tosa.scatter is this without drops.
func.func @wf.store_rows(%x: !x3, %rows: !x3, %at: tensor<?x?x!i>, %drops: i1)
    -> !x3 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c0 : !x3
  %k = tensor.dim %x, %c1 : !x3
  %c = tensor.dim %x, %c2 : !x3
  %none = arith.constant -1 : i64
  %zero = arith.constant 0 : i64
  %n_rows = arith.index_cast %k : index to i64
  %where_e = tensor.empty(%n, %k) : tensor<?x?xi64>
  %where_0 = linalg.fill ins(%none : i64) outs(%where_e : tensor<?x?xi64>) -> tensor<?x?xi64>
  %where = linalg.generic {indexing_maps = [affine_map<(b, k, w) -> (b, w)>, affine_map<(b, k, w) -> (b, k)>],
                           iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%at : tensor<?x?x!i>) outs(%where_0 : tensor<?x?xi64>) {
  ^bb0(%i: !i, %so_far: i64):
    %row = arith.extsi %i : !i to i64
    %is_inside = arith.cmpi ult, %row, %n_rows : i64
    %is_fine = arith.ori %is_inside, %drops : i1
    cf.assert %is_fine, "an index is out of range"
    %place = linalg.index 1 : index
    %place_64 = arith.index_cast %place : index to i64
    %w = linalg.index 2 : index
    %w_64 = arith.index_cast %w : index to i64
    %is_this = arith.cmpi eq, %row, %place_64 : i64
    %r = arith.select %is_this, %w_64, %so_far : i64
    linalg.yield %r : i64
  } -> tensor<?x?xi64>
  %y_e = tensor.empty(%n, %k, %c) : !x3
  %y = linalg.generic {indexing_maps = [#cube, affine_map<(b, i, c) -> (b, i)>, #cube],
                       iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %where : !x3, tensor<?x?xi64>) outs(%y_e : !x3) {
  ^bb0(%v: !x, %w: i64, %out: !x):
    %stays = arith.cmpi slt, %w, %zero : i64
    %safe = arith.maxsi %w, %zero : i64
    %b = linalg.index 0 : index
    %row = arith.index_cast %safe : i64 to index
    %column = linalg.index 2 : index
    %u = tensor.extract %rows[%b, %row, %column] : !x3
    %r = arith.select %stays, %v, %u : !x
    linalg.yield %r : !x
  } -> !x3
  return %y : !x3
}

// y[b, i, c] = x[b, first + i step, c]: of a slice along one axis. Others are slices of slices.
func.func @tensor.extract_slice(%x: !x3, %first: index, %size: index, %step: index) -> !x3 {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c0 : !x3
  %c = tensor.dim %x, %c2 : !x3
  %y_e = tensor.empty(%n, %size, %c) : !x3
  %y = linalg.generic {indexing_maps = [#cube], iterator_types = ["parallel", "parallel", "parallel"]}
      outs(%y_e : !x3) {
  ^bb0(%out: !x):
    %b = linalg.index 0 : index
    %i = linalg.index 1 : index
    %column = linalg.index 2 : index
    %steps = arith.muli %i, %step : index
    %at = arith.addi %first, %steps : index
    %v = tensor.extract %x[%b, %at, %column] : !x3
    linalg.yield %v : !x
  } -> !x3
  return %y : !x3
}

// y[b, first + i, c] = part[b, i, c], and x elsewhere.
func.func @tensor.insert_slice(%part: !x3, %x: !x3, %first: index) -> !x3 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c0 : !x3
  %all = tensor.dim %x, %c1 : !x3
  %c = tensor.dim %x, %c2 : !x3
  %size = tensor.dim %part, %c1 : !x3
  %last = arith.subi %size, %c1 : index
  %last_first = arith.subi %all, %size : index
  %y_e = tensor.empty(%n, %all, %c) : !x3
  %y = linalg.generic {indexing_maps = [#cube, #cube], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : !x3) outs(%y_e : !x3) {
  ^bb0(%v: !x, %out: !x):
    %fits = arith.cmpi ule, %first, %last_first : index
    cf.assert %fits, "a slice is out of range"
    %b = linalg.index 0 : index
    %i = linalg.index 1 : index
    %column = linalg.index 2 : index
    %at = arith.subi %i, %first : index
    %is_hit = arith.cmpi ult, %at, %size : index
    %not_low = arith.maxsi %at, %c0 : index
    %safe = arith.minsi %not_low, %last : index
    %u = tensor.extract %part[%b, %safe, %column] : !x3
    %r = arith.select %is_hit, %u, %v : !x
    linalg.yield %r : !x
  } -> !x3
  return %y : !x3
}

// The bits of x as another type.
func.func @tensor.bitcast(%x: tensor<?x!x>) -> tensor<?x!y> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x!x>
  %y_e = tensor.empty(%n) : tensor<?x!y>
  %y = linalg.generic {indexing_maps = [#each_row, #each_row], iterator_types = ["parallel"]}
      ins(%x : tensor<?x!x>) outs(%y_e : tensor<?x!y>) {
  ^bb0(%v: !x, %out: !y):
    %bits = arith.bitcast %v : !x to !y
    linalg.yield %bits : !y
  } -> tensor<?x!y>
  return %y : tensor<?x!y>
}
