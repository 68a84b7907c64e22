// A sink goes by the axes of x: the reshape stays before the softmax.
// RUN: welford opt --passes=rows %s | FileCheck %s
// CHECK: %[[X:.*]] = tensor.expand_shape
// CHECK: "wf.softmax"(%[[X]], %arg1)
func.func @main(%x: tensor<8x16xf32>, %sink: tensor<2x4x1xf32>) -> tensor<2x4x16xf32> {
  %e = tensor.expand_shape %x [[0, 1], [2]] output_shape [2, 4, 16] : tensor<8x16xf32> into tensor<2x4x16xf32>
  %y = "wf.softmax"(%e, %sink) : (tensor<2x4x16xf32>, tensor<2x4x1xf32>) -> tensor<2x4x16xf32>
  return %y : tensor<2x4x16xf32>
}
