// Masks as conditions, one head of k and v for all of q, heads merged with the batch.
// RUN: welford opt --passes=raise %s | FileCheck %s

// CHECK-LABEL: @hidden_where
// CHECK: %[[M:.*]] = linalg.generic {{.*}} ins(%arg3,
// CHECK: arith.select
// CHECK: "wf.attention"({{.*}}, %[[M]]) {causal = false, n_heads = 2 : i64, n_kv_heads = 2 : i64
func.func @hidden_where(%q: tensor<1x2x4x8xf32>, %k: tensor<1x2x8x4xf32>, %v: tensor<1x2x4x8xf32>, %m: tensor<1x1x4x4xi1>) -> tensor<1x2x4x8xf32> {
  %low = "tosa.const"() <{values = dense<0xFF800000> : tensor<1x1x1x1xf32>}> : () -> tensor<1x1x1x1xf32>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %t3 = tosa.const_shape {values = dense<[2, 4, 8]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %t4 = tosa.const_shape {values = dense<[2, 8, 4]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %t5 = tosa.const_shape {values = dense<[1, 2, 4, 4]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %t6 = tosa.const_shape {values = dense<[2, 4, 4]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %t7 = tosa.const_shape {values = dense<[1, 2, 4, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %0 = tosa.reshape %q, %t3 : (tensor<1x2x4x8xf32>, !tosa.shape<3>) -> tensor<2x4x8xf32>
  %1 = tosa.reshape %k, %t4 : (tensor<1x2x8x4xf32>, !tosa.shape<3>) -> tensor<2x8x4xf32>
  %2 = tosa.matmul %0, %1, %z, %z : (tensor<2x4x8xf32>, tensor<2x8x4xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x4x4xf32>
  %3 = tosa.reshape %2, %t5 : (tensor<2x4x4xf32>, !tosa.shape<4>) -> tensor<1x2x4x4xf32>
  %4 = tosa.select %m, %low, %3 : (tensor<1x1x4x4xi1>, tensor<1x1x1x1xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %5 = tosa.reduce_max %4 {axis = 3 : i32} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x1xf32>
  %6 = tosa.sub %4, %5 : (tensor<1x2x4x4xf32>, tensor<1x2x4x1xf32>) -> tensor<1x2x4x4xf32>
  %7 = tosa.exp %6 : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %8 = tosa.reduce_sum %7 {axis = 3 : i32} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x1xf32>
  %9 = tosa.reciprocal %8 : (tensor<1x2x4x1xf32>) -> tensor<1x2x4x1xf32>
  %10 = tosa.mul %7, %9, %s8 : (tensor<1x2x4x4xf32>, tensor<1x2x4x1xf32>, tensor<1xi8>) -> tensor<1x2x4x4xf32>
  %11 = tosa.reshape %10, %t6 : (tensor<1x2x4x4xf32>, !tosa.shape<3>) -> tensor<2x4x4xf32>
  %12 = tosa.reshape %v, %t3 : (tensor<1x2x4x8xf32>, !tosa.shape<3>) -> tensor<2x4x8xf32>
  %13 = tosa.matmul %11, %12, %z, %z : (tensor<2x4x4xf32>, tensor<2x4x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x4x8xf32>
  %14 = tosa.reshape %13, %t7 : (tensor<2x4x8xf32>, !tosa.shape<4>) -> tensor<1x2x4x8xf32>
  return %14 : tensor<1x2x4x8xf32>
}

// CHECK-LABEL: @merged
// CHECK: "wf.attention"(%arg0, %arg1, %arg2) {causal = false, n_heads = 1 : i64, n_kv_heads = 1 : i64
func.func @merged(%q: tensor<6x4x8xf32>, %k: tensor<6x4x8xf32>, %v: tensor<6x4x8xf32>) -> tensor<6x4x8xf32> {
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %1 = tosa.transpose %k {perms = array<i32: 0, 2, 1>} : (tensor<6x4x8xf32>) -> tensor<6x8x4xf32>
  %2 = tosa.matmul %q, %1, %z, %z : (tensor<6x4x8xf32>, tensor<6x8x4xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<6x4x4xf32>
  %5 = tosa.reduce_max %2 {axis = 2 : i32} : (tensor<6x4x4xf32>) -> tensor<6x4x1xf32>
  %6 = tosa.sub %2, %5 : (tensor<6x4x4xf32>, tensor<6x4x1xf32>) -> tensor<6x4x4xf32>
  %7 = tosa.exp %6 : (tensor<6x4x4xf32>) -> tensor<6x4x4xf32>
  %8 = tosa.reduce_sum %7 {axis = 2 : i32} : (tensor<6x4x4xf32>) -> tensor<6x4x1xf32>
  %9 = tosa.reciprocal %8 : (tensor<6x4x1xf32>) -> tensor<6x4x1xf32>
  %10 = tosa.mul %7, %9, %s8 : (tensor<6x4x4xf32>, tensor<6x4x1xf32>, tensor<1xi8>) -> tensor<6x4x4xf32>
  %13 = tosa.matmul %10, %v, %z, %z : (tensor<6x4x4xf32>, tensor<6x4x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<6x4x8xf32>
  return %13 : tensor<6x4x8xf32>
}
