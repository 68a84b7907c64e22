// q, k and v come from linears of their own, as where weights are of different types.
// RUN: welford opt --passes=rope-kv %s | FileCheck %s
// CHECK: %[[T:.*]]:2 = "wf.rope_table"
// CHECK: %[[Q:.*]] = "wf.rope_store"(%arg0, %arg1, %arg2, %[[T]]#0, %[[T]]#1)
// CHECK: "wf.cached_attention"(%[[Q]]) {{.*}}cache = 0
// CHECK-NOT: {{wf.rope"|wf.attention}}
func.func @main(%q: tensor<?x64xf32>, %k: tensor<?x32xf32>, %v: tensor<?x32xf32>) -> tensor<?x64xf32> {
  %t:2 = "wf.rope_table"() {table = 0 : i64} : () -> (tensor<?x8xf32>, tensor<?x8xf32>)
  %qr = "wf.rope"(%q, %t#0, %t#1) {n_heads = 4 : i64} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x64xf32>
  %kr = "wf.rope"(%k, %t#0, %t#1) {n_heads = 2 : i64} : (tensor<?x32xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x32xf32>
  %y = "wf.attention"(%qr, %kr, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 2.500000e-01 : f64, causal = true, cache = 0 : i64} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
