// swiglu writes what the quantised linear reads.
// RUN: welford opt --passes=quantize-activations,quantize-output %s | FileCheck %s
// CHECK: %[[N:.*]] = "wf.glu"(%arg0, %arg1) {activation = "silu"} : {{.*}} -> tensor<?x64x!wf.q8>
// CHECK-NOT: wf.quantize
// CHECK: "wf.linear"(%[[N]], %arg2)
func.func @main(%g: tensor<?x64xf32>, %u: tensor<?x64xf32>, %w: tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32> {
  %n = "wf.glu"(%g, %u) {activation = "silu"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %y = "wf.linear"(%n, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
