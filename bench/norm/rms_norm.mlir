// RMSNorm in TOSA, op for op as torch-mlir writes the usual module of Hugging Face models; @NAMES@ are filled in by bench/norm.py.
func.func @norm(%x: tensor<@ROWS@x@COLS@x@TYPE@>, %gamma: tensor<1x@COLS@x@TYPE@>, %beta: tensor<1x@COLS@x@TYPE@>) -> tensor<@ROWS@x@COLS@x@TYPE@> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %two = "tosa.const"() <{values = dense<2.0> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %share = "tosa.const"() <{values = dense<@SHARE@> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %eps = "tosa.const"() <{values = dense<1.0e-6> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %v = tosa.cast %x : (tensor<@ROWS@x@COLS@x@TYPE@>) -> tensor<@ROWS@x@COLS@xf32>
  %square = tosa.pow %v, %two : (tensor<@ROWS@x@COLS@xf32>, tensor<1x1xf32>) -> tensor<@ROWS@x@COLS@xf32>
  %sum = tosa.reduce_sum %square {axis = 1 : i32} : (tensor<@ROWS@x@COLS@xf32>) -> tensor<@ROWS@x1xf32>
  %mean = tosa.mul %sum, %share, %shift : (tensor<@ROWS@x1xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<@ROWS@x1xf32>
  %inside = tosa.add %mean, %eps : (tensor<@ROWS@x1xf32>, tensor<1x1xf32>) -> tensor<@ROWS@x1xf32>
  %scale = tosa.rsqrt %inside : (tensor<@ROWS@x1xf32>) -> tensor<@ROWS@x1xf32>
  %scaled = tosa.mul %v, %scale, %shift : (tensor<@ROWS@x@COLS@xf32>, tensor<@ROWS@x1xf32>, tensor<1xi8>) -> tensor<@ROWS@x@COLS@xf32>
  %rounded = tosa.cast %scaled : (tensor<@ROWS@x@COLS@xf32>) -> tensor<@ROWS@x@COLS@x@TYPE@>
  %y = tosa.mul %gamma, %rounded, %shift : (tensor<1x@COLS@x@TYPE@>, tensor<@ROWS@x@COLS@x@TYPE@>, tensor<1xi8>) -> tensor<@ROWS@x@COLS@x@TYPE@>
  return %y : tensor<@ROWS@x@COLS@x@TYPE@>
}
