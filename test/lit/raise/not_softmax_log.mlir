// Neither the logarithm of a softmax nor one over other axes is one; told why.
// RUN: welford opt --passes=raise --explain %s 2>&1 >/dev/null | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 >/dev/null | FileCheck %s
// RUN: welford opt --passes=raise %s | FileCheck %s --check-prefix=NONE
// NONE-NOT: wf.softmax

// CHECK: softmax: the logarithm of a softmax, for which there is no op
func.func @log(%x: tensor<2x8x16xf32>) -> tensor<2x8x16xf32> {
  %m = tosa.reduce_max %x {axis = 2 : i32} : (tensor<2x8x16xf32>) -> tensor<2x8x1xf32>
  %d = tosa.sub %x, %m : (tensor<2x8x16xf32>, tensor<2x8x1xf32>) -> tensor<2x8x16xf32>
  %e = tosa.exp %d : (tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  %r = tosa.reduce_sum %e {axis = 2 : i32} : (tensor<2x8x16xf32>) -> tensor<2x8x1xf32>
  %l = tosa.log %r : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %y = tosa.sub %d, %l : (tensor<2x8x16xf32>, tensor<2x8x1xf32>) -> tensor<2x8x16xf32>
  return %y : tensor<2x8x16xf32>
}

// CHECK: softmax: the sum is of another value than the one divided by it
func.func @other_sum(%x: tensor<2x8x16xf32>, %o: tensor<2x8x16xf32>) -> tensor<2x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %m = tosa.reduce_max %x {axis = 2 : i32} : (tensor<2x8x16xf32>) -> tensor<2x8x1xf32>
  %d = tosa.sub %x, %m : (tensor<2x8x16xf32>, tensor<2x8x1xf32>) -> tensor<2x8x16xf32>
  %e = tosa.exp %d : (tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  %f = tosa.exp %o : (tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  %r = tosa.reduce_sum %f {axis = 2 : i32} : (tensor<2x8x16xf32>) -> tensor<2x8x1xf32>
  %i = tosa.reciprocal %r : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %y = tosa.mul %e, %i, %s8 : (tensor<2x8x16xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x16xf32>
  return %y : tensor<2x8x16xf32>
}
