// bf16: rounded before gamma.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|pow|reciprocal|mul}}
// CHECK: "wf.rms_norm"(%arg0, %arg1) {eps = {{.*}}, rounded = bf16} : (tensor<2x8x64xbf16>, tensor<1x1x64xbf16>) -> tensor<2x8x64xbf16>
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|pow|reciprocal|mul}}
func.func @main(%xb: tensor<2x8x64xbf16>, %gamma: tensor<1x1x64xbf16>) -> tensor<2x8x64xbf16> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %xf = tosa.cast %xb : (tensor<2x8x64xbf16>) -> tensor<2x8x64xf32>
  %s = tosa.mul %xf, %xf, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %xf, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %nb = tosa.cast %nx : (tensor<2x8x64xf32>) -> tensor<2x8x64xbf16>
  %y = tosa.mul %nb, %gamma, %shift : (tensor<2x8x64xbf16>, tensor<1x1x64xbf16>, tensor<1xi8>) -> tensor<2x8x64xbf16>
  return %y : tensor<2x8x64xbf16>
}
