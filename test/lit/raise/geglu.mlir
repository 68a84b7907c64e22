// gelu(gate) * up, in its tanh form and by erf, as frontends spell it.
// RUN: welford opt --passes=raise %s | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise - | FileCheck %s
// RUN: %to-linalg %s | mlir-opt -linalg-fuse-elementwise-ops -canonicalize -cse | welford opt --passes=raise - | FileCheck %s

// CHECK-LABEL: @tanh
// CHECK-NOT: {{tanh|pow}}
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "gelu_tanh"} :
// CHECK-NOT: {{tanh|pow}}
func.func @tanh(%x: tensor<2x8x64xf32>, %up: tensor<2x8x64xf32>) -> tensor<2x8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %three = "tosa.const"() <{values = dense<3.0> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %c = "tosa.const"() <{values = dense<4.471500e-02> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %k = "tosa.const"() <{values = dense<0.797884583> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
  %0 = tosa.mul %x, %half, %shift : (tensor<2x8x64xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %1 = tosa.pow %x, %three : (tensor<2x8x64xf32>, tensor<1x1x1xf32>) -> tensor<2x8x64xf32>
  %2 = tosa.mul %1, %c, %shift : (tensor<2x8x64xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %3 = tosa.add %x, %2 : (tensor<2x8x64xf32>, tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  %4 = tosa.mul %3, %k, %shift : (tensor<2x8x64xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %5 = tosa.tanh %4 : (tensor<2x8x64xf32>) -> tensor<2x8x64xf32>
  %6 = tosa.add %5, %one : (tensor<2x8x64xf32>, tensor<1x1x1xf32>) -> tensor<2x8x64xf32>
  %7 = tosa.mul %0, %6, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  %y = tosa.mul %7, %up, %shift : (tensor<2x8x64xf32>, tensor<2x8x64xf32>, tensor<1xi8>) -> tensor<2x8x64xf32>
  return %y : tensor<2x8x64xf32>
}

// The cube as products, sqrt(2/pi) taken inside; up first.
// CHECK-LABEL: @products
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "gelu_tanh"} :
func.func @products(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %c = "tosa.const"() <{values = dense<4.471500e-02> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %k = "tosa.const"() <{values = dense<0.797884583> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %1 = tosa.mul %x, %x, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %2 = tosa.mul %1, %c, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %3 = tosa.add %one, %2 : (tensor<1x1xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
  %4 = tosa.mul %x, %k, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %5 = tosa.mul %4, %3, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %6 = tosa.tanh %5 : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %7 = tosa.mul %6, %half, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %8 = tosa.add %7, %half : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %9 = tosa.mul %8, %x, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %up, %9, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// CHECK-LABEL: @erf
// CHECK: "wf.glu"(%arg0, %arg1) {activation = "gelu"} :
func.func @erf(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %k = "tosa.const"() <{values = dense<0.707106769> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %1 = tosa.mul %x, %k, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %2 = tosa.erf %1 : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %3 = tosa.add %2, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %4 = tosa.mul %3, %half, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %5 = tosa.mul %x, %4, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %5, %up, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}
