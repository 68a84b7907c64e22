// What differs from a rotation is told.
// RUN: welford opt --passes=raise --explain %s 2>&1 >/dev/null | FileCheck %s --check-prefix=WHY
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 >/dev/null | FileCheck %s --check-prefix=WHY
// CHECK-NOT: wf.rope

// WHY: :[[#]]:[[#]]: rope: the second half is negated, not the first: it rotates backwards
func.func @backwards(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %lo, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %hi, %n {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: the first half is not negated
func.func @no_sign(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %hi, %lo {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: both halves are negated
func.func @both(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %m = tosa.negate %lo, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %n, %m {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: the two halves are not exchanged
func.func @in_place(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %lo, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %n, %hi {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: the rotated value is another than the one scaled by cos
func.func @other(%x: tensor<1x4x8x16xf32>, %o: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %o, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: the two halves of cos or sin are not known to be the same
func.func @tables(%x: tensor<1x4x8x16xf32>, %c: tensor<1x1x8x16xf32>, %s: tensor<1x1x8x16xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: cos or sin vary along more than the sequence: heads, or the batch
func.func @heads(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %c = tosa.cos %e : (tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  %s = tosa.sin %e : (tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: x is taken apart in one way (halves, even and odd places), put together in the other
func.func @mixed(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %p5 = tosa.const_shape {values = dense<[1, 4, 8, 8, 2]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %h5 = tosa.const_shape {values = dense<[1, 4, 8, 8, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %q0 = tosa.const_shape {values = dense<[0, 0, 0, 0, 0]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %q1 = tosa.const_shape {values = dense<[0, 0, 0, 0, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %p = tosa.reshape %x, %p5 : (tensor<1x4x8x16xf32>, !tosa.shape<5>) -> tensor<1x4x8x8x2xf32>
  %lo5 = tosa.slice %p, %q0, %h5 : (tensor<1x4x8x8x2xf32>, !tosa.shape<5>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %lo = tosa.reshape %lo5, %h : (tensor<1x4x8x8x1xf32>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi5 = tosa.slice %p, %q1, %h5 : (tensor<1x4x8x8x2xf32>, !tosa.shape<5>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %hi = tosa.reshape %hi5, %h : (tensor<1x4x8x8x1xf32>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %t = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %e = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %x, %c, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %s, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// WHY: :[[#]]:[[#]]: rope: the signs are not those of a cos - b sin, b cos + a sin
func.func @signs(%x: tensor<1x4x8x16xf32>, %cos: tensor<1x1x8x8xf32>, %sin: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %h = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %lo = tosa.slice %x, %o0, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %o1, %h : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %ac = tosa.mul %lo, %cos, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %bs = tosa.mul %hi, %sin, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %bc = tosa.mul %hi, %cos, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %as = tosa.mul %lo, %sin, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %re = tosa.add %ac, %bs : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %im = tosa.sub %bc, %as : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %y = tosa.concat %re, %im {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}
