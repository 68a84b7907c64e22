// Two products of one input share one quantize.
// RUN: welford opt --passes=quantize-activations %s | FileCheck %s
// CHECK: %[[Q:.*]] = "wf.quantize"(%arg0) : (tensor<?x64xf32>) -> tensor<?x64x!wf.q8>
// CHECK-NOT: wf.quantize
// CHECK: "wf.linear"(%[[Q]], %arg1)
// CHECK: "wf.linear"(%[[Q]], %arg2)
func.func @main(%x: tensor<?x64xf32>, %w0: tensor<64x64x!wf.q8_0>, %w1: tensor<32x64x!wf.q8_0>) -> (tensor<?x64xf32>, tensor<?x32xf32>) {
  %a = "wf.linear"(%x, %w0) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64x!wf.q8_0>) -> tensor<?x64xf32>
  %b = "wf.linear"(%x, %w1) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<32x64x!wf.q8_0>) -> tensor<?x32xf32>
  return %a, %b : tensor<?x64xf32>, tensor<?x32xf32>
}
