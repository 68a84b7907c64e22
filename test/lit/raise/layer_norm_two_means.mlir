// The mean is computed twice, once times 1/N and once in two steps.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|sub|mul|add}}
// CHECK: "wf.layer_norm"(%arg0, %arg1, %arg2) {eps = 9.99999974
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|sub|mul|add}}
func.func @main(%x: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>, %beta: tensor<1x1x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %sx = tosa.reduce_sum %x {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mu = tosa.mul %sx, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %d = tosa.sub %x, %mu : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  %h = "tosa.const"() <{values = dense<0.125> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %m1 = tosa.mul %sx, %h, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %m2 = tosa.mul %m1, %h, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %d2 = tosa.sub %x, %m2 : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  %s = tosa.mul %d2, %d2, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sv = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %var = tosa.mul %sv, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %ve = tosa.add %var, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %d, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %g = tosa.mul %nx, %gamma, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.add %g, %beta : (tensor<2x8x64xf32>, tensor<1x1x64xf32>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
