// -x / sqrt(mean(x^2)).
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: rms_norm: the result is negated
// CHECK-NOT: wf.rms_norm
func.func @main(%x: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %m = "tosa.const"() <{values = dense<-1.0> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %ss = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %ss, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %mean : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %rm = tosa.mul %r, %m, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %y = tosa.mul %x, %rm, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
