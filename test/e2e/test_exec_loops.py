"""welford exec: buffers, loops, branches, calls in regions and the helpers that tests declare."""
import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  mlir is a fixture

RNG = np.random.default_rng(5)
CONSTANTS = "\n".join(f"%c{i} = arith.constant {i} : index" for i in (0, 1, 2, 3, 4, 5))


def array(*shape):
    return RNG.standard_normal(shape).astype("f4")


# ---- calls

CALL = """
func.func private @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = tosa.exp %x : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
"""


@pytest.mark.parametrize("way", [False, True])
def test_call_in_branch(mlir, way):  # noqa: F811
    f = mlir(CALL + """func.func @main(%x: tensor<4xf32>, %c: tensor<i1>) -> tensor<4xf32> {
      %b = tensor.extract %c[] : tensor<i1>
      %0 = scf.if %b -> (tensor<4xf32>) {
        %y = func.call @f(%x) : (tensor<4xf32>) -> tensor<4xf32>
        scf.yield %y : tensor<4xf32>
      } else {
        scf.yield %x : tensor<4xf32>
      }
      return %0 : tensor<4xf32>
    }""")
    x = array(4)
    assert np.abs(f(x, np.array(way))[0] - (np.exp(x) if way else x)).max() < 1e-6


def test_helpers_are_provided(mlir):  # noqa: F811
    f = mlir("""func.func private @rtclock() -> f64
    func.func private @printMemrefF32(%p: tensor<*xf32>)
    func.func private @print_newline()
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %t0 = call @rtclock() : () -> f64
      %y = tosa.exp %x : (tensor<4xf32>) -> tensor<4xf32>
      %t1 = call @rtclock() : () -> f64
      %d = arith.subf %t1, %t0 : f64
      vector.print %d : f64
      %u = tensor.cast %y : tensor<4xf32> to tensor<*xf32>
      call @printMemrefF32(%u) : (tensor<*xf32>) -> ()
      call @print_newline() : () -> ()
      return %y : tensor<4xf32>
    }""")
    x = array(4)
    assert np.abs(f(x)[0] - np.exp(x)).max() < 1e-5


def test_other_declaration_is_named(mlir):  # noqa: F811
    f = mlir("""func.func private @mystery(%x: tensor<4xf32>) -> tensor<4xf32>
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %y = call @mystery(%x) : (tensor<4xf32>) -> tensor<4xf32>
      return %y : tensor<4xf32>
    }""")
    assert "@mystery, which is declared" in f.run(array(4)).failed().stderr


# ---- loops over tensors

LOOP = """func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {{
  {constants}
  %n = arith.constant {rounds} : index
  %y = scf.for %i = %c0 to %n step %c1 iter_args(%t = %x) -> (tensor<4xf32>) {{
    %r = func.call @f(%t) : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %r : tensor<4xf32>
  }}
  return %y : tensor<4xf32>
}}"""


@pytest.mark.parametrize("rounds", [0, 1, 5, 1000])
def test_loop_over_tensors(mlir, rounds):  # noqa: F811
    """Few rounds are written out, many are a kernel."""
    f = mlir(CALL.replace("exp", "sin") + LOOP.format(constants=CONSTANTS, rounds=rounds))
    x = array(4)
    want = x.astype("f8")
    for _ in range(rounds):
        want = np.sin(want)
    assert np.abs(f(x)[0] - want).max() < 1e-6


WHILE = """func.func @main(%x: tensor<4xf32>, %n: tensor<i64>) -> (tensor<4xf32>, tensor<4xf32>, tensor<i64>) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %e = tensor.extract %n[] : tensor<i64>
  %b = arith.constant dense<[1.0,2.0,3.0,4.0]> : tensor<4xf32>
  %y:3 = scf.while (%k = %c0, %t = %x, %u = %b) : (i64, tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, i64, tensor<4xf32>) {
    %c = arith.cmpi slt, %k, %e : i64
    scf.condition(%c) %t, %k, %u : tensor<4xf32>, i64, tensor<4xf32>
  } do {
  ^bb0(%t: tensor<4xf32>, %k: i64, %u: tensor<4xf32>):
    %j = arith.addi %k, %c1 : i64
    %i = arith.index_cast %k : i64 to index
    %v = arith.sitofp %k : i64 to f32
    %t2 = tensor.insert %v into %t[%i] : tensor<4xf32>
    %r = tosa.add %u, %t2 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    scf.yield %j, %r, %t2 : i64, tensor<4xf32>, tensor<4xf32>
  }
  %o = tensor.from_elements %y#1 : tensor<i64>
  return %y#0, %y#2, %o : tensor<4xf32>, tensor<4xf32>, tensor<i64>
}"""


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 4])
def test_while(mlir, rounds):  # noqa: F811
    """Values that change places from one round to the next, and a scalar result."""
    f = mlir(WHILE)
    x = array(4)
    t, u = x.copy(), np.array([1, 2, 3, 4], "f4")
    for k in range(rounds):
        t2 = t.copy()
        t2[k] = k
        t, u = u + t2, t2
    got = f(x, np.array(rounds), n_results=3)
    assert np.array_equal(got[0], t) and np.array_equal(got[1], u) and got[2] == rounds


