// One value normalised for two gammas: two norms, not one op and two products.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s

// CHECK-LABEL: @layer_norms
// CHECK-DAG: %[[A:.*]] = "wf.layer_norm"(%arg0, %arg1, %arg3)
// CHECK-DAG: %[[B:.*]] = "wf.layer_norm"(%arg0, %arg2, %arg3)
// CHECK: return %[[A]], %[[B]]
func.func @layer_norms(%x: tensor<2x8x64xf32>, %g: tensor<1x1x64xf32>, %h: tensor<1x1x64xf32>, %b: tensor<1x1x64xf32>) -> (tensor<2x8x64xf32>, tensor<2x8x64xf32>) {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.reduce_sum %x {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %m = tosa.mul %s, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %d = tosa.sub %x, %m : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  %q = tosa.mul %d, %d, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %qs = tosa.reduce_sum %q {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %v = tosa.mul %qs, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %ve = tosa.add %v, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %d, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %yg = tosa.mul %nx, %g, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.add %yg, %b : (tensor<2x8x64xf32>, tensor<1x1x64xf32>) -> tensor<2x8x64xf32>
  %zg = tosa.mul %nx, %h, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %z = tosa.add %zg, %b : (tensor<2x8x64xf32>, tensor<1x1x64xf32>) -> tensor<2x8x64xf32>
  return %y, %z : tensor<2x8x64xf32>, tensor<2x8x64xf32>
}

// CHECK-LABEL: @rms_norms
// CHECK-DAG: %[[A:.*]] = "wf.rms_norm"(%arg0, %arg1)
// CHECK-DAG: %[[B:.*]] = "wf.rms_norm"(%arg0, %arg2)
// CHECK: return %[[A]], %[[B]]
func.func @rms_norms(%x: tensor<2x8x64xf32>, %g: tensor<1x1x64xf32>, %h: tensor<1x1x64xf32>) -> (tensor<2x8x64xf32>, tensor<2x8x64xf32>) {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %q = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %qs = tosa.reduce_sum %q {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %v = tosa.mul %qs, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %ve = tosa.add %v, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %ve : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %g, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %z = tosa.mul %nx, %h, %shift : (tensor<2x8x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y, %z : tensor<2x8x64xf32>, tensor<2x8x64xf32>
}
