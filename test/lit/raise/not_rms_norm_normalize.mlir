// torch.nn.functional.normalize(x) * sqrt(d): its eps bounds the length from below.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: rms_norm: eps is a lower bound, outside the root
// CHECK-NOT: wf.rms_norm
func.func @main(%x: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %low = "tosa.const"() <{values = dense<9.99999996E-13> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %d = "tosa.const"() <{values = dense<8.0> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %ss = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %len = tosa.pow %ss, %half : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %b = tosa.maximum %len, %low : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %i = tosa.reciprocal %b : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %x, %i, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %d, %shift : (tensor<2x8x64xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
