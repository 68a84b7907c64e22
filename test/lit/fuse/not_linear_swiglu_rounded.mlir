// The activation is rounded before the product, which no linear does.
// RUN: welford opt --passes=linear-swiglu %s | FileCheck %s
// CHECK-COUNT-2: "wf.linear"(
// CHECK: "wf.glu"({{.*}} {activation = "silu", rounded = bf16}
func.func @main(%x: tensor<?x64xf32>, %wg: tensor<128x64xf32>, %wu: tensor<128x64xf32>) -> tensor<?x128xf32> {
  %g = "wf.linear"(%x, %wg) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<128x64xf32>) -> tensor<?x128xf32>
  %u = "wf.linear"(%x, %wu) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<128x64xf32>) -> tensor<?x128xf32>
  %y = "wf.glu"(%g, %u) {activation = "silu", rounded = bf16} : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}
