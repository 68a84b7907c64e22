// Halves of features in other forms: put together of the halves' own sums, only the first features, without a batch, the
// sequence in front, tables looked up by position.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | mlir-opt -linalg-generalize-named-ops -linalg-fuse-elementwise-ops -canonicalize -cse | welford opt --passes=raise - | FileCheck %s

// CHECK-LABEL: @sums_of_halves
// CHECK: "wf.rope"({{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<{{(1x)?}}8x64xf32>, tensor<8x8xf32>, tensor<8x8xf32>)
func.func @sums_of_halves(%x: tensor<1x4x8x16xf32>, %cos: tensor<1x1x8x8xf32>, %sin: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %a = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %b = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %ac = tosa.mul %a, %cos, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %bs = tosa.mul %b, %sin, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %bc = tosa.mul %b, %cos, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %as = tosa.mul %a, %sin, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %lo = tosa.sub %ac, %bs : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %hi = tosa.add %as, %bc : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %y = tosa.concat %lo, %hi {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// CHECK-LABEL: @first_features
// CHECK: "wf.rope"({{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<{{(1x)?}}8x32xf32>, tensor<8x4xf32>, tensor<8x4xf32>)
func.func @first_features(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x4xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %r0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %r1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %rs = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %r = tosa.slice %x, %r0, %rs : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %pass = tosa.slice %x, %r1, %rs : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 4]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 4]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %r, %r0, %h : (tensor<1x4x8x8xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x4xf32>
  %hi = tosa.slice %r, %o1, %h : (tensor<1x4x8x8xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x4xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x4xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x4xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x8x4xf32>, tensor<1x4x8x4xf32>) -> tensor<1x4x8x8xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x4xf32>, tensor<1x1x8x4xf32>) -> tensor<1x1x8x8xf32>
  %c = tosa.cos %e : (tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>
  %s = tosa.sin %e : (tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>
  %xc = tosa.mul %r, %c, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %y0 = tosa.add %xc, %ts : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %y = tosa.concat %y0, %pass {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// CHECK-LABEL: @sequence_leads
// CHECK: "wf.rope"({{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<2x8x64xf32>, tensor<8x8xf32>, tensor<8x8xf32>)
func.func @sequence_leads(%x: tensor<8x2x4x16xf32>, %angle: tensor<8x1x1x8xf32>) -> tensor<8x2x4x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[8, 2, 4, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<8x2x4x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<8x2x4x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<8x2x4x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<8x2x4x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<8x2x4x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<8x2x4x8xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<8x2x4x8xf32>, tensor<8x2x4x8xf32>) -> tensor<8x2x4x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<8x1x1x8xf32>, tensor<8x1x1x8xf32>) -> tensor<8x1x1x16xf32>
  %c = tosa.cos %e : (tensor<8x1x1x16xf32>) -> tensor<8x1x1x16xf32>
  %s = tosa.sin %e : (tensor<8x1x1x16xf32>) -> tensor<8x1x1x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<8x2x4x16xf32>, tensor<8x1x1x16xf32>, tensor<1xi8>) -> tensor<8x2x4x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<8x2x4x16xf32>, tensor<8x1x1x16xf32>, tensor<1xi8>) -> tensor<8x2x4x16xf32>
  %y = tosa.add %xc, %ts : (tensor<8x2x4x16xf32>, tensor<8x2x4x16xf32>) -> tensor<8x2x4x16xf32>
  return %y : tensor<8x2x4x16xf32>
}

// CHECK-LABEL: @no_batch
// CHECK: "wf.rope"({{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<{{(1x)?}}8x64xf32>, tensor<8x8xf32>, tensor<8x8xf32>)
func.func @no_batch(%x: tensor<4x8x16xf32>, %angle: tensor<1x8x8xf32>) -> tensor<4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %o1 = tosa.const_shape {values = dense<[0, 0, 8]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %h = tosa.const_shape {values = dense<[4, 8, 8]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %lo = tosa.slice %x, %o0, %h : (tensor<4x8x16xf32>, !tosa.shape<3>, !tosa.shape<3>) -> tensor<4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<4x8x16xf32>, !tosa.shape<3>, !tosa.shape<3>) -> tensor<4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<4x8x8xf32>
  %t = tosa.concat %n, %lo {axis = 2 : i32} : (tensor<4x8x8xf32>, tensor<4x8x8xf32>) -> tensor<4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 2 : i32} : (tensor<1x8x8xf32>, tensor<1x8x8xf32>) -> tensor<1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x8x16xf32>) -> tensor<1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x8x16xf32>) -> tensor<1x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<4x8x16xf32>, tensor<1x8x16xf32>, tensor<1xi8>) -> tensor<4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<4x8x16xf32>, tensor<1x8x16xf32>, tensor<1xi8>) -> tensor<4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<4x8x16xf32>, tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %y : tensor<4x8x16xf32>
}

