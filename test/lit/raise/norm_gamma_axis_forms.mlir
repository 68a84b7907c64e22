// gamma (and beta) along another axis than what is normalised: the norm without them, then the product and the sum.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s

// CHECK: {{(norm_gamma_axis_forms\.mlir|<stdin>)}}:[[#]]:[[#]]: rms_norm: gamma is along axis 1, not along what is normalised: it is applied after the op
// CHECK-LABEL: @after
// CHECK: %[[N:.*]] = "wf.rms_norm"(%arg0) {{.*}} : (tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
// CHECK: {{(tosa.mul |ins\()}}%[[N]]
func.func @after(%x: tensor<2x8x64xf32>, %gamma: tensor<1x8x1xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %nx = tosa.mul %x, %r, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %nx, %gamma, %shift : (tensor<2x8x64xf32>, tensor<1x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}

// CHECK-LABEL: @beside_root
// CHECK: %[[N:.*]] = "wf.rms_norm"(%arg0) {{.*}} : (tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[N]], %{{.*}} : tensor<2x8x64xf32>, tensor<1x8x1xf32>)
// CHECK: arith.mulf
// CHECK: return %[[Y]]
func.func @beside_root(%x: tensor<2x8x64xf32>, %gamma: tensor<1x8x1xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %s = tosa.mul %x, %x, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x8x64xf32>) -> tensor<2x8x1xf32>
  %mean = tosa.mul %sum, %n, %shift : (tensor<2x8x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x8x1xf32>, tensor<1x1x1xf32>) -> tensor<2x8x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x8x1xf32>) -> tensor<2x8x1xf32>
  %rg = tosa.mul %r, %gamma, %shift : (tensor<2x8x1xf32>, tensor<1x8x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %y = tosa.mul %x, %rg, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}

// x * inverse + (beta - mean * inverse), all of them by rows.
// CHECK-LABEL: @expanded
// CHECK: %[[N:.*]] = "wf.layer_norm"(%arg0) {{.*}} : (tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[N]], %{{.*}}, %{{.*}} : tensor<2x8x64xf32>, tensor<1x8x1xf32>, tensor<1x8x1xf32>)
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: return %[[Y]]
func.func @expanded(%x: tensor<2x8x64xf32>, %gamma: tensor<1x8x1xf32>, %beta: tensor<1x8x1xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
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
  %rg = tosa.mul %r, %gamma, %shift : (tensor<2x8x1xf32>, tensor<1x8x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %nm = tosa.negate %m, %z, %z : (tensor<2x8x1xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x8x1xf32>
  %mr = tosa.mul %nm, %rg, %shift : (tensor<2x8x1xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x1xf32>
  %b = tosa.add %mr, %beta : (tensor<2x8x1xf32>, tensor<1x8x1xf32>) -> tensor<2x8x1xf32>
  %xr = tosa.mul %x, %rg, %shift : (tensor<2x8x64xf32>, tensor<2x8x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.add %xr, %b : (tensor<2x8x64xf32>, tensor<2x8x1xf32>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}
