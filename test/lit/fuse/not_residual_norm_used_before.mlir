// The sum is read before the norm is computed.
// RUN: welford opt --passes=residual-norm %s | FileCheck %s
// CHECK-NOT: wf.residual_norm
// CHECK: arith.addf
// CHECK: "wf.softcap"
// CHECK: "wf.rms_norm"(
func.func @main(%x: tensor<?x64xf32>, %r: tensor<?x64xf32>, %gamma: tensor<64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %h = arith.addf %x, %r : tensor<?x64xf32>
  %c = "wf.softcap"(%h) {cap = 3.000000e+01 : f64} : (tensor<?x64xf32>) -> tensor<?x64xf32>
  %y = "wf.rms_norm"(%h, %gamma) {eps = 1.000000e-05 : f64, plus_one = true} : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  return %c, %y : tensor<?x64xf32>, tensor<?x64xf32>
}
