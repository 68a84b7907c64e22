// Weights of floats are multiplied as floats.
// RUN: welford opt --passes=quantize-activations %s | FileCheck %s
// CHECK-NOT: wf.quantize
// CHECK: "wf.linear"(%arg0, %arg1)
// CHECK: "wf.linear"(%arg0, %arg2)
// CHECK-NOT: wf.quantize
func.func @main(%x: tensor<?x64xf32>, %w0: tensor<64x64xf16>, %w1: tensor<32x64xf16>) -> (tensor<?x64xf32>, tensor<?x32xf32>) {
  %a = "wf.linear"(%x, %w0) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<64x64xf16>) -> tensor<?x64xf32>
  %b = "wf.linear"(%x, %w1) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<32x64xf16>) -> tensor<?x32xf32>
  return %a, %b : tensor<?x64xf32>, tensor<?x32xf32>
}
