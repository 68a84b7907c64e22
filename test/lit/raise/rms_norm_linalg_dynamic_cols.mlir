// The size of a row, and so the divisor, is known at run time only.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// CHECK-NOT: {{linalg.generic|math}}
// CHECK: "wf.rms_norm"(%arg0, %arg1) {eps = 9.99999974
// CHECK-NOT: {{linalg.generic|math}}
#rows = affine_map<(d0, d1) -> (d0, d1)>
#kept = affine_map<(d0, d1) -> (d0, 0)>
#cols = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<?x?xf32>, %gamma: tensor<?xf32>) -> tensor<?x?xf32> {
  %i0 = arith.constant 0 : index
  %i1 = arith.constant 1 : index
  %rows = tensor.dim %x, %i0 : tensor<?x?xf32>
  %cols = tensor.dim %x, %i1 : tensor<?x?xf32>
  %zero_f32 = arith.constant 0.000000e+00 : f32
  %one = arith.constant 1.000000e+00 : f32
  %eps = arith.constant 1.000000e-05 : f64
  %two = arith.constant 2 : i64
  %twof = arith.constant 2.000000e+00 : f32
  %mh = arith.constant -5.000000e-01 : f32
  %ci = arith.index_cast %cols : index to i64
  %n = arith.sitofp %ci : i64 to f32
  %e1 = tensor.empty(%rows, %cols) : tensor<?x?xf32>
  %sq = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x?xf32>) outs(%e1 : tensor<?x?xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %q = arith.mulf %a0, %a0 : f32
    linalg.yield %q : f32
  } -> tensor<?x?xf32>
  %e2 = tensor.empty(%rows) : tensor<?x1xf32>
  %f2 = linalg.fill ins(%zero_f32 : f32) outs(%e2 : tensor<?x1xf32>) -> tensor<?x1xf32>
  %sum = linalg.generic {indexing_maps = [#rows, #kept], iterator_types = ["parallel", "reduction"]} ins(%sq : tensor<?x?xf32>) outs(%f2 : tensor<?x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %s = arith.addf %a0, %o : f32
    linalg.yield %s : f32
  } -> tensor<?x1xf32>
  %e3 = tensor.empty(%rows) : tensor<?x1xf32>
  %mean = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%sum : tensor<?x1xf32>) outs(%e3 : tensor<?x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %q = arith.divf %a0, %n : f32
    linalg.yield %q : f32
  } -> tensor<?x1xf32>
  %e4 = tensor.empty(%rows) : tensor<?x1xf32>
  %me = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%mean : tensor<?x1xf32>) outs(%e4 : tensor<?x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %ef = arith.truncf %eps : f64 to f32
    %q = arith.addf %a0, %ef : f32
    linalg.yield %q : f32
  } -> tensor<?x1xf32>
  %e5 = tensor.empty(%rows) : tensor<?x1xf32>
  %r = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%me : tensor<?x1xf32>) outs(%e5 : tensor<?x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %q = math.rsqrt %a0 : f32
    linalg.yield %q : f32
  } -> tensor<?x1xf32>
  %e6 = tensor.empty(%rows, %cols) : tensor<?x?xf32>
  %nx = linalg.generic {indexing_maps = [#rows, #kept, #rows], iterator_types = ["parallel", "parallel"]} ins(%x, %r : tensor<?x?xf32>, tensor<?x1xf32>) outs(%e6 : tensor<?x?xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %q = arith.mulf %a0, %a1 : f32
    linalg.yield %q : f32
  } -> tensor<?x?xf32>
  %e7 = tensor.empty(%rows, %cols) : tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#rows, #cols, #rows], iterator_types = ["parallel", "parallel"]} ins(%nx, %gamma : tensor<?x?xf32>, tensor<?xf32>) outs(%e7 : tensor<?x?xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %q = arith.mulf %a0, %a1 : f32
    linalg.yield %q : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
