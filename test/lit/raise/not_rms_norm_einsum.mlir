// The matrix product is of x and another value.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: rms_norm: the sum is of a product of two values, not of a square
// CHECK-NOT: wf.rms_norm
func.func @main(%x: tensor<2x8x64xf32>, %w: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %row_s = tosa.const_shape {values = dense<[16, 1, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %row = tosa.reshape %x, %row_s : (tensor<2x8x64xf32>, !tosa.shape<3>) -> tensor<16x1x64xf32>
  %col_s = tosa.const_shape {values = dense<[16, 64, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %col = tosa.reshape %w, %col_s : (tensor<2x8x64xf32>, !tosa.shape<3>) -> tensor<16x64x1xf32>
  %dot = tosa.matmul %row, %col, %z, %z : (tensor<16x1x64xf32>, tensor<16x64x1xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<16x1x1xf32>
  %sum_s = tosa.const_shape {values = dense<[2, 8, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %sum = tosa.reshape %dot, %sum_s : (tensor<16x1x1xf32>, !tosa.shape<3>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %mean : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %y = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