def test_index_beyond_a_tensor(mlir):  # noqa: F811
    assert "an index is out of range" in mlir(WHILE).run(array(4), np.array(5), n_results=3).failed(2).stderr


def test_older_value_is_kept(mlir):  # noqa: F811
    """What is read after an insertion into a copy is what was there before."""
    f = mlir(f"""func.func @main(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {{
      {CONSTANTS}
      %y:2 = scf.for %i = %c0 to %c4 step %c1 iter_args(%t = %x, %u = %x) -> (tensor<4xf32>, tensor<4xf32>) {{
        %a = tensor.extract %t[%c0] : tensor<4xf32>
        %t2 = tensor.insert %a into %t[%i] : tensor<4xf32>
        %b = tensor.extract %t[%i] : tensor<4xf32>
        %c = arith.addf %a, %b : f32
        %u2 = tensor.insert %c into %u[%i] : tensor<4xf32>
        scf.yield %t2, %u2 : tensor<4xf32>, tensor<4xf32>
      }}
      return %y#0, %y#1 : tensor<4xf32>, tensor<4xf32>
    }}""")
    x = array(4)
    got = f(x, n_results=2)
    assert np.array_equal(got[0], np.full(4, x[0])) and np.array_equal(got[1], x[0] + x)


# ---- buffers

def test_store_into_a_cache(mlir):  # noqa: F811
    """A tensor becomes a buffer, loops store into it, and it becomes a tensor again."""
    f = mlir(f"""func.func @main(%c: tensor<1x2x16x4xf32>, %n: tensor<1x2x1x4xf32>, %p: tensor<1xi64>) -> tensor<1x2x16x4xf32> {{
      {CONSTANTS}
      %e = tensor.extract %p[%c0] : tensor<1xi64>
      %at = arith.index_cast %e : i64 to index
      %m = bufferization.to_buffer %c : tensor<1x2x16x4xf32> to memref<1x2x16x4xf32>
      scf.for %h = %c0 to %c2 step %c1 {{
        scf.for %d = %c0 to %c4 step %c1 {{
          %v = tensor.extract %n[%c0, %h, %c0, %d] : tensor<1x2x1x4xf32>
          memref.store %v, %m[%c0, %h, %at, %d] : memref<1x2x16x4xf32>
        }}
      }}
      %r = bufferization.to_tensor %m restrict : memref<1x2x16x4xf32> to tensor<1x2x16x4xf32>
      return %r : tensor<1x2x16x4xf32>
    }}""")
    cache, new = array(1, 2, 16, 4), array(1, 2, 1, 4)
    want = cache.copy()
    want[:, :, 7] = new[:, :, 0]
    assert np.array_equal(f(cache, new, np.array([7]))[0], want)
    assert "an index is out of range" in f.run(cache, new, np.array([16])).failed(2).stderr


