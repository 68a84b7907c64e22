// Pairs of features at even and odd places: as a complex product, as slices with a stride, as a stack of what is negated;
// each function rotates 4 heads of 16 features at 8 positions.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | mlir-opt -linalg-generalize-named-ops -linalg-fuse-elementwise-ops -canonicalize -cse | welford opt --passes=raise - | FileCheck %s

// CHECK-LABEL: @complex_product
// CHECK: "wf.rope"({{.*}}) {interleaved = true, n_heads = 4 : i64} : ({{.*}}tensor<8x8xf32>, tensor<8x8xf32>)
// CHECK-NOT: {{concat|insert_slice}}
func.func @complex_product(%x: tensor<1x4x8x16xf32>, %cos: tensor<1x1x8x8xf32>, %sin: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %p5 = tosa.const_shape {values = dense<[1, 4, 8, 8, 2]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %h5 = tosa.const_shape {values = dense<[1, 4, 8, 8, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0, 0]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 0, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %h4 = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %x4 = tosa.const_shape {values = dense<[1, 4, 8, 16]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %p = tosa.reshape %x, %p5 : (tensor<1x4x8x16xf32>, !tosa.shape<5>) -> tensor<1x4x8x8x2xf32>
  %a5 = tosa.slice %p, %o0, %h5 : (tensor<1x4x8x8x2xf32>, !tosa.shape<5>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %b5 = tosa.slice %p, %o1, %h5 : (tensor<1x4x8x8x2xf32>, !tosa.shape<5>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %a = tosa.reshape %a5, %h4 : (tensor<1x4x8x8x1xf32>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %b = tosa.reshape %b5, %h4 : (tensor<1x4x8x8x1xf32>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %ac = tosa.mul %a, %cos, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %bs = tosa.mul %b, %sin, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %as = tosa.mul %a, %sin, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %bc = tosa.mul %b, %cos, %s8 : (tensor<1x4x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1xi8>) -> tensor<1x4x8x8xf32>
  %re = tosa.sub %ac, %bs : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %im = tosa.add %as, %bc : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %re5 = tosa.reshape %re, %h5 : (tensor<1x4x8x8xf32>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %im5 = tosa.reshape %im, %h5 : (tensor<1x4x8x8xf32>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %y5 = tosa.concat %re5, %im5 {axis = 4 : i32} : (tensor<1x4x8x8x1xf32>, tensor<1x4x8x8x1xf32>) -> tensor<1x4x8x8x2xf32>
  %y = tosa.reshape %y5, %x4 : (tensor<1x4x8x8x2xf32>, !tosa.shape<4>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// CHECK-LABEL: @rotate_every_two
// CHECK: "wf.rope"({{.*}}) {interleaved = true, n_heads = 4 : i64} : ({{.*}}tensor<8x8xf32>, tensor<8x8xf32>)
// CHECK-NOT: {{concat|insert_slice}}
func.func @rotate_every_two(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %p5 = tosa.const_shape {values = dense<[1, 4, 8, 8, 2]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %h5 = tosa.const_shape {values = dense<[1, 4, 8, 8, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %o0 = tosa.const_shape {values = dense<[0, 0, 0, 0, 0]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %o1 = tosa.const_shape {values = dense<[0, 0, 0, 0, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %h4 = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %x4 = tosa.const_shape {values = dense<[1, 4, 8, 16]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %p = tosa.reshape %x, %p5 : (tensor<1x4x8x16xf32>, !tosa.shape<5>) -> tensor<1x4x8x8x2xf32>
  %a5 = tosa.slice %p, %o0, %h5 : (tensor<1x4x8x8x2xf32>, !tosa.shape<5>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %b5 = tosa.slice %p, %o1, %h5 : (tensor<1x4x8x8x2xf32>, !tosa.shape<5>, !tosa.shape<5>) -> tensor<1x4x8x8x1xf32>
  %n5 = tosa.negate %b5, %z, %z : (tensor<1x4x8x8x1xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8x1xf32>
  %t5 = tosa.concat %n5, %a5 {axis = 4 : i32} : (tensor<1x4x8x8x1xf32>, tensor<1x4x8x8x1xf32>) -> tensor<1x4x8x8x2xf32>
  %t = tosa.reshape %t5, %x4 : (tensor<1x4x8x8x2xf32>, !tosa.shape<4>) -> tensor<1x4x8x16xf32>
  %q5 = tosa.const_shape {values = dense<[1, 1, 8, 8, 1]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %m5 = tosa.const_shape {values = dense<[1, 1, 1, 1, 2]> : tensor<5xindex>} : () -> !tosa.shape<5>
  %q4 = tosa.const_shape {values = dense<[1, 1, 8, 16]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %e5 = tosa.reshape %angle, %q5 : (tensor<1x1x8x8xf32>, !tosa.shape<5>) -> tensor<1x1x8x8x1xf32>
  %e2 = tosa.tile %e5, %m5 : (tensor<1x1x8x8x1xf32>, !tosa.shape<5>) -> tensor<1x1x8x8x2xf32>
  %e = tosa.reshape %e2, %q4 : (tensor<1x1x8x8x2xf32>, !tosa.shape<4>) -> tensor<1x1x8x16xf32>
  %cos = tosa.cos %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %sin = tosa.sin %e : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %xc = tosa.mul %x, %cos, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %ts = tosa.mul %t, %sin, %s8 : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %ts : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}

// CHECK-LABEL: @strided
// CHECK: "wf.rope"({{.*}}) {interleaved = true, n_heads = 4 : i64} : ({{.*}}tensor<8x8xf32>, tensor<8x8xf32>)
// CHECK-NOT: {{concat|insert_slice}}
func.func @strided(%x: tensor<1x8x4x16xf32>, %cos: tensor<1x8x1x8xf32>, %sin: tensor<1x8x1x8xf32>) -> tensor<1x8x4x16xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %a = tensor.extract_slice %x[0, 0, 0, 0] [1, 8, 4, 8] [1, 1, 1, 2] : tensor<1x8x4x16xf32> to tensor<1x8x4x8xf32>
  %b = tensor.extract_slice %x[0, 0, 0, 1] [1, 8, 4, 8] [1, 1, 1, 2] : tensor<1x8x4x16xf32> to tensor<1x8x4x8xf32>
  %ac = tosa.mul %a, %cos, %s8 : (tensor<1x8x4x8xf32>, tensor<1x8x1x8xf32>, tensor<1xi8>) -> tensor<1x8x4x8xf32>
  %bs = tosa.mul %b, %sin, %s8 : (tensor<1x8x4x8xf32>, tensor<1x8x1x8xf32>, tensor<1xi8>) -> tensor<1x8x4x8xf32>
  %as = tosa.mul %a, %sin, %s8 : (tensor<1x8x4x8xf32>, tensor<1x8x1x8xf32>, tensor<1xi8>) -> tensor<1x8x4x8xf32>
  %bc = tosa.mul %b, %cos, %s8 : (tensor<1x8x4x8xf32>, tensor<1x8x1x8xf32>, tensor<1xi8>) -> tensor<1x8x4x8xf32>
  %re = tosa.sub %ac, %bs : (tensor<1x8x4x8xf32>, tensor<1x8x4x8xf32>) -> tensor<1x8x4x8xf32>
  %im = tosa.add %bc, %as : (tensor<1x8x4x8xf32>, tensor<1x8x4x8xf32>) -> tensor<1x8x4x8xf32>
  %e = tensor.empty() : tensor<1x8x4x16xf32>
  %y0 = tensor.insert_slice %re into %e[0, 0, 0, 0] [1, 8, 4, 8] [1, 1, 1, 2] : tensor<1x8x4x8xf32> into tensor<1x8x4x16xf32>
  %y = tensor.insert_slice %im into %y0[0, 0, 0, 1] [1, 8, 4, 8] [1, 1, 1, 2] : tensor<1x8x4x8xf32> into tensor<1x8x4x16xf32>
  return %y : tensor<1x8x4x16xf32>
}

