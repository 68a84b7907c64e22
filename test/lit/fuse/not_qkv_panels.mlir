// k and v have 24 features: no whole panels of 16.
// RUN: welford opt --passes=qkv %s | FileCheck %s
// CHECK-NOT: wf.columns
// CHECK-COUNT-3: "wf.linear"(
// CHECK-NOT: wf.columns
func.func @main(%x: tensor<?x64xf32>, %wq: tensor<48x64xf32>, %wk: tensor<24x64xf32>, %wv: tensor<24x64xf32>) -> tensor<?x48xf32> {
  %q = "wf.linear"(%x, %wq) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<48x64xf32>) -> tensor<?x48xf32>
  %k = "wf.linear"(%x, %wk) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<24x64xf32>) -> tensor<?x24xf32>
  %v = "wf.linear"(%x, %wv) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<24x64xf32>) -> tensor<?x24xf32>
  %y = "wf.attention"(%q, %k, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = true, cache = 0 : i64} : (tensor<?x48xf32>, tensor<?x24xf32>, tensor<?x24xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}
