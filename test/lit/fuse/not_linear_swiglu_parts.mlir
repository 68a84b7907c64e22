// Gate and up as parts of one product, or behind a transposition: the report says what parts them from the product.
// RUN: welford opt --passes=fuse %s | FileCheck %s
// CHECK-COUNT-2: "wf.glu"
func.func @main(%x: tensor<32x64xf32>, %w: tensor<256x64xf32>) -> tensor<32x128xf32> {
  %p = "wf.linear"(%x, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<32x64xf32>, tensor<256x64xf32>) -> tensor<32x256xf32>
  %g = tensor.extract_slice %p[0, 0] [32, 128] [1, 1] : tensor<32x256xf32> to tensor<32x128xf32>
  %u = tensor.extract_slice %p[0, 128] [32, 128] [1, 1] : tensor<32x256xf32> to tensor<32x128xf32>
  %y = "wf.glu"(%g, %u) {activation = "silu"} : (tensor<32x128xf32>, tensor<32x128xf32>) -> tensor<32x128xf32>
  return %y : tensor<32x128xf32>
}
func.func @turned(%x: tensor<128x64xf32>, %w: tensor<128x64xf32>) -> tensor<128x128xf32> {
  %g = "wf.linear"(%x, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<128x64xf32>, tensor<128x64xf32>) -> tensor<128x128xf32>
  %e = tensor.empty() : tensor<128x128xf32>
  %u = linalg.transpose ins(%g : tensor<128x128xf32>) outs(%e : tensor<128x128xf32>) permutation = [1, 0]
  %y = "wf.glu"(%g, %u) {activation = "silu"} : (tensor<128x128xf32>, tensor<128x128xf32>) -> tensor<128x128xf32>
  return %y : tensor<128x128xf32>
}
