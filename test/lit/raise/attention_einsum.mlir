// By einsum: sequence before heads in every operand.
// RUN: welford opt --passes=raise %s | FileCheck %s
// CHECK-LABEL: @einsum
// CHECK: "wf.attention"({{.*}}) {causal = false, n_heads = 3 : i64, n_kv_heads = 3 : i64, {{.*}}scale = 1.000000e+00 : f64} : (tensor<2x4x24xf32>
func.func @einsum(%q: tensor<2x4x3x8xf32>, %k: tensor<2x4x3x8xf32>, %v: tensor<2x4x3x8xf32>) -> tensor<2x4x3x8xf32> {
  %z = arith.constant dense<0.0> : tensor<2x3x4x4xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(b, h, t, s, d) -> (b, t, h, d)>, affine_map<(b, h, t, s, d) -> (b, s, h, d)>, affine_map<(b, h, t, s, d) -> (b, h, t, s)>], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]} ins(%q, %k : tensor<2x4x3x8xf32>, tensor<2x4x3x8xf32>) outs(%z : tensor<2x3x4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %c, %p : f32
    linalg.yield %r : f32
  } -> tensor<2x3x4x4xf32>
  %e = tensor.empty() : tensor<2x3x4x4xf32>
  %w = linalg.softmax dimension(3) ins(%s : tensor<2x3x4x4xf32>) outs(%e : tensor<2x3x4x4xf32>) -> tensor<2x3x4x4xf32>
  %z2 = arith.constant dense<0.0> : tensor<2x4x3x8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(b, t, h, d, s) -> (b, h, t, s)>, affine_map<(b, t, h, d, s) -> (b, s, h, d)>, affine_map<(b, t, h, d, s) -> (b, t, h, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]} ins(%w, %v : tensor<2x3x4x4xf32>, tensor<2x4x3x8xf32>) outs(%z2 : tensor<2x4x3x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %c, %p : f32
    linalg.yield %r : f32
  } -> tensor<2x4x3x8xf32>
  return %y : tensor<2x4x3x8xf32>
}
