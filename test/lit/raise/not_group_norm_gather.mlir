// The factors of two channels change places: each is beside the other's mean.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// CHECK: {{:[0-9]+:[0-9]+}}: group: the factors are gathered in another order than they have
// CHECK-NOT: wf.layer_norm
func.func @main(%x: tensor<2x8x5x6xf32>, %gamma: tensor<1x4x2x1xf32>, %beta: tensor<1x4x2x1xf32>) -> tensor<2x8x5x6xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %n = "tosa.const"() <{values = dense<0.0166666675> : tensor<1x1x1x1xf32>}> : () -> tensor<1x1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1x1xf32>}> : () -> tensor<1x1x1x1xf32>
  %groups = tosa.const_shape {values = dense<[2, 4, 2, 30]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %row = tosa.const_shape {values = dense<[1, 16, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %channels = tosa.const_shape {values = dense<[2, 8, 1, 1]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %xg = tosa.reshape %x, %groups : (tensor<2x8x5x6xf32>, !tosa.shape<4>) -> tensor<2x4x2x30xf32>
  %s2 = tosa.reduce_sum %xg {axis = 2 : i32} : (tensor<2x4x2x30xf32>) -> tensor<2x4x1x30xf32>
  %s3 = tosa.reduce_sum %s2 {axis = 3 : i32} : (tensor<2x4x1x30xf32>) -> tensor<2x4x1x1xf32>
  %m = tosa.mul %s3, %n, %s8 : (tensor<2x4x1x1xf32>, tensor<1x1x1x1xf32>, tensor<1xi8>) -> tensor<2x4x1x1xf32>
  %d = tosa.sub %xg, %m : (tensor<2x4x2x30xf32>, tensor<2x4x1x1xf32>) -> tensor<2x4x2x30xf32>
  %q = tosa.mul %d, %d, %s8 : (tensor<2x4x2x30xf32>, tensor<2x4x2x30xf32>, tensor<1xi8>) -> tensor<2x4x2x30xf32>
  %q2 = tosa.reduce_sum %q {axis = 2 : i32} : (tensor<2x4x2x30xf32>) -> tensor<2x4x1x30xf32>
  %q3 = tosa.reduce_sum %q2 {axis = 3 : i32} : (tensor<2x4x1x30xf32>) -> tensor<2x4x1x1xf32>
  %v = tosa.mul %q3, %n, %s8 : (tensor<2x4x1x1xf32>, tensor<1x1x1x1xf32>, tensor<1xi8>) -> tensor<2x4x1x1xf32>
  %ve = tosa.add %v, %eps : (tensor<2x4x1x1xf32>, tensor<1x1x1x1xf32>) -> tensor<2x4x1x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x4x1x1xf32>) -> tensor<2x4x1x1xf32>
  %a = tosa.mul %r, %gamma, %s8 : (tensor<2x4x1x1xf32>, tensor<1x4x2x1xf32>, tensor<1xi8>) -> tensor<2x4x2x1xf32>
  %nm = tosa.negate %m, %z, %z : (tensor<2x4x1x1xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x4x1x1xf32>
  %ma = tosa.mul %nm, %a, %s8 : (tensor<2x4x1x1xf32>, tensor<2x4x2x1xf32>, tensor<1xi8>) -> tensor<2x4x2x1xf32>
  %b = tosa.add %ma, %beta : (tensor<2x4x2x1xf32>, tensor<1x4x2x1xf32>) -> tensor<2x4x2x1xf32>
  %places = "tosa.const"() <{values = dense<[[1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]> : tensor<1x16xi32>}> : () -> tensor<1x16xi32>
  %a1 = tosa.reshape %a, %row : (tensor<2x4x2x1xf32>, !tosa.shape<3>) -> tensor<1x16x1xf32>
  %b1 = tosa.reshape %b, %row : (tensor<2x4x2x1xf32>, !tosa.shape<3>) -> tensor<1x16x1xf32>
  %ag = tosa.gather %a1, %places : (tensor<1x16x1xf32>, tensor<1x16xi32>) -> tensor<1x16x1xf32>
  %bg = tosa.gather %b1, %places : (tensor<1x16x1xf32>, tensor<1x16xi32>) -> tensor<1x16x1xf32>
  %ac = tosa.reshape %ag, %channels : (tensor<1x16x1xf32>, !tosa.shape<4>) -> tensor<2x8x1x1xf32>
  %bc = tosa.reshape %bg, %channels : (tensor<1x16x1xf32>, !tosa.shape<4>) -> tensor<2x8x1x1xf32>
  %xa = tosa.mul %x, %ac, %s8 : (tensor<2x8x5x6xf32>, tensor<2x8x1x1xf32>, tensor<1xi8>) -> tensor<2x8x5x6xf32>
  %y = tosa.add %xa, %bc : (tensor<2x8x5x6xf32>, tensor<2x8x1x1xf32>) -> tensor<2x8x5x6xf32>
  return %y : tensor<2x8x5x6xf32>
}
