// A product with a transposed operand, and a bias.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s
// CHECK: "wf.linear"(%arg0, %arg1, %arg2) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 1, 0, 0, 0>}
// CHECK-NOT: {{tosa.(transpose|matmul|add)|linalg.generic}}
func.func @main(%x: tensor<1x8x64xf32>, %w: tensor<32x64xf32>, %b: tensor<1x1x32xf32>) -> tensor<1x8x32xf32> {
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %t = tosa.transpose %w {perms = array<i32: 1, 0>} : (tensor<32x64xf32>) -> tensor<64x32xf32>
  %s = tosa.const_shape {values = dense<[1, 64, 32]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %m = tosa.reshape %t, %s : (tensor<64x32xf32>, !tosa.shape<3>) -> tensor<1x64x32xf32>
  %p = tosa.matmul %x, %m, %z, %z : (tensor<1x8x64xf32>, tensor<1x64x32xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x8x32xf32>
  %y = tosa.add %p, %b : (tensor<1x8x32xf32>, tensor<1x1x32xf32>) -> tensor<1x8x32xf32>
  return %y : tensor<1x8x32xf32>
}
