// x * inverse + (beta - mean * inverse), as Keras and TensorFlow write it.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|sub|mul|add}}
// CHECK: "wf.layer_norm"(%arg0, %arg1, %arg2) {eps = 0.00100000
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|sub|mul|add|matmul}}
func.func @main(%x: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>, %beta: tensor<1x1x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<1.000000e-03> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %sx = tosa.reduce_sum %x {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mu = tosa.mul %sx, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %d = tosa.sub %x, %mu : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  %s = tosa.mul %d, %d, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %s2 = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %v = tosa.mul %s2, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %ve = tosa.add %v, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %inv = tosa.mul %r, %gamma, %shift : (tensor<2x8x1xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %a = tosa.mul %x, %inv, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %m = tosa.mul %mu, %inv, %shift : (tensor<2x8x1xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %b = tosa.sub %beta, %m : (tensor<1x1x64xf32>, tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  %y = tosa.add %a, %b : (tensor<2x8x64xf32>, tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
