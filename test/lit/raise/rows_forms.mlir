// Products in two dimensions, the graph around them in three: reshapes sink behind the ops that they part (view, mm, view).
// RUN: welford opt --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --explain - 2>&1 | FileCheck %s

// CHECK-LABEL: @swiglu
// CHECK-NEXT: %[[Y:.*]] = "wf.linear"(%arg0, %arg1, %arg2) {glu = "silu", {{.*}} -> tensor<2x16x128xf32>
// CHECK-NEXT: return %[[Y]]
func.func @swiglu(%x: tensor<2x16x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>) -> tensor<2x16x128xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %a = tosa.const_shape {values = dense<[32, 64]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %b = tosa.const_shape {values = dense<[2, 16, 128]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %z = arith.constant dense<0.0> : tensor<32x128xf32>
  %x2 = tosa.reshape %x, %a : (tensor<2x16x64xf32>, !tosa.shape<2>) -> tensor<32x64xf32>
  %gt = tosa.transpose %g {perms = array<i32: 1, 0>} : (tensor<128x64xf32>) -> tensor<64x128xf32>
  %g2 = linalg.matmul ins(%x2, %gt : tensor<32x64xf32>, tensor<64x128xf32>) outs(%z : tensor<32x128xf32>) -> tensor<32x128xf32>
  %g3 = tosa.reshape %g2, %b : (tensor<32x128xf32>, !tosa.shape<3>) -> tensor<2x16x128xf32>
  %sg = tosa.sigmoid %g3 : (tensor<2x16x128xf32>) -> tensor<2x16x128xf32>
  %si = tosa.mul %g3, %sg, %s8 : (tensor<2x16x128xf32>, tensor<2x16x128xf32>, tensor<1xi8>) -> tensor<2x16x128xf32>
  %ut = tosa.transpose %u {perms = array<i32: 1, 0>} : (tensor<128x64xf32>) -> tensor<64x128xf32>
  %u2 = linalg.matmul ins(%x2, %ut : tensor<32x64xf32>, tensor<64x128xf32>) outs(%z : tensor<32x128xf32>) -> tensor<32x128xf32>
  %u3 = tosa.reshape %u2, %b : (tensor<32x128xf32>, !tosa.shape<3>) -> tensor<2x16x128xf32>
  %y = tosa.mul %si, %u3, %s8 : (tensor<2x16x128xf32>, tensor<2x16x128xf32>, tensor<1xi8>) -> tensor<2x16x128xf32>
  return %y : tensor<2x16x128xf32>
}

// The gate is reshaped, the other factor is not.
// CHECK-LABEL: @one_reshaped
// CHECK: "wf.linear"({{.*}}) {glu = "silu", {{.*}} -> tensor<32x128xf32>
// CHECK-NOT: wf.glu
func.func @one_reshaped(%x: tensor<32x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>) -> tensor<2x16x128xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %one = tosa.const_shape {values = dense<[1, 64, 128]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %two = tosa.const_shape {values = dense<[2, 1, 1]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %c = tosa.const_shape {values = dense<[2, 16, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %b = tosa.const_shape {values = dense<[2, 16, 128]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %z = arith.constant dense<0.0> : tensor<32x128xf32>
  %z3 = arith.constant dense<0.0> : tensor<2x16x128xf32>
  %gt = tosa.transpose %g {perms = array<i32: 1, 0>} : (tensor<128x64xf32>) -> tensor<64x128xf32>
  %g2 = linalg.matmul ins(%x, %gt : tensor<32x64xf32>, tensor<64x128xf32>) outs(%z : tensor<32x128xf32>) -> tensor<32x128xf32>
  %g3 = tosa.reshape %g2, %b : (tensor<32x128xf32>, !tosa.shape<3>) -> tensor<2x16x128xf32>
  %sg = tosa.sigmoid %g3 : (tensor<2x16x128xf32>) -> tensor<2x16x128xf32>
  %s3 = tosa.mul %g3, %sg, %s8 : (tensor<2x16x128xf32>, tensor<2x16x128xf32>, tensor<1xi8>) -> tensor<2x16x128xf32>
  %x3 = tosa.reshape %x, %c : (tensor<32x64xf32>, !tosa.shape<3>) -> tensor<2x16x64xf32>
  %ut = tosa.transpose %u {perms = array<i32: 1, 0>} : (tensor<128x64xf32>) -> tensor<64x128xf32>
  %u1 = tosa.reshape %ut, %one : (tensor<64x128xf32>, !tosa.shape<3>) -> tensor<1x64x128xf32>
  %ub = tosa.tile %u1, %two : (tensor<1x64x128xf32>, !tosa.shape<3>) -> tensor<2x64x128xf32>
  %u3 = linalg.batch_matmul ins(%x3, %ub : tensor<2x16x64xf32>, tensor<2x64x128xf32>) outs(%z3 : tensor<2x16x128xf32>) -> tensor<2x16x128xf32>
  %y = tosa.mul %s3, %u3, %s8 : (tensor<2x16x128xf32>, tensor<2x16x128xf32>, tensor<1xi8>) -> tensor<2x16x128xf32>
  return %y : tensor<2x16x128xf32>
}

// CHECK-LABEL: @norm_linear_residual
// CHECK-NEXT: %[[N:.*]] = "wf.rms_norm"(%arg0, %arg1) {{.*}} -> tensor<2x16x64xf32>
// CHECK-NEXT: %[[Y:.*]] = "wf.linear"(%[[N]], %arg2, %arg0) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 1>}
// CHECK-NEXT: return %[[Y]]
func.func @norm_linear_residual(%x: tensor<2x16x64xf32>, %gamma: tensor<1x1x64xf32>, %w: tensor<64x64xf32>) -> tensor<2x16x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %a = tosa.const_shape {values = dense<[32, 64]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %b = tosa.const_shape {values = dense<[2, 16, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %z = arith.constant dense<0.0> : tensor<32x64xf32>
  %s = tosa.mul %x, %x, %s8 : (tensor<2x16x64xf32>, tensor<2x16x64xf32>, tensor<1xi8>) -> tensor<2x16x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x16x64xf32>) -> tensor<2x16x1xf32>
  %mean = tosa.mul %sum, %n, %s8 : (tensor<2x16x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x16x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x16x1xf32>, tensor<1x1x1xf32>) -> tensor<2x16x1xf32>
  %r = tosa.rsqrt %me : (tensor<2x16x1xf32>) -> tensor<2x16x1xf32>
  %nx = tosa.mul %x, %r, %s8 : (tensor<2x16x64xf32>, tensor<2x16x1xf32>, tensor<1xi8>) -> tensor<2x16x64xf32>
  %ng = tosa.mul %nx, %gamma, %s8 : (tensor<2x16x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x16x64xf32>
  %n2 = tosa.reshape %ng, %a : (tensor<2x16x64xf32>, !tosa.shape<2>) -> tensor<32x64xf32>
  %wt = tosa.transpose %w {perms = array<i32: 1, 0>} : (tensor<64x64xf32>) -> tensor<64x64xf32>
  %p = linalg.matmul ins(%n2, %wt : tensor<32x64xf32>, tensor<64x64xf32>) outs(%z : tensor<32x64xf32>) -> tensor<32x64xf32>
  %p3 = tosa.reshape %p, %b : (tensor<32x64xf32>, !tosa.shape<3>) -> tensor<2x16x64xf32>
  %y = tosa.add %x, %p3 : (tensor<2x16x64xf32>, tensor<2x16x64xf32>) -> tensor<2x16x64xf32>
  return %y : tensor<2x16x64xf32>
}

// The sum in two dimensions, its norm in three.
// CHECK-LABEL: @residual_norm
// CHECK: "wf.residual_norm"(%arg0, %arg1, %arg2) {{.*}} -> (tensor<32x64xf32>, tensor<32x64xf32>)
func.func @residual_norm(%x: tensor<32x64xf32>, %r: tensor<32x64xf32>, %gamma: tensor<64xf32>) -> (tensor<2x16x64xf32>, tensor<32x64xf32>) {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %n = "tosa.const"() <{values = dense<1.562500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %eps = "tosa.const"() <{values = dense<9.99999974E-6> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %b = tosa.const_shape {values = dense<[2, 16, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %g = tosa.const_shape {values = dense<[1, 1, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %h = tosa.add %x, %r : (tensor<32x64xf32>, tensor<32x64xf32>) -> tensor<32x64xf32>
  %h3 = tosa.reshape %h, %b : (tensor<32x64xf32>, !tosa.shape<3>) -> tensor<2x16x64xf32>
  %s = tosa.mul %h3, %h3, %s8 : (tensor<2x16x64xf32>, tensor<2x16x64xf32>, tensor<1xi8>) -> tensor<2x16x64xf32>
  %sum = tosa.reduce_sum %s {axis = 2 : i32} : (tensor<2x16x64xf32>) -> tensor<2x16x1xf32>
  %mean = tosa.mul %sum, %n, %s8 : (tensor<2x16x1xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x16x1xf32>
  %me = tosa.add %mean, %eps : (tensor<2x16x1xf32>, tensor<1x1x1xf32>) -> tensor<2x16x1xf32>
  %rt = tosa.rsqrt %me : (tensor<2x16x1xf32>) -> tensor<2x16x1xf32>
  %nx = tosa.mul %h3, %rt, %s8 : (tensor<2x16x64xf32>, tensor<2x16x1xf32>, tensor<1xi8>) -> tensor<2x16x64xf32>
  %g3 = tosa.reshape %gamma, %g : (tensor<64xf32>, !tosa.shape<3>) -> tensor<1x1x64xf32>
  %y = tosa.mul %nx, %g3, %s8 : (tensor<2x16x64xf32>, tensor<1x1x64xf32>, tensor<1xi8>) -> tensor<2x16x64xf32>
  return %y, %h : tensor<2x16x64xf32>, tensor<32x64xf32>
}

// The reshape takes the rows apart: the product is of other rows, and stays where it is.
// CHECK-LABEL: @other_rows
// CHECK: "wf.linear"({{.*}}) {{.*}} : (tensor<64x32xf32>, tensor<16x32xf32>) -> tensor<64x16xf32>
func.func @other_rows(%x: tensor<2x16x64xf32>, %w: tensor<16x32xf32>) -> tensor<2x16x32xf32> {
  %a = tosa.const_shape {values = dense<[64, 32]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %b = tosa.const_shape {values = dense<[2, 16, 32]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %z = arith.constant dense<0.0> : tensor<64x16xf32>
  %x2 = tosa.reshape %x, %a : (tensor<2x16x64xf32>, !tosa.shape<2>) -> tensor<64x32xf32>
  %wt = tosa.transpose %w {perms = array<i32: 1, 0>} : (tensor<16x32xf32>) -> tensor<32x16xf32>
  %p = linalg.matmul ins(%x2, %wt : tensor<64x32xf32>, tensor<32x16xf32>) outs(%z : tensor<64x16xf32>) -> tensor<64x16xf32>
  %y = tosa.reshape %p, %b : (tensor<64x16xf32>, !tosa.shape<3>) -> tensor<2x16x32xf32>
  return %y : tensor<2x16x32xf32>
}
