// A norm without gamma.
// RUN: welford opt --passes=residual-norm %s | FileCheck %s
// CHECK: %[[N:.*]]:2 = "wf.residual_norm"(%arg0, %arg1) {eps = 1.000000e-05 : f64}
// CHECK-NOT: {{arith.addf|wf.rms_norm}}
// CHECK: return %[[N]]#1
func.func @main(%x: tensor<?x64xf32>, %r: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %h = arith.addf %x, %r : tensor<?x64xf32>
  %y = "wf.rms_norm"(%h) {eps = 1.000000e-05 : f64} : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
