// The f32 norm is a result as well.
// RUN: welford opt --passes=quantize-activations,quantize-output %s | FileCheck %s
// CHECK: "wf.rms_norm"({{.*}} -> tensor<?x64xf32>
// CHECK: %[[Q:.*]] = "wf.quantize"(
// CHECK: "wf.linear"(%[[Q]], %arg2)
func.func @main(%x: tensor<?x64xf32>, %gamma: tensor<64xf32>, %w: tensor<64x64x!wf.q8_0>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %n = "wf.rms_norm"(%x, %gamma) {eps = 1.000000e-05 : f64} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %y = "wf.linear"(%n, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  return %y, %n : tensor<?x64xf32>, tensor<?x64xf32>
}
