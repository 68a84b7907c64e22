// The linear adds as it stores: there is no sum left.
// RUN: welford opt --passes=linear-residual,residual-norm %s | FileCheck %s
// CHECK-NOT: wf.residual_norm
// CHECK: %[[H:.*]] = "wf.linear"(%arg3, %arg4, %arg0)
// CHECK: "wf.rms_norm"(%[[H]], %arg2)
func.func @main(%x: tensor<?x64xf32>, %r: tensor<?x64xf32>, %gamma: tensor<64xf32>, %z: tensor<?x64xf32>, %w: tensor<64x64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %p = "wf.linear"(%z, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
  %h = arith.addf %x, %p : tensor<?x64xf32>
  %y = "wf.rms_norm"(%h, %gamma) {eps = 1.000000e-05 : f64, plus_one = true} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  return %h, %y : tensor<?x64xf32>, tensor<?x64xf32>
}
