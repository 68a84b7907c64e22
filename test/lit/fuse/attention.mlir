// Scores, softmax and the sum of values in one pass: over a cache, or with a mask.
// RUN: welford opt --passes=attention %s | FileCheck %s
// RUN: welford opt --passes=attention --no-fuse=attention %s | FileCheck --check-prefix=OFF %s
// RUN: welford opt --passes=attention --fuse=qkv %s | FileCheck --check-prefix=OFF %s
// CHECK: "wf.attention"(%arg0, %arg1, %arg2, %arg3) {{.*}}fused = true
// CHECK: "wf.cached_attention"(%arg0) {{.*}}fused = true
// OFF-NOT: fused
func.func @f(%q: tensor<2x7x64xf32>, %k: tensor<2x9x32xf32>, %v: tensor<2x9x32xf32>, %m: tensor<7x9xf32>)
    -> (tensor<2x7x64xf32>, tensor<2x7x64xf32>) {
  %y = "wf.attention"(%q, %k, %v, %m) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = false} : (tensor<2x7x64xf32>, tensor<2x9x32xf32>, tensor<2x9x32xf32>, tensor<7x9xf32>) -> tensor<2x7x64xf32>
  %z = "wf.cached_attention"(%q) {n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, cache = 0 : i64} : (tensor<2x7x64xf32>) -> tensor<2x7x64xf32>
  return %y, %z : tensor<2x7x64xf32>, tensor<2x7x64xf32>
}
