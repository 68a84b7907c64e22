// The variance makes a detour through f64, as torch.var does.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// CHECK-NOT: {{linalg.generic|f64>}}
// CHECK: "wf.layer_norm"(%arg0, %arg1, %arg2) {eps = 9.99999974
// CHECK-NOT: {{linalg.generic|f64>}}
#rows = affine_map<(d0, d1) -> (d0, d1)>
#kept = affine_map<(d0, d1) -> (d0, 0)>
#cols = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<8x64xf32>, %gamma: tensor<64xf32>, %beta: tensor<64xf32>) -> tensor<8x64xf32> {
  %zero_f32 = arith.constant 0.000000e+00 : f32
  %n = arith.constant 6.400000e+01 : f32
  %one = arith.constant 1.000000e+00 : f32
  %eps = arith.constant 1.000000e-05 : f64
  %two = arith.constant 2 : i64
  %twof = arith.constant 2.000000e+00 : f32
  %mh = arith.constant -5.000000e-01 : f32
  %zero_f64 = arith.constant 0.000000e+00 : f64
  %n64 = arith.constant 6.400000e+01 : f64
  %e1 = tensor.empty() : tensor<8x64xf64>
  %wide = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<8x64xf32>) outs(%e1 : tensor<8x64xf64>) {
  ^bb0(%a0: f32, %o: f64):
    %q = arith.extf %a0 : f32 to f64
    linalg.yield %q : f64
  } -> tensor<8x64xf64>
  %e2 = tensor.empty() : tensor<8x1xf64>
  %f2 = linalg.fill ins(%zero_f64 : f64) outs(%e2 : tensor<8x1xf64>) -> tensor<8x1xf64>
  %ws = linalg.generic {indexing_maps = [#rows, #kept], iterator_types = ["parallel", "reduction"]} ins(%wide : tensor<8x64xf64>) outs(%f2 : tensor<8x1xf64>) {
  ^bb0(%a0: f64, %o: f64):
    %q = arith.addf %a0, %o : f64
    linalg.yield %q : f64
  } -> tensor<8x1xf64>
  %e3 = tensor.empty() : tensor<8x1xf64>
  %wm = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%ws : tensor<8x1xf64>) outs(%e3 : tensor<8x1xf64>) {
  ^bb0(%a0: f64, %o: f64):
    %q = arith.divf %a0, %n64 : f64
    linalg.yield %q : f64
  } -> tensor<8x1xf64>
  %e4 = tensor.empty() : tensor<8x64xf64>
  %wd = linalg.generic {indexing_maps = [#rows, #kept, #rows], iterator_types = ["parallel", "parallel"]} ins(%wide, %wm : tensor<8x64xf64>, tensor<8x1xf64>) outs(%e4 : tensor<8x64xf64>) {
  ^bb0(%a0: f64, %a1: f64, %o: f64):
    %q = arith.subf %a0, %a1 : f64
    linalg.yield %q : f64
  } -> tensor<8x64xf64>
  %e5 = tensor.empty() : tensor<8x64xf64>
  %wq = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%wd : tensor<8x64xf64>) outs(%e5 : tensor<8x64xf64>) {
  ^bb0(%a0: f64, %o: f64):
    %q = arith.mulf %a0, %a0 : f64
    linalg.yield %q : f64
  } -> tensor<8x64xf64>
  %e6 = tensor.empty() : tensor<8x1xf64>
  %f6 = linalg.fill ins(%zero_f64 : f64) outs(%e6 : tensor<8x1xf64>) -> tensor<8x1xf64>
  %wv = linalg.generic {indexing_maps = [#rows, #kept], iterator_types = ["parallel", "reduction"]} ins(%wq : tensor<8x64xf64>) outs(%f6 : tensor<8x1xf64>) {
  ^bb0(%a0: f64, %o: f64):
    %q = arith.addf %a0, %o : f64
    linalg.yield %q : f64
  } -> tensor<8x1xf64>
  %e7 = tensor.empty() : tensor<8x1xf64>
  %wvm = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%wv : tensor<8x1xf64>) outs(%e7 : tensor<8x1xf64>) {
  ^bb0(%a0: f64, %o: f64):
    %q = arith.divf %a0, %n64 : f64
    linalg.yield %q : f64
  } -> tensor<8x1xf64>
  %e8 = tensor.empty() : tensor<8x1xf32>
  %mean = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%wvm : tensor<8x1xf64>) outs(%e8 : tensor<8x1xf32>) {
  ^bb0(%a0: f64, %o: f32):
    %q = arith.truncf %a0 : f64 to f32
    linalg.yield %q : f32
  } -> tensor<8x1xf32>
  %e9 = tensor.empty() : tensor<8x1xf32>
  %me = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%mean : tensor<8x1xf32>) outs(%e9 : tensor<8x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %ef = arith.truncf %eps : f64 to f32
    %q = arith.addf %a0, %ef : f32
    linalg.yield %q : f32
  } -> tensor<8x1xf32>
  %e10 = tensor.empty() : tensor<8x1xf32>
  %f10 = linalg.fill ins(%zero_f32 : f32) outs(%e10 : tensor<8x1xf32>) -> tensor<8x1xf32>
  %sum = linalg.generic {indexing_maps = [#rows, #kept], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<8x64xf32>) outs(%f10 : tensor<8x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %s = arith.addf %a0, %o : f32
    linalg.yield %s : f32
  } -> tensor<8x1xf32>
  %e11 = tensor.empty() : tensor<8x1xf32>
  %mu = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%sum : tensor<8x1xf32>) outs(%e11 : tensor<8x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %q = arith.divf %a0, %n : f32
    linalg.yield %q : f32
  } -> tensor<8x1xf32>
  %e12 = tensor.empty() : tensor<8x64xf32>
  %d = linalg.generic {indexing_maps = [#rows, #kept, #rows], iterator_types = ["parallel", "parallel"]} ins(%x, %mu : tensor<8x64xf32>, tensor<8x1xf32>) outs(%e12 : tensor<8x64xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %q = arith.subf %a0, %a1 : f32
    linalg.yield %q : f32
  } -> tensor<8x64xf32>
  %e13 = tensor.empty() : tensor<8x1xf32>
  %r = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%me : tensor<8x1xf32>) outs(%e13 : tensor<8x1xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %q = math.rsqrt %a0 : f32
    linalg.yield %q : f32
  } -> tensor<8x1xf32>
  %e14 = tensor.empty() : tensor<8x64xf32>
  %nx = linalg.generic {indexing_maps = [#rows, #kept, #rows], iterator_types = ["parallel", "parallel"]} ins(%d, %r : tensor<8x64xf32>, tensor<8x1xf32>) outs(%e14 : tensor<8x64xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %q = arith.mulf %a0, %a1 : f32
    linalg.yield %q : f32
  } -> tensor<8x64xf32>
  %e15 = tensor.empty() : tensor<8x64xf32>
  %g = linalg.generic {indexing_maps = [#rows, #cols, #rows], iterator_types = ["parallel", "parallel"]} ins(%nx, %gamma : tensor<8x64xf32>, tensor<64xf32>) outs(%e15 : tensor<8x64xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %q = arith.mulf %a0, %a1 : f32
    linalg.yield %q : f32
  } -> tensor<8x64xf32>
  %e16 = tensor.empty() : tensor<8x64xf32>
  %y = linalg.generic {indexing_maps = [#rows, #cols, #rows], iterator_types = ["parallel", "parallel"]} ins(%g, %beta : tensor<8x64xf32>, tensor<64xf32>) outs(%e16 : tensor<8x64xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %q = arith.addf %a0, %a1 : f32
    linalg.yield %q : f32
  } -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}
