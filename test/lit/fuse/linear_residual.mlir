// r + p, p a product.
// RUN: welford opt --passes=linear-residual %s | FileCheck %s
// CHECK: %[[Y:.*]] = "wf.linear"(%arg0, %arg1, %arg2) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 1>}
// CHECK-NOT: arith.addf
// CHECK: return %[[Y]]
func.func @main(%x: tensor<?x64xf32>, %w: tensor<64x64xf32>, %r: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %p = "wf.linear"(%x, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %y = arith.addf %r, %p : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
