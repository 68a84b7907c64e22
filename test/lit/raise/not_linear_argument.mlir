// Weights that the caller gives as [k, n] would be transposed at every call.
// RUN: welford opt --passes=raise --explain %s 2>&1 >/dev/null | FileCheck %s
// RUN: welford opt --passes=raise %s | FileCheck %s --check-prefix=NONE
// NONE-NOT: wf.linear

// CHECK: linear: the weights [2, 4] are an argument, and would be transposed at every call
func.func @argument(%x: tensor<3x2xf32>, %w: tensor<2x4xf32>) -> tensor<3x4xf32> {
  %z = arith.constant dense<0.0> : tensor<3x4xf32>
  %y = linalg.matmul ins(%x, %w : tensor<3x2xf32>, tensor<2x4xf32>) outs(%z : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}
