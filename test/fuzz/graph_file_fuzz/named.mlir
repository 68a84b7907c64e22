func.func @main(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) -> tensor<4x2xf32> {
  %e = tensor.empty() : tensor<2x4xf32>
  %z = arith.constant 0.0 : f32
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.matmul ins(%a, %b : tensor<2x3xf32>, tensor<3x4xf32>) outs(%f : tensor<2x4xf32>) -> tensor<2x4xf32>
  %t = tensor.empty() : tensor<4x2xf32>
  %y = linalg.transpose ins(%m : tensor<2x4xf32>) outs(%t : tensor<4x2xf32>) permutation = [1, 0]
  %s = tensor.empty() : tensor<4xf32>
  %r = linalg.reduce ins(%y : tensor<4x2xf32>) outs(%s : tensor<4xf32>) dimensions = [1]
    (%in: f32, %out: f32) {
      %k = arith.maximumf %in, %out : f32
      linalg.yield %k : f32
    }
  %w = linalg.broadcast ins(%r : tensor<4xf32>) outs(%t : tensor<4x2xf32>) dimensions = [1]
  return %w : tensor<4x2xf32>
}
