// Gates as torch.compile decomposes them, and between reshapes.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s

// CHECK-LABEL: @by_exp
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "silu"} : (tensor<8x64xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
func.func @by_exp(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %n = tosa.negate %x, %z, %z : (tensor<8x64xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<8x64xf32>
  %e = tosa.exp %n : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %p = tosa.add %e, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %r = tosa.reciprocal %p : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %s = tosa.mul %x, %r, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %s, %up, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// CHECK-LABEL: @up_beside_sigmoid
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "silu"} : (tensor<8x64xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
func.func @up_beside_sigmoid(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %n = tosa.negate %x, %z, %z : (tensor<8x64xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<8x64xf32>
  %e = tosa.exp %n : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %p = tosa.add %e, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %r = tosa.reciprocal %p : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %s = tosa.mul %r, %up, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %x, %s, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// CHECK-LABEL: @reshaped_silu
// CHECK: %[[G:.*]] = {{tosa.reshape|tensor.expand_shape}} %arg0
// CHECK-NEXT: %[[Y:.*]] = "wf.glu"(%[[G]], %arg1) {activation = "silu"} : (tensor<2x4x64xf32>, tensor<2x4x64xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @reshaped_silu(%x: tensor<8x64xf32>, %up: tensor<2x4x64xf32>) -> tensor<2x4x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %n = tosa.negate %x, %z, %z : (tensor<8x64xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<8x64xf32>
  %e = tosa.exp %n : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %p = tosa.add %e, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %r = tosa.reciprocal %p : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %s = tosa.mul %x, %r, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %c = tosa.const_shape {values = dense<[2, 4, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %s3 = tosa.reshape %s, %c : (tensor<8x64xf32>, !tosa.shape<3>) -> tensor<2x4x64xf32>
  %y = tosa.mul %s3, %up, %s8 : (tensor<2x4x64xf32>, tensor<2x4x64xf32>, tensor<1xi8>) -> tensor<2x4x64xf32>
  return %y : tensor<2x4x64xf32>
}

// CHECK-LABEL: @reshaped_gelu
// CHECK: %[[G:.*]] = {{tosa.reshape|tensor.expand_shape}} %arg0
// CHECK-NEXT: %[[Y:.*]] = "wf.glu"(%[[G]], %arg1) {activation = "gelu"} : (tensor<2x4x64xf32>, tensor<2x4x64xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @reshaped_gelu(%x: tensor<8x64xf32>, %up: tensor<2x4x64xf32>) -> tensor<2x4x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %k = "tosa.const"() <{values = dense<0.707106769> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %xk = tosa.mul %x, %k, %s8 : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %er = tosa.erf %xk : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %e1 = tosa.add %er, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %xh = tosa.mul %x, %half, %s8 : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %s = tosa.mul %xh, %e1, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %c = tosa.const_shape {values = dense<[2, 4, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %s3 = tosa.reshape %s, %c : (tensor<8x64xf32>, !tosa.shape<3>) -> tensor<2x4x64xf32>
  %y = tosa.mul %s3, %up, %s8 : (tensor<2x4x64xf32>, tensor<2x4x64xf32>, tensor<1xi8>) -> tensor<2x4x64xf32>
  return %y : tensor<2x4x64xf32>
}

// CHECK-LABEL: @in_f32
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "silu", rounded = f16{{.*}} -> tensor<8x64xf16>
func.func @in_f32(%x: tensor<8x64xf16>, %up: tensor<8x64xf16>) -> tensor<8x64xf16> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %w = tosa.cast %x : (tensor<8x64xf16>) -> tensor<8x64xf32>
  %sg = tosa.sigmoid %w : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %m = tosa.mul %w, %sg, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %h = tosa.cast %m : (tensor<8x64xf32>) -> tensor<8x64xf16>
  %y = tosa.mul %h, %up, %s8 : (tensor<8x64xf16>, tensor<8x64xf16>, tensor<1xi8>) -> tensor<8x64xf16>
  return %y : tensor<8x64xf16>
}
