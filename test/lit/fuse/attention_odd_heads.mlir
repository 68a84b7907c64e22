// 12 features a head fill no whole vectors: the kernel's rows are longer.
// RUN: welford opt --passes=attention %s | FileCheck %s
// CHECK: "wf.attention"
// CHECK-SAME: fused = true
func.func @f(%q: tensor<7x48xf32>, %k: tensor<9x48xf32>, %v: tensor<9x48xf32>) -> tensor<7x48xf32> {
  %y = "wf.attention"(%q, %k, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 4 : i64, scale = 2.500000e-01 : f64, causal = false} : (tensor<7x48xf32>, tensor<9x48xf32>, tensor<9x48xf32>) -> tensor<7x48xf32>
  return %y : tensor<7x48xf32>
}
