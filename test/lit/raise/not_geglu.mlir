// What differs from gelu is told: other coefficients, another share of tanh, the quick form.
// RUN: welford opt --passes=raise --explain %s 2>&1 >/dev/null | FileCheck %s --check-prefix=WHY
// RUN: welford opt --passes=raise %s | FileCheck %s
// WHY: swiglu: tanh is of 0.797885 gate + 0.0398942 gate^3, gelu's of 0.797885 gate + 0.0356774 gate^3
// CHECK-NOT: wf.glu
func.func @cube(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %three = "tosa.const"() <{values = dense<3.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %c = "tosa.const"() <{values = dense<5.0e-02> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %k = "tosa.const"() <{values = dense<0.797884583> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %0 = tosa.mul %x, %half, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %1 = tosa.pow %x, %three : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %2 = tosa.mul %1, %c, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %3 = tosa.add %x, %2 : (tensor<8x64xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
  %4 = tosa.mul %3, %k, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %5 = tosa.tanh %4 : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %6 = tosa.add %5, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %7 = tosa.mul %0, %6, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %7, %up, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// torch-mlir's linalg form has this constant.
// WHY: swiglu: tanh is of 0.797724 gate + 0.0356702 gate^3, gelu's of 0.797885 gate + 0.0356774 gate^3
func.func @torch_mlir(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %three = "tosa.const"() <{values = dense<3.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %c = "tosa.const"() <{values = dense<4.471500e-02> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %k = "tosa.const"() <{values = dense<7.977240e-01> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %half = "tosa.const"() <{values = dense<0.5> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %0 = tosa.mul %x, %half, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %1 = tosa.pow %x, %three : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %2 = tosa.mul %1, %c, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %3 = tosa.add %x, %2 : (tensor<8x64xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
  %4 = tosa.mul %3, %k, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %5 = tosa.tanh %4 : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %6 = tosa.add %5, %one : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %7 = tosa.mul %0, %6, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %7, %up, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// WHY: swiglu: the gate is times 0.5 + 1 tanh(..), not 1/2 of each
func.func @share(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
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
  %8 = tosa.add %6, %half : (tensor<8x64xf32>, tensor<1x1xf32>) -> tensor<8x64xf32>
  %9 = tosa.mul %8, %x, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %up, %9, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// WHY: swiglu: the gate is times sigmoid of 1.702 times itself: gelu's quick form, not silu
func.func @quick(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %k = "tosa.const"() <{values = dense<1.702> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %1 = tosa.mul %x, %k, %shift : (tensor<8x64xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %2 = tosa.sigmoid %1 : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %3 = tosa.mul %x, %2, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.mul %3, %up, %shift : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}
