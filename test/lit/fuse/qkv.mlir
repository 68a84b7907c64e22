// Three projections of one input that feed one attention.
// RUN: welford opt --passes=qkv %s | FileCheck %s
// CHECK: %[[QKV:.*]] = "wf.linear"(%arg0, %arg1, %arg2, %arg3)
// CHECK-SAME: -> tensor<?x128xf32>
// CHECK-DAG: %[[Q:.*]] = "wf.columns"(%[[QKV]]) {first = 0 : i64} : (tensor<?x128xf32>) -> tensor<?x64xf32>
// CHECK-DAG: %[[K:.*]] = "wf.columns"(%[[QKV]]) {first = 64 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
// CHECK-DAG: %[[V:.*]] = "wf.columns"(%[[QKV]]) {first = 96 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
// CHECK-NOT: wf.linear
// CHECK: "wf.attention"(%[[Q]], %[[K]], %[[V]])
func.func @main(%x: tensor<?x64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>) -> tensor<?x64xf32> {
  %q = "wf.linear"(%x, %wq) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %k = "wf.linear"(%x, %wk) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<32x64xf32>) -> tensor<?x32xf32>
  %v = "wf.linear"(%x, %wv) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<32x64xf32>) -> tensor<?x32xf32>
  %y = "wf.attention"(%q, %k, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = true, cache = 0 : i64} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
