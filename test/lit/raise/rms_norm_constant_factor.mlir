// x / |x| * sqrt(d): the factor makes a mean of the sum, here and in eps. Where the sum is a mean already, it is a gamma.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-LABEL: @main
// CHECK: "wf.rms_norm"(%arg0) {eps = 9.9999
// CHECK-LABEL: @gain
// CHECK: %[[H:.*]] = arith.constant dense<5.000000e-01> : tensor<64xf32>
// CHECK: "wf.rms_norm"(%arg0, %[[H]]) {eps = 0.0
func.func @main(%x: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %eps = "tosa.const"() <{values = dense<6.39999998E-4> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %d = "tosa.const"() <{values = dense<8.0> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %ss = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %se = tosa.add %ss, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %se : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %d, %shift : (tensor<2x8x64xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
func.func @gain(%x: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %h = "tosa.const"() <{values = dense<0.5> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %ss = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %ss, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %mean : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %rh = tosa.mul %r, %h, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %y = tosa.mul %x, %rh, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
