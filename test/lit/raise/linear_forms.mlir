// Products of activations and weights in other forms than matmul, weights stored narrower, biases in other places.
// RUN: welford opt --passes=raise %s | FileCheck %s --implicit-check-not='"reduction"'
// RUN: mlir-opt -linalg-generalize-named-ops -canonicalize -cse %s | welford opt --passes=raise - | FileCheck %s --implicit-check-not='"reduction"'

// CHECK-LABEL: @matvec
// CHECK: "wf.linear"({{.*}}, %arg0) {{.*}} : (tensor<1x4xf32>, tensor<8x4xf32>) -> tensor<1x8xf32>
func.func @matvec(%w: tensor<8x4xf32>, %x: tensor<4xf32>) -> tensor<8xf32> {
  %c = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %z = linalg.fill ins(%c : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
  %y = linalg.matvec ins(%w, %x : tensor<8x4xf32>, tensor<4xf32>) outs(%z : tensor<8xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// CHECK-LABEL: @vecmat
// CHECK: "wf.linear"({{.*}}) {{.*}} : (tensor<1x4xf32>, tensor<3x4xf32>) -> tensor<1x3xf32>
func.func @vecmat(%x: tensor<4xf32>) -> tensor<3xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]> : tensor<4x3xf32>
  %c = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3xf32>
  %z = linalg.fill ins(%c : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  %y = linalg.vecmat ins(%x, %w : tensor<4xf32>, tensor<4x3xf32>) outs(%z : tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// One matrix for all that leads.
// CHECK-LABEL: @shared
// CHECK: "wf.linear"(%arg0, %arg1) {{.*}} : (tensor<2x?x4xf32>, tensor<8x4xf32>) -> tensor<2x?x8xf32>
func.func @shared(%x: tensor<2x?x4xf32>, %w: tensor<8x4xf32>) -> tensor<2x?x8xf32> {
  %c = arith.constant 0.0 : f32
  %c1 = arith.constant 1 : index
  %s = tensor.dim %x, %c1 : tensor<2x?x4xf32>
  %e = tensor.empty(%s) : tensor<2x?x8xf32>
  %z = linalg.fill ins(%c : f32) outs(%e : tensor<2x?x8xf32>) -> tensor<2x?x8xf32>
  %we = tensor.empty() : tensor<4x8xf32>
  %t = linalg.transpose ins(%w : tensor<8x4xf32>) outs(%we : tensor<4x8xf32>) permutation = [1, 0]
  %y = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>, affine_map<(d0, d1, d2, d3) -> (d3, d2)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %t : tensor<2x?x4xf32>, tensor<4x8xf32>) outs(%z : tensor<2x?x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<2x?x8xf32>
  return %y : tensor<2x?x8xf32>
}

// Summed over heads and their features, as a reshape leaves the product that it is fused with.
// CHECK-LABEL: @two_axes
// CHECK: "wf.linear"({{.*}}) {{.*}} : (tensor<1x3x8xf32>, tensor<5x8xf32>) -> tensor<1x3x5xf32>
func.func @two_axes(%x: tensor<1x2x3x4xf32>) -> tensor<1x3x5xf32> {
  %w = arith.constant dense<0.25> : tensor<1x2x4x5xf32>
  %z = arith.constant dense<0.0> : tensor<1x3x5xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3, d4) -> (d0, d3, d1, d4)>, affine_map<(d0, d1, d2, d3, d4) -> (d0, d3, d4, d2)>, affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2)>], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]} ins(%x, %w : tensor<1x2x3x4xf32>, tensor<1x2x4x5xf32>) outs(%z : tensor<1x3x5xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<1x3x5xf32>
  return %y : tensor<1x3x5xf32>
}

// CHECK-LABEL: @stored_as_f16
// CHECK: "wf.linear"(%arg0, %arg1) {{.*}} : (tensor<3x4xf32>, tensor<8x4xf16>) -> tensor<3x8xf32>
func.func @stored_as_f16(%x: tensor<3x4xf32>, %w: tensor<8x4xf16>) -> tensor<3x8xf32> {
  %we = tensor.empty() : tensor<4x8xf32>
  %wf = tensor.empty() : tensor<8x4xf32>
  %f = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%w : tensor<8x4xf16>) outs(%wf : tensor<8x4xf32>) {
  ^bb0(%a: f16, %o: f32):
    %p = arith.extf %a : f16 to f32
    linalg.yield %p : f32
  } -> tensor<8x4xf32>
  %t = linalg.transpose ins(%f : tensor<8x4xf32>) outs(%we : tensor<4x8xf32>) permutation = [1, 0]
  %z = arith.constant dense<0.0> : tensor<3x8xf32>
  %y = linalg.matmul ins(%x, %t : tensor<3x4xf32>, tensor<4x8xf32>) outs(%z : tensor<3x8xf32>) -> tensor<3x8xf32>
  return %y : tensor<3x8xf32>
}

