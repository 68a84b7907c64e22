// What is subtracted is the mean of another value.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: layer_norm: mean of another value than x
// CHECK-NOT: wf.layer_norm
func.func @main(%x: tensor<2x8x64xf32>, %w: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<1.000000e-03> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %sx = tosa.reduce_sum %x {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mu = tosa.mul %sx, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %sw = tosa.reduce_sum %w {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mw = tosa.mul %sw, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %d = tosa.sub %x, %mu : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  %s = tosa.mul %d, %d, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %s2 = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %v = tosa.mul %s2, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %ve = tosa.add %v, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %a = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %m = tosa.mul %mw, %r, %shift : (tensor<2x8x1xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %y = tosa.sub %a, %m : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
