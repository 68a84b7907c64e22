// The inverse root is a result as well: it stays, computed beside the op, and --explain says so.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: welford opt --passes=raise --explain %s 2>&1 >/dev/null | FileCheck %s --check-prefix=NOTE
// CHECK: %[[R:.*]] = tosa.rsqrt
// CHECK: %[[Y:.*]] = "wf.rms_norm"(%arg0, %arg1) {eps = 9.99999974
// CHECK-NOT: wf.in_pattern
// CHECK: return %[[Y]], %[[R]]
// NOTE: rms_norm_escape.mlir:[[#]]:[[#]]: rms_norm: a value inside the pattern is used elsewhere too
// NOTE-NOT: rms_norm
func.func @main(%x: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>) -> (tensor<2x8x64xf32>, tensor<2x8x1xf32>) {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %gamma, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y, %r : tensor<2x8x64xf32>, tensor<2x8x1xf32>
}
