// A sum has no kernel that writes blocks.
// RUN: welford opt --passes=quantize-activations,quantize-output %s | FileCheck %s
// CHECK: arith.addf {{.*}} : tensor<?x64xf32>
// CHECK: "wf.quantize"(
func.func @main(%g: tensor<?x64xf32>, %u: tensor<?x64xf32>, %w: tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32> {
  %n = arith.addf %g, %u : tensor<?x64xf32>
  %y = "wf.linear"(%n, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
