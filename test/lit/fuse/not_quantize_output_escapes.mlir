// The f32 swiglu is a result as well.
// RUN: welford opt --passes=quantize-activations,quantize-output %s | FileCheck %s
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "silu"} : {{.*}} -> tensor<?x64xf32>
// CHECK: "wf.quantize"(
func.func @main(%g: tensor<?x64xf32>, %u: tensor<?x64xf32>, %w: tensor<64x64x!wf.q8_0>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %n = "wf.glu"(%g, %u) {activation = "silu"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %y = "wf.linear"(%n, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  return %y, %n : tensor<?x64xf32>, tensor<?x64xf32>
}
