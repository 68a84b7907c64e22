// A group of heads has 16 features: less than a block.
// RUN: welford opt --passes=quantize-activations,quantize-output %s | FileCheck %s
// CHECK: "wf.cached_attention"(%arg0) {{.*}} -> tensor<?x64xf32>
// CHECK: "wf.quantize"(
func.func @main(%q: tensor<?x64xf32>, %w: tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32> {
  %n = "wf.cached_attention"(%q) {n_heads = 4 : i64, n_kv_heads = 4 : i64, scale = 2.500000e-01 : f64, cache = 0 : i64} : (tensor<?x64xf32>) -> tensor<?x64xf32>
  %y = "wf.linear"(%n, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
