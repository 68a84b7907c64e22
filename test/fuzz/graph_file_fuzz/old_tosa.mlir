func.func @main(%x: tensor<4x8xf32>, %i: tensor<2x8xi32>, %b: tensor<3xf32>, %w: tensor<3x8xf32>) -> (tensor<1x8x4xf32>, tensor<4x3xf32>) {
  %p = "tosa.const"() {value = dense<[0, 2, 1]> : tensor<3xi32>} : () -> tensor<3xi32>
  %r = "tosa.reshape"(%x) {new_shape = array<i64: 1, 4, -1>} : (tensor<4x8xf32>) -> tensor<1x4x8xf32>
  %t = "tosa.transpose"(%r, %p) : (tensor<1x4x8xf32>, tensor<3xi32>) -> tensor<1x8x4xf32>
  %m = tosa.matmul %r, %t {quantization_info = #tosa.matmul_quant<a_zp = 0, b_zp = 0>} : (tensor<1x4x8xf32>, tensor<1x8x4xf32>) -> tensor<1x4x4xf32>
  %c = tosa.clamp %m {max_fp = 3.0 : f32, max_int = 3 : i64, min_fp = -1.0 : f32, min_int = -1 : i64} : (tensor<1x4x4xf32>) -> tensor<1x4x4xf32>
  %n = tosa.negate %c {quantization_info = #tosa.unary_quant<input_zp = 0, output_zp = 0>} : (tensor<1x4x4xf32>) -> tensor<1x4x4xf32>
  %s = tosa.slice %n {start = array<i64: 0, 0, 1>, size = array<i64: 1, 4, 3>} : (tensor<1x4x4xf32>) -> tensor<1x4x3xf32>
  %pp = "tosa.const"() <{value = dense<[[0, 0], [4, 0], [0, 1]]> : tensor<3x2xi64>}> : () -> tensor<3x2xi64>
  %pv = "tosa.const"() <{value = dense<7.0> : tensor<f32>}> : () -> tensor<f32>
  %q = tosa.pad %s, %pp, %pv : (tensor<1x4x3xf32>, tensor<3x2xi64>, tensor<f32>) -> tensor<1x8x4xf32>
  %tt = tosa.tile %q {multiples = array<i64: 1, 1, 1>} : (tensor<1x8x4xf32>) -> tensor<1x8x4xf32>
  %f = tosa.fully_connected %x, %w, %b : (tensor<4x8xf32>, tensor<3x8xf32>, tensor<3xf32>) -> tensor<4x3xf32>
  %g = tosa.add %f, %b : (tensor<4x3xf32>, tensor<3xf32>) -> tensor<4x3xf32>
  %h = tosa.mul %g, %g {shift = 0 : i32} : (tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<4x3xf32>
  %rs = tosa.reduce_sum %h {axis = 0 : i64} : (tensor<4x3xf32>) -> tensor<1x3xf32>
  %o = tosa.sub %h, %rs : (tensor<4x3xf32>, tensor<1x3xf32>) -> tensor<4x3xf32>
  return %tt, %o : tensor<1x8x4xf32>, tensor<4x3xf32>
}
