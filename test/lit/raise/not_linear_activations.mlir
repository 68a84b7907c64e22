// A product of two activations by batch, the right one not transposed: no linear.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s
// CHECK-NOT: wf.linear
// CHECK: {{tosa.matmul|linalg.batch_matmul}}
func.func @main(%x: tensor<2x8x64xf32>, %v: tensor<2x64x32xf32>) -> tensor<2x8x32xf32> {
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %p = tosa.matmul %x, %v, %z, %z : (tensor<2x8x64xf32>, tensor<2x64x32xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x8x32xf32>
  return %p : tensor<2x8x32xf32>
}
