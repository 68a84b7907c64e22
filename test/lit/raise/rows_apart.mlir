// Two computed values of different shapes: each could be reshaped to the other's before the sum, and neither is.
// RUN: welford opt %s --passes=rows | FileCheck %s

// CHECK-LABEL: @apart
// CHECK: %[[A:.*]] = "wf.rms_norm"(%arg0
// CHECK: %[[C:.*]] = tensor.collapse_shape %[[A]]
// CHECK: %[[B:.*]] = "wf.rms_norm"(%arg1
// CHECK: arith.addf %[[C]], %[[B]] : tensor<8x64xf32>
func.func @apart(%x: tensor<1x8x64xf32>, %y: tensor<8x64xf32>, %g: tensor<64xf32>) -> tensor<8x64xf32> {
  %a = "wf.rms_norm"(%x, %g) {eps = 1.0e-5 : f64} : (tensor<1x8x64xf32>, tensor<64xf32>) -> tensor<1x8x64xf32>
  %c = tensor.collapse_shape %a [[0, 1], [2]] : tensor<1x8x64xf32> into tensor<8x64xf32>
  %b = "wf.rms_norm"(%y, %g) {eps = 1.0e-5 : f64} : (tensor<8x64xf32>, tensor<64xf32>) -> tensor<8x64xf32>
  %d = arith.addf %c, %b : tensor<8x64xf32>
  return %d : tensor<8x64xf32>
}
