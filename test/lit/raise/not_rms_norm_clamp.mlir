// An eps that bounds the mean from below is not added to it; a bound of 0 is none.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// CHECK: rms_norm: eps is a lower bound, not added
// CHECK-LABEL: @bounded
// CHECK-NOT: wf.rms_norm
// CHECK-LABEL: @not_bounded
// CHECK: wf.rms_norm
func.func @bounded(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %n = "tosa.const"() <{values = dense<0.125> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %0 = tosa.mul %x, %x, %s8 : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<1xi8>) -> tensor<4x8xf32>
  %1 = tosa.reduce_sum %0 {axis = 1 : i32} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  %2 = tosa.mul %1, %n, %s8 : (tensor<4x1xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<4x1xf32>
  %3 = tosa.clamp %2 {min_val = 1.0e-5 : f32, max_val = 3.40282347E+38 : f32} : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %4 = tosa.rsqrt %3 : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %5 = tosa.mul %x, %4, %s8 : (tensor<4x8xf32>, tensor<4x1xf32>, tensor<1xi8>) -> tensor<4x8xf32>
  return %5 : tensor<4x8xf32>
}
func.func @not_bounded(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %n = "tosa.const"() <{values = dense<0.125> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %eps = "tosa.const"() <{values = dense<1.0e-5> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %0 = tosa.mul %x, %x, %s8 : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<1xi8>) -> tensor<4x8xf32>
  %1 = tosa.reduce_sum %0 {axis = 1 : i32} : (tensor<4x8xf32>) -> tensor<4x1xf32>
  %2 = tosa.mul %1, %n, %s8 : (tensor<4x1xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<4x1xf32>
  %3 = tosa.clamp %2 {min_val = 0.0 : f32, max_val = 3.40282347E+38 : f32} : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %6 = tosa.add %3, %eps : (tensor<4x1xf32>, tensor<1x1xf32>) -> tensor<4x1xf32>
  %4 = tosa.rsqrt %6 : (tensor<4x1xf32>) -> tensor<4x1xf32>
  %5 = tosa.mul %x, %4, %s8 : (tensor<4x8xf32>, tensor<4x1xf32>, tensor<1xi8>) -> tensor<4x8xf32>
  return %5 : tensor<4x8xf32>
}
