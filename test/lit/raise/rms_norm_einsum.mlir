// The sum of squares as a matrix product of merged rows: einsum("bsd,bsd->bs", x, x).
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: mlir-opt --mlir-print-op-generic %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'
// CHECK-NOT: {{tosa.reduce_sum|tosa.matmul|linalg.batch_matmul}}
// CHECK: "wf.rms_norm"(%arg0, %arg1) {eps = 9.99999974
// CHECK-NOT: tosa.{{reduce_sum|rsqrt|sub|mul|add|matmul}}
func.func @main(%x: tensor<2x8x64xf32>, %gamma: tensor<1x1x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %row_s = tosa.const_shape {values = dense<[16, 1, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %row = tosa.reshape %x, %row_s : (tensor<2x8x64xf32>, !tosa.shape<3>) -> tensor<16x1x64xf32>
  %col_s = tosa.const_shape {values = dense<[16, 64, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %col = tosa.reshape %x, %col_s : (tensor<2x8x64xf32>, !tosa.shape<3>) -> tensor<16x64x1xf32>
  %dot = tosa.matmul %row, %col, %z, %z : (tensor<16x1x64xf32>, tensor<16x64x1xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<16x1x1xf32>
  %sum_s = tosa.const_shape {values = dense<[2, 8, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %sum = tosa.reshape %dot, %sum_s : (tensor<16x1x1xf32>, !tosa.shape<3>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %gamma, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
