// q, k and v of one attention over a batch, each a product in two dimensions: the reshapes sink, and the three are one linear.
// RUN: welford opt --passes=rows,qkv %s | FileCheck %s
// RUN: welford opt --passes=qkv %s | FileCheck %s --check-prefix=APART
// CHECK: %[[QKV:.*]] = "wf.linear"(%arg0, %arg1, %arg2, %arg3) {{.*}} -> tensor<2x?x192xf32>
// CHECK-COUNT-3: "wf.columns"(%[[QKV]])
// CHECK-NOT: shape
// CHECK: "wf.attention"
// APART-COUNT-3: "wf.linear"
// APART-NOT: wf.columns
func.func @main(%x: tensor<2x?x64xf32>, %q: tensor<64x64xf32>, %k: tensor<64x64xf32>, %v: tensor<64x64xf32>) -> tensor<2x?x64xf32> {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %x, %c1 : tensor<2x?x64xf32>
  %r = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x?x64xf32> into tensor<?x64xf32>
  %q2 = "wf.linear"(%r, %q) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %k2 = "wf.linear"(%r, %k) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %v2 = "wf.linear"(%r, %v) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %q3 = tensor.expand_shape %q2 [[0, 1], [2]] output_shape [2, %n, 64] : tensor<?x64xf32> into tensor<2x?x64xf32>
  %k3 = tensor.expand_shape %k2 [[0, 1], [2]] output_shape [2, %n, 64] : tensor<?x64xf32> into tensor<2x?x64xf32>
  %v3 = tensor.expand_shape %v2 [[0, 1], [2]] output_shape [2, %n, 64] : tensor<?x64xf32> into tensor<2x?x64xf32>
  %y = "wf.attention"(%q3, %k3, %v3) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, causal = true, n_heads = 4 : i64, n_kv_heads = 4 : i64, scale = 2.500000e-01 : f64} : (tensor<2x?x64xf32>, tensor<2x?x64xf32>, tensor<2x?x64xf32>) -> tensor<2x?x64xf32>
  return %y : tensor<2x?x64xf32>
}
