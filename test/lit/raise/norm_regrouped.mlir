// Reshapes that merge dimensions between the statistics and what is scaled.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK: rms_norm: square of another value than the one scaled
// group_norm, as the batch norm of one batch
// CHECK-LABEL: @gn_batch
// CHECK: "wf.layer_norm"(%{{.*}}) {eps = 9.9999{{.*}}} : (tensor<1x8x32xf32>)
// statistics of a merged view, applied to the whole
// CHECK-LABEL: @flat
// CHECK: "wf.rms_norm"(%arg0) {axes = 2 : i64, eps = 9.9999
// and the reverse
// CHECK-LABEL: @unflat
// CHECK: "wf.rms_norm"(%{{.*}}) {eps = 9.9999{{.*}}} : (tensor<2x128xf32>)
// only a part of the merged axis is summed
// CHECK-LABEL: @part
// CHECK-NOT: wf.rms_norm
func.func @gn_batch(%x: tensor<2x8x4x4xf32>, %g: tensor<8xf32>) -> tensor<2x8x4x4xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<3.125000e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s0 = tosa.const_shape {values = dense<[1, 8, 32]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %v = tosa.reshape %x, %s0 : (tensor<2x8x4x4xf32>, !tosa.shape<3>) -> tensor<1x8x32xf32>
  %a = tosa.reduce_sum %v {axis = 0 : i32} : (tensor<1x8x32xf32>) -> tensor<1x8x32xf32>
  %b = tosa.reduce_sum %a {axis = 2 : i32} : (tensor<1x8x32xf32>) -> tensor<1x8x1xf32>
  %mu = tosa.mul %b, %n, %shift : (tensor<1x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<1x8x1xf32>
  %d = tosa.sub %v, %mu : (tensor<1x8x32xf32>, tensor<1x8x1xf32>) -> tensor<1x8x32xf32>
  %sq = tosa.mul %d, %d, %shift : (tensor<1x8x32xf32>, tensor<1x8x32xf32>, tensor<1xi8>) -> tensor<1x8x32xf32>
  %a2 = tosa.reduce_sum %sq {axis = 0 : i32} : (tensor<1x8x32xf32>) -> tensor<1x8x32xf32>
  %b2 = tosa.reduce_sum %a2 {axis = 2 : i32} : (tensor<1x8x32xf32>) -> tensor<1x8x1xf32>
  %var = tosa.mul %b2, %n, %shift : (tensor<1x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<1x8x1xf32>
  %ve = tosa.add %var, %eps : (tensor<1x8x1xf32>, tensor<1x1x1xf32>) -> tensor<1x8x1xf32>
  %r = tosa.rsqrt %ve : (tensor<1x8x1xf32>) -> tensor<1x8x1xf32>
  %y = tosa.mul %d, %r, %shift : (tensor<1x8x32xf32>, tensor<1x8x1xf32>, tensor<1xi8>) -> tensor<1x8x32xf32>
  %s1 = tosa.const_shape {values = dense<[2, 8, 4, 4]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %z = tosa.reshape %y, %s1 : (tensor<1x8x32xf32>, !tosa.shape<4>) -> tensor<2x8x4x4xf32>
  %s2 = tosa.const_shape {values = dense<[1, 8, 1, 1]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %gg = tosa.reshape %g, %s2 : (tensor<8xf32>, !tosa.shape<4>) -> tensor<1x8x1x1xf32>
  %o = tosa.mul %z, %gg, %shift : (tensor<2x8x4x4xf32>, tensor<1x8x1x1xf32>, tensor<1xi8>) -> tensor<2x8x4x4xf32>
  return %o : tensor<2x8x4x4xf32>
}
func.func @flat(%x: tensor<2x8x16xf32>) -> tensor<2x8x16xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<0.0078125> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %s0 = tosa.const_shape {values = dense<[2, 128]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %v = tosa.reshape %x, %s0 : (tensor<2x8x16xf32>, !tosa.shape<2>) -> tensor<2x128xf32>
  %sq = tosa.mul %v, %v, %shift : (tensor<2x128xf32>, tensor<2x128xf32>, tensor<1xi8>) -> tensor<2x128xf32>
  %b2 = tosa.reduce_sum %sq {axis = 1 : i32} : (tensor<2x128xf32>) -> tensor<2x1xf32>
  %var = tosa.mul %b2, %n, %shift : (tensor<2x1xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<2x1xf32>
  %ve = tosa.add %var, %eps : (tensor<2x1xf32>, tensor<1x1xf32>) -> tensor<2x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x1xf32>) -> tensor<2x1xf32>
  %s1 = tosa.const_shape {values = dense<[2, 1, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %q = tosa.reshape %r, %s1 : (tensor<2x1xf32>, !tosa.shape<3>) -> tensor<2x1x1xf32>
  %y = tosa.mul %x, %q, %shift : (tensor<2x8x16xf32>, tensor<2x1x1xf32>, tensor<1xi8>) -> tensor<2x8x16xf32>
  return %y : tensor<2x8x16xf32>
}
func.func @unflat(%x: tensor<2x8x16xf32>) -> tensor<2x128xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<0.0078125> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %sq = tosa.mul %x, %x, %shift : (tensor<2x8x16xf32>, tensor<2x8x16xf32>, tensor<1xi8>) -> tensor<2x8x16xf32>
  %b1 = tosa.reduce_sum %sq {axis = 1 : i32} : (tensor<2x8x16xf32>) -> tensor<2x1x16xf32>
  %b2 = tosa.reduce_sum %b1 {axis = 2 : i32} : (tensor<2x1x16xf32>) -> tensor<2x1x1xf32>
  %var = tosa.mul %b2, %n, %shift : (tensor<2x1x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x1x1xf32>
  %ve = tosa.add %var, %eps : (tensor<2x1x1xf32>, tensor<1x1x1xf32>) -> tensor<2x1x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x1x1xf32>) -> tensor<2x1x1xf32>
  %s0 = tosa.const_shape {values = dense<[2, 128]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %v = tosa.reshape %x, %s0 : (tensor<2x8x16xf32>, !tosa.shape<2>) -> tensor<2x128xf32>
  %s1 = tosa.const_shape {values = dense<[2, 1]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %q = tosa.reshape %r, %s1 : (tensor<2x1x1xf32>, !tosa.shape<2>) -> tensor<2x1xf32>
  %y = tosa.mul %v, %q, %shift : (tensor<2x128xf32>, tensor<2x1xf32>, tensor<1xi8>) -> tensor<2x128xf32>
  return %y : tensor<2x128xf32>
}
func.func @part(%x: tensor<2x8x16xf32>) -> tensor<2x128xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<0.0078125> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %sq = tosa.mul %x, %x, %shift : (tensor<2x8x16xf32>, tensor<2x8x16xf32>, tensor<1xi8>) -> tensor<2x8x16xf32>
  %b2 = tosa.reduce_sum %sq {axis = 2 : i32} : (tensor<2x8x16xf32>) -> tensor<2x8x1xf32>
  %var = tosa.mul %b2, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %var : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %mult = tosa.const_shape {values = dense<[1, 1, 16]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %t = tosa.tile %r, %mult : (tensor<2x8x1xf32>, !tosa.shape<3>) -> tensor<2x8x16xf32>
  %s0 = tosa.const_shape {values = dense<[2, 128]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %v = tosa.reshape %x, %s0 : (tensor<2x8x16xf32>, !tosa.shape<2>) -> tensor<2x128xf32>
  %q = tosa.reshape %t, %s0 : (tensor<2x8x16xf32>, !tosa.shape<2>) -> tensor<2x128xf32>
  %y = tosa.mul %v, %q, %shift : (tensor<2x128xf32>, tensor<2x128xf32>, tensor<1xi8>) -> tensor<2x128xf32>
  return %y : tensor<2x128xf32>
}
