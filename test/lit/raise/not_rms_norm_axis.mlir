// The sum runs over another axis.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: {{(not_rms_norm_axis\.mlir|<stdin>)}}:[[#]]:[[#]]: rms_norm: sum over axis 1, not the last
// CHECK-NOT: wf.rms_norm
func.func @main(%x: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>, %beta: tensor<1x1x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %n8 = "tosa.const"() <{values = dense<0.125> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %s {axis = 1 : i32} : (tensor<2x8x64xf32>) -> tensor<2x1x64xf32>
  %mean = tosa.mul %sum, %n8, %shift : (tensor<2x1x64xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x1x64xf32>
  %me = tosa.add %mean, %eps : (tensor<2x1x64xf32>, tensor<1x1x1xf32>) -> tensor<2x1x64xf32>
  %r = tosa.rsqrt %me : (tensor<2x1x64xf32>) -> tensor<2x1x64xf32>
  %nx = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %gamma, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
