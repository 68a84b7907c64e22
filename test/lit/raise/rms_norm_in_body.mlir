// Fusion has joined the norm with the sum after it: the op becomes an operand of what is left of the body.
// RUN: welford opt --passes=raise %s | FileCheck %s --implicit-check-not=math --implicit-check-not='"reduction"'
// CHECK: %[[N:.*]] = "wf.rms_norm"(%arg0, %arg1) {eps = 9.9999
// CHECK: linalg.generic {{.*}} ins(%arg2, %[[N]] : tensor<8x64xf32>, tensor<8x64xf32>)
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32, %{{.*}}: f32):
// CHECK-NEXT: arith.subf %[[A]], %[[B]] : f32
#rows = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#cols = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<8x64xf32>, %gamma: tensor<64xf32>, %r: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %zero = arith.constant 0.000000e+00 : f32
  %n = arith.constant 6.400000e+01 : f32
  %eps = arith.constant 1.000000e-05 : f32
  %e0 = tensor.empty() : tensor<8xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e0 : tensor<8xf32>) -> tensor<8xf32>
  %sum = linalg.generic {indexing_maps = [#rows, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<8x64xf32>) outs(%init : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.mulf %a, %a : f32
    %s = arith.addf %q, %o : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  %e1 = tensor.empty() : tensor<8x64xf32>
  %y = linalg.generic {indexing_maps = [#rows, #row, #cols, #rows, #rows], iterator_types = ["parallel", "parallel"]} ins(%x, %sum, %gamma, %r : tensor<8x64xf32>, tensor<8xf32>, tensor<64xf32>, tensor<8x64xf32>) outs(%e1 : tensor<8x64xf32>) {
  ^bb0(%a: f32, %b: f32, %g: f32, %c: f32, %o: f32):
    %m = arith.divf %b, %n : f32
    %me = arith.addf %m, %eps : f32
    %i = math.rsqrt %me : f32
    %nx = arith.mulf %a, %i : f32
    %ng = arith.mulf %nx, %g : f32
    %d = arith.subf %c, %ng : f32
    linalg.yield %d : f32
  } -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}
