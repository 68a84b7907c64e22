// The residual sum before the norm is used twice.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: welford opt %s | FileCheck %s --check-prefix=FUSED
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|pow|mul}}
// CHECK: %[[H:.*]] = arith.addf %arg0, %arg1
// CHECK: %[[Y:.*]] = "wf.rms_norm"(%[[H]], %arg2)
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|pow|mul}}
// CHECK: return
// FUSED: "wf.residual_norm"(%arg0, %arg1, %arg2)
// FUSED-NOT: {{wf.rms_norm|tosa}}
func.func @main(%x: tensor<2x8x64xf32>, %b: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>) -> (tensor<2x8x64xf32>, tensor<2x8x64xf32>) {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %h = tosa.add %x, %b : (tensor<2x8x64xf32>, tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  %s = tosa.mul %h, %h, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %h, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %gamma, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y, %h : tensor<2x8x64xf32>, tensor<2x8x64xf32>
}