// CHECK-LABEL: @looked_up
// CHECK: "wf.rope"({{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<{{(1x)?}}3x16xf32>, tensor<3x2xf32>, tensor<3x2xf32>)
func.func @looked_up(%x: tensor<1x4x3x4xf32>, %at: tensor<1x3xi32>) -> tensor<1x4x3x4xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %ct = "tosa.const"() <{values = dense<[[[0.1, 0.2, 0.1, 0.2], [0.3, 0.4, 0.3, 0.4], [0.5, 0.6, 0.5, 0.6], [0.7, 0.8, 0.7, 0.8]]]> : tensor<1x4x4xf32>}> : () -> tensor<1x4x4xf32>
  %cg = tosa.gather %ct, %at : (tensor<1x4x4xf32>, tensor<1x3xi32>) -> tensor<1x3x4xf32>
  %c4 = tosa.const_shape {values = dense<[1, 1, 3, 4]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %c = tosa.reshape %cg, %c4 : (tensor<1x3x4xf32>, !tosa.shape<4>) -> tensor<1x1x3x4xf32>
  %s = tosa.sin %c : (tensor<1x1x3x4xf32>) -> tensor<1x1x3x4xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 2]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 3, 2]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x3x4xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x3x2xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x3x4xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x3x2xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x3x2xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x3x2xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x3x2xf32>, tensor<1x4x3x2xf32>) -> tensor<1x4x3x4xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x3x4xf32>, tensor<1x1x3x4xf32>, tensor<1xi8>) -> tensor<1x4x3x4xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x3x4xf32>, tensor<1x1x3x4xf32>, tensor<1xi8>) -> tensor<1x4x3x4xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x3x4xf32>, tensor<1x4x3x4xf32>) -> tensor<1x4x3x4xf32>
  return %y : tensor<1x4x3x4xf32>
}

// CHECK-LABEL: @dynamic_sequence
// CHECK: "wf.rope"({{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<1x?x64xf32>, tensor<?x8xf32>, tensor<?x8xf32>)
func.func @dynamic_sequence(%x: tensor<1x4x?x16xf32>, %angle: tensor<1x1x?x8xf32>) -> tensor<1x4x?x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c2 : tensor<1x4x?x16xf32>
  %lo = tensor.extract_slice %x[0, 0, 0, 0] [1, 4, %n, 8] [1, 1, 1, 1] : tensor<1x4x?x16xf32> to tensor<1x4x?x8xf32>
  %hi = tensor.extract_slice %x[0, 0, 0, 8] [1, 4, %n, 8] [1, 1, 1, 1] : tensor<1x4x?x16xf32> to tensor<1x4x?x8xf32>
  %neg = tosa.negate %hi, %z, %z : (tensor<1x4x?x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x?x8xf32>
  %t = tensor.concat dim(3) %neg, %lo : (tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x16xf32>
  %e = tensor.concat dim(3) %angle, %angle : (tensor<1x1x?x8xf32>, tensor<1x1x?x8xf32>) -> tensor<1x1x?x16xf32>
  %c = tosa.cos %e : (tensor<1x1x?x16xf32>) -> tensor<1x1x?x16xf32>
  %s = tosa.sin %e : (tensor<1x1x?x16xf32>) -> tensor<1x1x?x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x?x16xf32>, tensor<1x1x?x16xf32>, tensor<1xi8>) -> tensor<1x4x?x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x?x16xf32>, tensor<1x1x?x16xf32>, tensor<1xi8>) -> tensor<1x4x?x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x?x16xf32>, tensor<1x4x?x16xf32>) -> tensor<1x4x?x16xf32>
  return %y : tensor<1x4x?x16xf32>
}
