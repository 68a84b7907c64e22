// k is projected from another input.
// RUN: welford opt --passes=qkv %s | FileCheck %s
// CHECK-NOT: wf.columns
// CHECK-COUNT-3: "wf.linear"(
// CHECK-NOT: wf.columns
func.func @main(%x: tensor<?x64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %z: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %q = "wf.linear"(%x, %wq) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %k = "wf.linear"(%z, %wk) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<32x64xf32>) -> tensor<?x32xf32>
  %v = "wf.linear"(%x, %wv) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<32x64xf32>) -> tensor<?x32xf32>
  %y = "wf.attention"(%q, %k, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = true, cache = 0 : i64} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