def test_body_of_buffers(mlir):  # noqa: F811
    """Arguments, globals, loads and stores in affine and parallel loops and branches, subviews, copies; what is written
    to an argument is a result."""
    f = mlir(f"""memref.global "private" constant @w : memref<4xf32> = dense<[1.0, 2.0, 3.0, 4.0]>
    func.func @main(%a: memref<3x4xf32>, %out: memref<3x4xf32>) {{
      {CONSTANTS}
      %w = memref.get_global @w : memref<4xf32>
      %t = memref.alloc() : memref<3x4xf32>
      affine.for %i = 0 to 3 {{
        affine.for %j = 0 to 4 {{
          %x = affine.load %a[%i, %j] : memref<3x4xf32>
          %y = memref.load %w[%j] : memref<4xf32>
          %z = arith.mulf %x, %y : f32
          %zero = arith.constant 0.0 : f32
          %c = arith.cmpf ogt, %z, %zero : f32
          scf.if %c {{
            affine.store %z, %t[%i, %j] : memref<3x4xf32>
          }} else {{
            memref.store %zero, %t[%i, %j] : memref<3x4xf32>
          }}
        }}
      }}
      %s = memref.subview %t[0, 1] [3, 2] [1, 2] : memref<3x4xf32> to memref<3x2xf32, strided<[4, 2], offset: 1>>
      %one = arith.constant 1.0 : f32
      linalg.fill ins(%one : f32) outs(%s : memref<3x2xf32, strided<[4, 2], offset: 1>>)
      memref.copy %t, %out : memref<3x4xf32> to memref<3x4xf32>
      scf.parallel (%i) = (%c0) to (%c3) step (%c1) {{
        %r = memref.subview %out[%i, 0] [1, 4] [1, 1] : memref<3x4xf32> to memref<4xf32, strided<[1], offset: ?>>
        %v = memref.load %r[%c0] : memref<4xf32, strided<[1], offset: ?>>
        %d = arith.addf %v, %one : f32
        memref.store %d, %r[%c0] : memref<4xf32, strided<[1], offset: ?>>
      }}
      memref.dealloc %t : memref<3x4xf32>
      return
    }}""")
    a = array(3, 4)
    want = np.maximum(a * np.array([1, 2, 3, 4], "f4"), 0)
    want[:, 1::2] = 1
    want[:, 0] += 1
    assert np.array_equal(f(a, np.zeros_like(a))[0], want)


def test_reshaped_buffers(mlir):  # noqa: F811
    f = mlir(f"""func.func @main(%a: memref<2x6xf32>) -> memref<3x4xf32> {{
      {CONSTANTS}
      %o = memref.alloc() : memref<3x4xf32>
      %flat = memref.collapse_shape %o [[0, 1]] : memref<3x4xf32> into memref<12xf32>
      %cube = memref.expand_shape %a [[0], [1, 2]] output_shape [2, 3, 2] : memref<2x6xf32> into memref<2x3x2xf32>
      scf.for %i = %c0 to %c2 step %c1 {{
        scf.for %j = %c0 to %c3 step %c1 {{
          scf.for %k = %c0 to %c2 step %c1 {{
            %v = memref.load %cube[%i, %j, %k] : memref<2x3x2xf32>
            %p = arith.muli %k, %c2 : index
            %q = arith.addi %p, %i : index
            %r = arith.muli %q, %c3 : index
            %s = arith.addi %r, %j : index
            memref.store %v, %flat[%s] : memref<12xf32>
          }}
        }}
      }}
      return %o : memref<3x4xf32>
    }}""")
    a = array(2, 6)
    assert np.array_equal(f(a)[0], a.reshape(2, 3, 2).transpose(2, 0, 1).reshape(3, 4))


def test_structured_ops_on_buffers(mlir):  # noqa: F811
    f = mlir("""func.func @main(%a: memref<5x7xf32>, %b: memref<7x6xf32>, %bias: tensor<6xf32>) -> memref<5x6xf32> {
      %o = memref.alloc() : memref<5x6xf32>
      %z = arith.constant 0.0 : f32
      linalg.fill ins(%z : f32) outs(%o : memref<5x6xf32>)
      linalg.matmul ins(%a, %b : memref<5x7xf32>, memref<7x6xf32>) outs(%o : memref<5x6xf32>)
      %bb = bufferization.to_buffer %bias : tensor<6xf32> to memref<6xf32>
      linalg.generic {indexing_maps = [affine_map<(i,j)->(j)>, affine_map<(i,j)->(i,j)>], iterator_types = ["parallel","parallel"]}
          ins(%bb : memref<6xf32>) outs(%o : memref<5x6xf32>) {
      ^bb0(%x: f32, %y: f32):
        %s = arith.addf %x, %y : f32
        linalg.yield %s : f32
      }
      return %o : memref<5x6xf32>
    }""")
    a, b, bias = array(5, 7), array(7, 6), array(6)
    assert np.abs(f(a, b, bias)[0] - (a @ b + bias)).max() < 1e-5


def test_op_on_buffers_is_named(mlir):  # noqa: F811
    f = mlir("""func.func @main(%a: memref<8xf32>) -> vector<8xf32> {
      %c0 = arith.constant 0 : index
      %v = vector.load %a[%c0] : memref<8xf32>, vector<8xf32>
      return %v : vector<8xf32>
    }""")
    assert "vector.load on buffers cannot be compiled" in f.run(array(8)).failed().stderr
