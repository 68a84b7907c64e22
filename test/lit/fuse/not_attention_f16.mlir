// Keys and values of another type than f32.
// RUN: welford opt --passes=attention %s | FileCheck %s
// CHECK: "wf.attention"
// CHECK-NOT: fused
func.func @f(%q: tensor<7x64xf32>, %k: tensor<9x64xf16>, %v: tensor<9x64xf16>) -> tensor<7x64xf32> {
  %y = "wf.attention"(%q, %k, %v) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 4 : i64, n_kv_heads = 4 : i64, scale = 2.500000e-01 : f64, causal = false} : (tensor<7x64xf32>, tensor<9x64xf16>, tensor<9x64xf16>) -> tensor<7x64xf32>
  return %y : tensor<7x64xf32>
}
