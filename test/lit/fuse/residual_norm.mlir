// A sum and its norm, both results.
// RUN: welford opt --passes=residual-norm %s | FileCheck %s
// CHECK: %[[N:.*]]:2 = "wf.residual_norm"(%arg0, %arg1, %arg2) {eps = 1.000000e-05 : f64, plus_one = true}
// CHECK-NOT: {{arith.addf|wf.rms_norm}}
// CHECK: return %[[N]]#0, %[[N]]#1
func.func @main(%x: tensor<?x64xf32>, %r: tensor<?x64xf32>, %gamma: tensor<64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %h = arith.addf %x, %r : tensor<?x64xf32>
  %y = "wf.rms_norm"(%h, %gamma) {eps = 1.000000e-05 : f64, plus_one = true} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  return %h, %y : tensor<?x64xf32>, tensor<?x64xf32>
}
