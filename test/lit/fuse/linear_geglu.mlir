// gelu(gate) * up, as Gemma has it.
// RUN: welford opt --passes=linear-swiglu %s | FileCheck %s
// CHECK: "wf.linear"(%arg0, %arg1, %arg2) {glu = "gelu_tanh"
// CHECK-NOT: wf.linear
// CHECK-NOT: wf.glu
func.func @main(%x: tensor<?x64xf32>, %wg: tensor<128x64xf32>, %wu: tensor<128x64xf32>) -> tensor<?x128xf32> {
  %g = "wf.linear"(%x, %wg) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<128x64xf32>) -> tensor<?x128xf32>
  %u = "wf.linear"(%x, %wu) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<?x64xf32>, tensor<128x64xf32>) -> tensor<?x128xf32>
  %y = "wf.glu"(%g, %u) {activation = "gelu_tanh"} : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}
