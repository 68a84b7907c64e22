// An argument that the weights of an attention multiply holds values, not the weights of a linear.
// RUN: welford opt --passes=raise --explain %s 2>&1 >/dev/null | FileCheck %s
// RUN: welford opt --passes=raise %s | FileCheck %s --check-prefix=NONE
// NONE-NOT: wf.linear

// CHECK: attention: softmax is not of a product of q and k, scaled and masked
func.func @values(%s: tensor<3x2xf32>, %v: tensor<2x4xf32>) -> tensor<3x4xf32> {
  %e = tensor.empty() : tensor<3x2xf32>
  %p = linalg.softmax dimension(1) ins(%s : tensor<3x2xf32>) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %z = arith.constant dense<0.0> : tensor<3x4xf32>
  %y = linalg.matmul ins(%p, %v : tensor<3x2xf32>, tensor<2x4xf32>) outs(%z : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}
