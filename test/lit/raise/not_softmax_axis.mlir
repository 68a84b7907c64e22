// Softmax over another axis.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: {{(not_softmax_axis\.mlir|<stdin>)}}:[[#]]:[[#]]: softmax: softmax over axis 1, not the last
// CHECK-NOT: wf.softmax
func.func @main(%x: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>, %beta: tensor<1x1x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %mx = tosa.reduce_max %x {axis = 1 : i32} : (tensor<2x8x64xf32>) -> tensor<2x1x64xf32>
  %d = tosa.sub %x, %mx : (tensor<2x8x64xf32>, tensor<2x1x64xf32>) -> tensor<2x8x64xf32>
  %e = tosa.exp %d : (tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %e {axis = 1 : i32} : (tensor<2x8x64xf32>) -> tensor<2x1x64xf32>
  %r = tosa.reciprocal %sum : (tensor<2x1x64xf32>) -> tensor<2x1x64xf32>
  %y = tosa.mul %e, %r, %shift : (tensor<2x8x64xf32>, tensor<2x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
