#map = affine_map<(d0, d1) -> (d0 + d1 * 2, d1 floordiv 3)>
!t = tensor<4x6xf32>
func.func @main(%x: !t, %n: index) -> !t {
  %f = arith.constant 7.0 : f32
  %0 = tensor.pad %x low[0, -1] high[0, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %f : f32
  } : !t to !t
  %1 = tensor.extract_slice %0[0, 5] [4, 6] [1, -1] : !t to !t
  %2 = "tosa.reverse"(%1) <{axis = 1 : i32}> : (!t) -> !t
  return %2 : !t loc("a"(callsite("b" at "c":1:2)))
}
