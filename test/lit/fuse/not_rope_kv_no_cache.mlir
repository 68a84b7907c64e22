// Attention of a graph without a cache.
// RUN: welford opt --passes=rope-kv %s | FileCheck %s
// CHECK-NOT: {{wf.rope_store|wf.cached_attention}}
// CHECK: "wf.attention"(
// CHECK-NOT: {{wf.rope_store|wf.cached_attention}}
func.func @main(%qkv: tensor<?x128xf32>) -> tensor<?x64xf32> {
  %t:2 = "wf.rope_table"() {table = 0 : i64} : () -> (tensor<?x8xf32>, tensor<?x8xf32>)
  %q = "wf.columns"(%qkv) {first = 0 : i64} : (tensor<?x128xf32>) -> tensor<?x64xf32>
  %k = "wf.columns"(%qkv) {first = 64 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
  %v = "wf.columns"(%qkv) {first = 96 : i64} : (tensor<?x128xf32>) -> tensor<?x32xf32>
  %qr = "wf.rope"(%q, %t#0, %t#1) {n_heads = 4 : i64} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x64xf32>
  %kr = "wf.rope"(%k, %t#0, %t#1) {n_heads = 2 : i64} : (tensor<?x32xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x32xf32>
  %y = "wf.attention"(%qr, %kr, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = true} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