// CHECK-LABEL: @stored_as_bf16
// CHECK: "wf.linear"({{.*}}) {{.*}} : (tensor<1x3x2xf32>, tensor<3x2xbf16>) -> tensor<1x3x3xf32>
func.func @stored_as_bf16(%x: tensor<1x3x2xf32>) -> tensor<1x3x3xf32> {
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %w = "tosa.const"() <{values = dense<[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]> : tensor<1x2x3xbf16>}> : () -> tensor<1x2x3xbf16>
  %f = tosa.cast %w : (tensor<1x2x3xbf16>) -> tensor<1x2x3xf32>
  %y = tosa.matmul %x, %f, %z, %z : (tensor<1x3x2xf32>, tensor<1x2x3xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x3x3xf32>
  return %y : tensor<1x3x3xf32>
}

// CHECK-LABEL: @convolution
// CHECK: "wf.linear"(%arg0, {{.*}}, %arg2) {{.*}} : (tensor<1x4x4x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<1x4x4x16xf32>
func.func @convolution(%x: tensor<1x4x4x8xf32>, %w: tensor<16x1x1x8xf32>, %b: tensor<16xf32>) -> tensor<1x4x4x16xf32> {
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %y = tosa.conv2d %x, %w, %b, %z, %z {acc_type = f32, dilation = array<i64: 1, 1>, pad = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x4x4x8xf32>, tensor<16x1x1x8xf32>, tensor<16xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x4x16xf32>
  return %y : tensor<1x4x4x16xf32>
}

// CHECK-LABEL: @named_convolution
// CHECK: "wf.linear"({{.*}}) {{.*}} : (tensor<16x8xf32>, tensor<6x8xf32>) -> tensor<16x6xf32>
func.func @named_convolution(%x: tensor<1x4x4x8xf32>) -> tensor<1x4x4x6xf32> {
  %w = arith.constant dense<0.5> : tensor<1x1x8x6xf32>
  %z = arith.constant dense<0.0> : tensor<1x4x4x6xf32>
  %y = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%x, %w : tensor<1x4x4x8xf32>, tensor<1x1x8x6xf32>) outs(%z : tensor<1x4x4x6xf32>) -> tensor<1x4x4x6xf32>
  return %y : tensor<1x4x4x6xf32>
}

// CHECK-LABEL: @bias_as_start
// CHECK: "wf.linear"(%arg0, {{.*}}, %arg1) {{.*}} : (tensor<3x2xf32>, tensor<4x2xf32>, tensor<4xf32>) -> tensor<3x4xf32>
func.func @bias_as_start(%x: tensor<3x2xf32>, %b: tensor<4xf32>) -> tensor<3x4xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %e = tensor.empty() : tensor<3x4xf32>
  %z = linalg.broadcast ins(%b : tensor<4xf32>) outs(%e : tensor<3x4xf32>) dimensions = [0]
  %y = linalg.matmul ins(%x, %w : tensor<3x2xf32>, tensor<2x4xf32>) outs(%z : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}

// Added where tokens have become [batch, sequence] again.
// CHECK-LABEL: @bias_behind_reshape
// CHECK: "wf.linear"(%arg0, {{.*}}, %arg1) {{.*}} : (tensor<6x2xf32>, tensor<4x2xf32>, tensor<4xf32>) -> tensor<6x4xf32>
func.func @bias_behind_reshape(%x: tensor<6x2xf32>, %b: tensor<4xf32>) -> tensor<2x3x4xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %z = arith.constant dense<0.0> : tensor<6x4xf32>
  %y = linalg.matmul ins(%x, %w : tensor<6x2xf32>, tensor<2x4xf32>) outs(%z : tensor<6x4xf32>) -> tensor<6x4xf32>
  %r = tensor.expand_shape %y [[0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf32> into tensor<2x3x4xf32>
  %e = tensor.empty() : tensor<2x3x4xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d2)>, affine_map<(d0, d1, d2) -> (d0, d1, d2)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%r, %b : tensor<2x3x4xf32>, tensor<4xf32>) outs(%e : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %p = arith.addf %a, %c : f32
    linalg.yield %p : f32
  } -> tensor<2x3x4xf32>
  return %s : tensor<2x3x4xf32>
}

// Sums that start from more than a bias.
// CHECK-LABEL: @start
// CHECK: %[[Y:.*]] = "wf.linear"
// CHECK: arith.addf %arg1, %[[Y]]
func.func @start(%x: tensor<3x2xf32>, %z: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %w = arith.constant dense<0.5> : tensor<2x4xf32>
  %y = linalg.matmul ins(%x, %w : tensor<3x2xf32>, tensor<2x4xf32>) outs(%z : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}

// CHECK-LABEL: @vector
// CHECK: "wf.linear"({{.*}}, %arg1)
func.func @vector(%x: tensor<2xf32>, %z: tensor<4xf32>) -> tensor<4xf32> {
  %w = arith.constant dense<0.5> : tensor<2x4xf32>
  %y = linalg.vecmat ins(%x, %w : tensor<2xf32>, tensor<2x4xf32>) outs(%z : tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// Weights that the caller gives as [k, n].
// CHECK-LABEL: @argument
// CHECK: %[[T:.*]] = linalg.transpose ins(%arg1
// CHECK: "wf.linear"(%arg0, %[[T]], %arg2) {{.*}} : (tensor<3x2xf32>, tensor<4x2xf32>, tensor<4xf32>) -> tensor<3x4xf32>
func.func @argument(%x: tensor<3x2xf32>, %w: tensor<2x4xf32>, %b: tensor<4xf32>) -> tensor<3x4xf32> {
  %z = arith.constant dense<0.0> : tensor<3x4xf32>
  %p = linalg.matmul ins(%x, %w : tensor<3x2xf32>, tensor<2x4xf32>) outs(%z : tensor<3x4xf32>) -> tensor<3x4xf32>
  %e = tensor.empty() : tensor<3x4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%p, %b : tensor<3x4xf32>, tensor<4xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %s = arith.addf %a, %c : f32
    linalg.yield %s : f32
  } -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}
