// silu(gate) * up.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|pow|reciprocal|mul}}
// CHECK: "wf.glu"(%arg0, %arg1)
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|pow|reciprocal|mul}}
func.func @main(%x: tensor<2x8x64xf32>, %up: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %sg = tosa.sigmoid %x : (tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  %si = tosa.mul %x, %sg, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %up, %si, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
