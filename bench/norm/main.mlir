// Appended to a norm: calls it @RUNS@ times and prints the seconds of each.
func.func private @rtclock() -> f64
func.func private @printF64(f64)
func.func private @printNewline()
func.func @main() {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %runs = arith.constant @RUNS@ : index
  %sum = arith.constant 0.0 : f64
  %x = tensor.generate {
  ^bb0(%row: index, %col: index):
    %mix = arith.addi %row, %col : index
    %part = arith.constant 251 : index
    %small = arith.remui %mix, %part : index
    %int = arith.index_cast %small : index to i32
    %float = arith.sitofp %int : i32 to f32
    %scale = arith.constant 0.01 : f32
    %value = arith.mulf %float, %scale : f32
    %typed = @ROUND@
    tensor.yield %typed : @TYPE@
  } : tensor<@ROWS@x@COLS@x@TYPE@>
  %w = tensor.generate {
  ^bb0(%row: index, %col: index):
    %part = arith.constant 7 : index
    %small = arith.remui %col, %part : index
    %int = arith.index_cast %small : index to i32
    %value = arith.sitofp %int : i32 to f32
    %typed = @ROUND@
    tensor.yield %typed : @TYPE@
  } : tensor<1x@COLS@x@TYPE@>
  scf.for %i = %zero to %runs step %one {
    %start = func.call @rtclock() : () -> f64
    %y = func.call @norm(%x, %w, %w) : (tensor<@ROWS@x@COLS@x@TYPE@>, tensor<1x@COLS@x@TYPE@>, tensor<1x@COLS@x@TYPE@>) -> tensor<@ROWS@x@COLS@x@TYPE@>
    %end = func.call @rtclock() : () -> f64
    %time = arith.subf %end, %start : f64
    func.call @printF64(%time) : (f64) -> ()
    func.call @printNewline() : () -> ()
  }
  return
}
