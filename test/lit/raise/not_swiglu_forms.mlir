// Gated products whose activation is another one: the reason is told.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// RUN: %to-linalg %s | welford opt --passes=raise --explain - 2>&1 | FileCheck %s
// CHECK-DAG: swiglu: sigmoid(gate) * up: of gated products the op has silu's and gelu's only
// CHECK-DAG: swiglu: relu(gate) * up: of gated products the op has silu's and gelu's only
// CHECK-NOT: wf.glu

func.func @glu(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %sg = tosa.sigmoid %x : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %y = tosa.mul %up, %sg, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

func.func @reglu(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %sg = tosa.clamp %x {min_val = 0.0 : f32, max_val = 3.40282347E+38 : f32} : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %y = tosa.mul %up, %sg, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}

// No gates: a value times its own sigmoid, a square.
func.func @no_gates(%x: tensor<8x64xf32>, %up: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %s8 = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %one = "tosa.const"() <{values = dense<1.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %sg = tosa.sigmoid %x : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %rl = tosa.clamp %up {min_val = 0.0 : f32, max_val = 3.40282347E+38 : f32} : (tensor<8x64xf32>) -> tensor<8x64xf32>
  %a = tosa.mul %sg, %x, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %b = tosa.mul %rl, %rl, %s8 : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<1xi8>) -> tensor<8x64xf32>
  %y = tosa.add %a, %b : (tensor<8x64xf32>, tensor<8x64xf32>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}
