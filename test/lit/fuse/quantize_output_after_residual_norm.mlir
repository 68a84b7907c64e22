// The two fusions of a norm meet in either order.
// The pass by its other name.
// RUN: welford opt --passes=quantize-activations,residual-norm,norm-linear %s | FileCheck %s
// CHECK: %[[N:.*]]:2 = "wf.residual_norm"(%arg0, %arg1, %arg2) {{.*}} -> (tensor<?x64xf32>, tensor<?x64x!wf.q8>)
// CHECK-NOT: {{wf.quantize|arith.addf}}
// CHECK: "wf.linear"(%[[N]]#1, %arg3)
func.func @main(%x: tensor<?x64xf32>, %r: tensor<?x64xf32>, %gamma: tensor<64xf32>, %w: tensor<64x64x!wf.q8_0>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %h = arith.addf %x, %r : tensor<?x64xf32>
  %n = "wf.rms_norm"(%h, %gamma) {eps = 1.000000e-05 : f64} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %y = "wf.linear"(%n, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  return %y, %h : tensor<?x64xf32>, tensor<?x64xf32>
}
