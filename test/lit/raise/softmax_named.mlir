// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// CHECK: softmax: softmax over axis 1, not the last
// CHECK-LABEL: @last
// CHECK: "wf.softmax"(%arg0)
func.func @last(%x: tensor<2x8x16xf32>) -> tensor<2x8x16xf32> {
  %e = tensor.empty() : tensor<2x8x16xf32>
  %y = linalg.softmax dimension(2) ins(%x : tensor<2x8x16xf32>) outs(%e : tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  return %y : tensor<2x8x16xf32>
}
// CHECK-LABEL: @middle
// CHECK-NOT: wf.softmax
func.func @middle(%x: tensor<2x8x16xf32>) -> tensor<2x8x16xf32> {
  %e = tensor.empty() : tensor<2x8x16xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<2x8x16xf32>) outs(%e : tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  return %y : tensor<2x8x16xf32>
}
