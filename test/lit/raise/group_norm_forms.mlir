// Group norms as PyTorch decomposes them: x * a + b, whose factors have been computed for groups of channels.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s

// CHECK-LABEL: @reshaped
// CHECK: %[[N:.*]] = "wf.layer_norm"(%{{.*}}) {axes = 2 : i64, eps = 9.99{{.*}} : (tensor<2x4x2x30xf32>) -> tensor<2x4x2x30xf32>
// CHECK: linalg.generic {{.*}} ins(%[[N]], %arg1, %arg2 :
// CHECK: -> tensor<2x4x2x30xf32>
func.func @reshaped(%x: tensor<2x8x5x6xf32>, %gamma: tensor<1x4x2x1xf32>, %beta: tensor<1x4x2x1xf32>) -> tensor<2x8x5x6xf32> {
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
  %ac = tosa.reshape %a, %channels : (tensor<2x4x2x1xf32>, !tosa.shape<4>) -> tensor<2x8x1x1xf32>
  %bc = tosa.reshape %b, %channels : (tensor<2x4x2x1xf32>, !tosa.shape<4>) -> tensor<2x8x1x1xf32>
  %xa = tosa.mul %x, %ac, %s8 : (tensor<2x8x5x6xf32>, tensor<2x8x1x1xf32>, tensor<1xi8>) -> tensor<2x8x5x6xf32>
  %y = tosa.add %xa, %bc : (tensor<2x8x5x6xf32>, tensor<2x8x1x1xf32>) -> tensor<2x8x5x6xf32>
  return %y : tensor<2x8x5x6xf32>
}

// CHECK-LABEL: @gathered
// CHECK: %[[N:.*]] = "wf.layer_norm"(%{{.*}}) {axes = 2 : i64, eps = 9.99{{.*}} : (tensor<2x4x2x30xf32>) -> tensor<2x4x2x30xf32>
// CHECK: linalg.generic {{.*}} ins(%[[N]], %arg1, %arg2 :
// CHECK: -> tensor<2x4x2x30xf32>
func.func @gathered(%x: tensor<2x8x5x6xf32>, %gamma: tensor<1x4x2x1xf32>, %beta: tensor<1x4x2x1xf32>) -> tensor<2x8x5x6xf32> {
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
  %places = "tosa.const"() <{values = dense<[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]> : tensor<1x16xi32>}> : () -> tensor<1x16xi32>
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

// CHECK-LABEL: @extracted
// CHECK: %[[N:.*]] = "wf.layer_norm"(%{{.*}}) {axes = 2 : i64, eps = 9.99{{.*}} : (tensor<2x4x2x30xf32>) -> tensor<2x4x2x30xf32>
// CHECK: linalg.generic {{.*}} ins(%[[N]], %arg1, %arg2 :
// CHECK: -> tensor<2x4x2x30xf32>
func.func @extracted(%x: tensor<2x8x5x6xf32>, %gamma: tensor<1x4x2x1xf32>, %beta: tensor<1x4x2x1xf32>) -> tensor<2x8x5x6xf32> {
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
  %e = tensor.empty() : tensor<2x8xf32>
  %i0 = arith.constant dense<[[0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]]> : tensor<2x8xi64>
  %i1 = arith.constant dense<[[0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 1, 2, 2, 3, 3]]> : tensor<2x8xi64>
  %i2 = arith.constant dense<[[0, 1, 0, 1, 0, 1, 0, 1], [0, -1, 0, -1, 0, -1, 0, -1]]> : tensor<2x8xi64>
  %ag = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%i0, %i1, %i2 : tensor<2x8xi64>, tensor<2x8xi64>, tensor<2x8xi64>) outs(%e : tensor<2x8xf32>) {
  ^bb0(%p: i64, %q0: i64, %t: i64, %o: f32):
    %c0 = arith.constant 0 : i64
    %c2 = arith.constant 2 : i64
    %k0 = arith.constant 0 : index
    %below = arith.cmpi slt, %t, %c0 : i64
    %up = arith.addi %t, %c2 : i64
    %w = arith.select %below, %up, %t : i64
    %x0 = arith.index_cast %p : i64 to index
    %x1 = arith.index_cast %q0 : i64 to index
    %x2 = arith.index_cast %w : i64 to index
    %y0 = tensor.extract %a[%x0, %x1, %x2, %k0] : tensor<2x4x2x1xf32>
    linalg.yield %y0 : f32
  } -> tensor<2x8xf32>
  %ac = tensor.expand_shape %ag [[0], [1, 2, 3]] output_shape [2, 8, 1, 1] : tensor<2x8xf32> into tensor<2x8x1x1xf32>
  %bg = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%i0, %i1, %i2 : tensor<2x8xi64>, tensor<2x8xi64>, tensor<2x8xi64>) outs(%e : tensor<2x8xf32>) {
  ^bb0(%p: i64, %q0: i64, %t: i64, %o: f32):
    %c0 = arith.constant 0 : i64
    %c2 = arith.constant 2 : i64
    %k0 = arith.constant 0 : index
    %below = arith.cmpi slt, %t, %c0 : i64
    %up = arith.addi %t, %c2 : i64
    %w = arith.select %below, %up, %t : i64
    %x0 = arith.index_cast %p : i64 to index
    %x1 = arith.index_cast %q0 : i64 to index
    %x2 = arith.index_cast %w : i64 to index
    %y0 = tensor.extract %b[%x0, %x1, %x2, %k0] : tensor<2x4x2x1xf32>
    linalg.yield %y0 : f32
  } -> tensor<2x8xf32>
  %bc = tensor.expand_shape %bg [[0], [1, 2, 3]] output_shape [2, 8, 1, 1] : tensor<2x8xf32> into tensor<2x8x1x1xf32>
  %xa = tosa.mul %x, %ac, %s8 : (tensor<2x8x5x6xf32>, tensor<2x8x1x1xf32>, tensor<1xi8>) -> tensor<2x8x5x6xf32>
  %y = tosa.add %xa, %bc : (tensor<2x8x5x6xf32>, tensor<2x8x1x1xf32>) -> tensor<2x8x5x6xf32>
  return %y : tensor<2x8x5x6xf32>
}
