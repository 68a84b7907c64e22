// x * cos + rotate_half(x) * sin, heads before sequence.
// RUN: welford opt --passes=raise %s | FileCheck %s
// The concatenations stay TOSA here: upstream makes insertions of them, which the rule does not read.
// RUN: mlir-opt --pass-pipeline='builtin.module(func.func(tosa-to-linalg,canonicalize,cse))' %s | welford opt --passes=raise - | FileCheck %s
// CHECK: "wf.rope"(%{{.*}}, %{{.*}}, %{{.*}}) {interleaved = false, n_heads = 4 : i64} : (tensor<{{(1x)?}}8x64xf32>, tensor<8x8xf32>, tensor<8x8xf32>)
// CHECK-NOT: {{tosa.(negate|concat)|tensor.concat}}
func.func @main(%x: tensor<1x4x8x16xf32>, %angle: tensor<1x1x8x8xf32>) -> tensor<1x4x8x16xf32> {
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %s0 = tosa.const_shape {values = dense<0> : tensor<4xindex>} : () -> !tosa.shape<4>
  %s8 = tosa.const_shape {values = dense<[0, 0, 0, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %size = tosa.const_shape {values = dense<[1, 4, 8, 8]> : tensor<4xindex>} : () -> !tosa.shape<4>
  %a = tosa.concat %angle, %angle {axis = 3 : i32} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x16xf32>
  %c = tosa.cos %a : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %s = tosa.sin %a : (tensor<1x1x8x16xf32>) -> tensor<1x1x8x16xf32>
  %lo = tosa.slice %x, %s0, %size : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %hi = tosa.slice %x, %s8, %size : (tensor<1x4x8x16xf32>, !tosa.shape<4>, !tosa.shape<4>) -> tensor<1x4x8x8xf32>
  %n = tosa.negate %hi, %z, %z : (tensor<1x4x8x8xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x8x8xf32>
  %rot = tosa.concat %n, %lo {axis = 3 : i32} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x16xf32>
  %xc = tosa.mul %x, %c, %shift : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %rs = tosa.mul %rot, %s, %shift : (tensor<1x4x8x16xf32>, tensor<1x1x8x16xf32>, tensor<1xi8>) -> tensor<1x4x8x16xf32>
  %y = tosa.add %xc, %rs : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return %y : tensor<1x4x8x16xf32>
}
