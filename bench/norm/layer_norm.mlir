// LayerNorm in TOSA, op for op as torch-mlir writes nn.LayerNorm: variance in f64, the mean a second time in f32; @NAMES@ are
// filled in by bench/norm.py.
func.func @norm(%x: tensor<@ROWS@x@COLS@x@TYPE@>, %gamma: tensor<1x@COLS@x@TYPE@>, %beta: tensor<1x@COLS@x@TYPE@>) -> tensor<@ROWS@x@COLS@x@TYPE@> {
  %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %share64 = "tosa.const"() <{values = dense<@SHARE@> : tensor<1x1xf64>}> : () -> tensor<1x1xf64>
  %share = "tosa.const"() <{values = dense<@SHARE@> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %eps = "tosa.const"() <{values = dense<1.0e-6> : tensor<1x1xf32>}> : () -> tensor<1x1xf32>
  %v = tosa.cast %x : (tensor<@ROWS@x@COLS@x@TYPE@>) -> tensor<@ROWS@x@COLS@xf32>
  %wide = tosa.cast %v : (tensor<@ROWS@x@COLS@xf32>) -> tensor<@ROWS@x@COLS@xf64>
  %sum64 = tosa.reduce_sum %wide {axis = 1 : i32} : (tensor<@ROWS@x@COLS@xf64>) -> tensor<@ROWS@x1xf64>
  %mean64 = tosa.mul %sum64, %share64, %shift : (tensor<@ROWS@x1xf64>, tensor<1x1xf64>, tensor<1xi8>) -> tensor<@ROWS@x1xf64>
  %centred64 = tosa.sub %wide, %mean64 : (tensor<@ROWS@x@COLS@xf64>, tensor<@ROWS@x1xf64>) -> tensor<@ROWS@x@COLS@xf64>
  %square = tosa.mul %centred64, %centred64, %shift : (tensor<@ROWS@x@COLS@xf64>, tensor<@ROWS@x@COLS@xf64>, tensor<1xi8>) -> tensor<@ROWS@x@COLS@xf64>
  %squares = tosa.reduce_sum %square {axis = 1 : i32} : (tensor<@ROWS@x@COLS@xf64>) -> tensor<@ROWS@x1xf64>
  %var64 = tosa.mul %squares, %share64, %shift : (tensor<@ROWS@x1xf64>, tensor<1x1xf64>, tensor<1xi8>) -> tensor<@ROWS@x1xf64>
  %var = tosa.cast %var64 : (tensor<@ROWS@x1xf64>) -> tensor<@ROWS@x1xf32>
  %sum = tosa.reduce_sum %v {axis = 1 : i32} : (tensor<@ROWS@x@COLS@xf32>) -> tensor<@ROWS@x1xf32>
  %mean = tosa.mul %sum, %share, %shift : (tensor<@ROWS@x1xf32>, tensor<1x1xf32>, tensor<1xi8>) -> tensor<@ROWS@x1xf32>
  %inside = tosa.add %var, %eps : (tensor<@ROWS@x1xf32>, tensor<1x1xf32>) -> tensor<@ROWS@x1xf32>
  %scale = tosa.rsqrt %inside : (tensor<@ROWS@x1xf32>) -> tensor<@ROWS@x1xf32>
  %centred = tosa.sub %v, %mean : (tensor<@ROWS@x@COLS@xf32>, tensor<@ROWS@x1xf32>) -> tensor<@ROWS@x@COLS@xf32>
  %scaled = tosa.mul %centred, %scale, %shift : (tensor<@ROWS@x@COLS@xf32>, tensor<@ROWS@x1xf32>, tensor<1xi8>) -> tensor<@ROWS@x@COLS@xf32>
  %rounded = tosa.cast %scaled : (tensor<@ROWS@x@COLS@xf32>) -> tensor<@ROWS@x@COLS@x@TYPE@>
  %weighted = tosa.mul %rounded, %gamma, %shift : (tensor<@ROWS@x@COLS@x@TYPE@>, tensor<1x@COLS@x@TYPE@>, tensor<1xi8>) -> tensor<@ROWS@x@COLS@x@TYPE@>
  %y = tosa.add %weighted, %beta : (tensor<@ROWS@x@COLS@x@TYPE@>, tensor<1x@COLS@x@TYPE@>) -> tensor<@ROWS@x@COLS@x@TYPE@>
  return %y : tensor<@ROWS@x@COLS@x@TYPE@>
}
