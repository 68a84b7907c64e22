// Heads of q and k are normed before they are rotated, as in Qwen3.
// RUN: welford opt --passes=rope-kv %s | FileCheck %s
// CHECK-NOT: {{wf.rms_norm|wf.rope"|wf.attention}}
// CHECK: %[[Q:.*]] = "wf.rope_store"(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}#0, %{{.*}}#1, %arg1, %arg2)
// CHECK-SAME: eps = 9.99999{{.*}}E-7
// CHECK: "wf.cached_attention"(%[[Q]])
// CHECK-NOT: {{wf.rms_norm|wf.rope"|wf.attention}}
func.func @main(%qkv: tensor<?x128xf32>, %gq: tensor<16xf32>, %gk: tensor<16xf32>) -> tensor<?x64xf32> {
  %t:2 = "wf.rope_table"() {table = 0 : i64} : () -> (tensor<?x8xf32>, tensor<?x8xf32>)
  %q = "wf.columns"(%qkv) {first = 0 : i64} : (tensor<?x128xf32>) -> tensor<?x64xf32>
  %k = "wf.columns"(%qkv) {first = 64 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
  %v = "wf.columns"(%qkv) {first = 96 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
  %qn = "wf.rms_norm"(%q, %gq) {eps = 1.000000e-06 : f64, n_heads = 4 : i64} : (tensor<?x64xf32>, tensor<16xf32>) -> tensor<?x64xf32>
  %kn = "wf.rms_norm"(%k, %gk) {eps = 1.000000e-06 : f64, n_heads = 2 : i64} : (tensor<?x32xf32>, tensor<16xf32>) -> tensor<?x32xf32>
  %qr = "wf.rope"(%qn, %t#0, %t#1) {n_heads = 4 : i64} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x64xf32>
  %kr = "wf.rope"(%kn, %t#0, %t#1) {n_heads = 2 : i64} : (tensor<?x32xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x32xf32>
  %y = "wf.attention"(%qr, %kr, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = true, cache = 0 : i64} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
