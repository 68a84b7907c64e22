func.func @f(%ids: tensor<4xi32>, %x: tensor<4x64xf32>, %g: tensor<64xf32>, %h: tensor<16xf32>,
             %w: tensor<64x64xf32>, %b: tensor<64xf32>, %k: tensor<6x32xf32>, %k4: tensor<4x32xf32>,
             %m: tensor<4x6xf32>, %s: tensor<4xf32>, %c: tensor<4x1xf32>) {
  %0 = "wf.weight"() {name = "t"} : () -> tensor<9x64xf32>
  %1 = "wf.embed"(%ids, %0) {scale = 8.0 : f64} : (tensor<4xi32>, tensor<9x64xf32>) -> tensor<4x64xf32>
  %2 = "wf.select_rows"(%x, %ids) : (tensor<4x64xf32>, tensor<4xi32>) -> tensor<4x64xf32>
  %3 = "wf.columns"(%x) {first = 32 : i64} : (tensor<4x64xf32>) -> tensor<4x16xf32>
  %4 = "wf.quantize"(%x) : (tensor<4x64xf32>) -> tensor<4x64x!wf.q8>
  %5 = "wf.softcap"(%x) {cap = 30.0 : f64} : (tensor<4x64xf32>) -> tensor<4x64xf32>
  %6 = "wf.softmax"(%x, %c) {zero_masked = true} : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>
  %7 = "wf.softmax"(%x) : (tensor<4x64xf32>) -> tensor<4x64xf32>
  %8 = "wf.rms_norm"(%x, %h) {eps = 1.0e-6 : f64, n_heads = 4 : i64, plus_one = true}
      : (tensor<4x64xf32>, tensor<16xf32>) -> tensor<4x64xf32>
  %9 = "wf.rms_norm"(%x) {axes = 2 : i64, eps = 0.0 : f64, rounded = f16} : (tensor<4x64xf32>) -> tensor<4x64xf32>
  %10:2 = "wf.residual_norm"(%x, %2, %g) {eps = 1.0e-5 : f64}
      : (tensor<4x64xf32>, tensor<4x64xf32>, tensor<64xf32>) -> (tensor<4x64xf32>, tensor<4x64x!wf.q8>)
  %11 = "wf.layer_norm"(%x, %b) {eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 0, 1>}
      : (tensor<4x64xf32>, tensor<64xf32>) -> tensor<4x64xf32>
  %12 = "wf.linear"(%x, %w, %w, %b, %b) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 1, 0, 0>}
      : (tensor<4x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>)
      -> tensor<4x128xf32>
  %13 = "wf.linear"(%4, %w, %w) {glu = "gelu_tanh", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>}
      : (tensor<4x64x!wf.q8>, tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<4x64xf32>
  %14 = "wf.linear"(%x, %w, %x) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 1>}
      : (tensor<4x64xf32>, tensor<64x64xf32>, tensor<4x64xf32>) -> tensor<4x64xf32>
  %15 = "wf.glu"(%x, %x) {activation = "gelu", rounded = bf16} : (tensor<4x64xf32>, tensor<4x64xf32>)
      -> tensor<4x64xf32>
  %16:2 = "wf.rope_table"() {table = 1 : i64} : () -> (tensor<4x8xf32>, tensor<4x8xf32>)
  %17 = "wf.rope"(%x, %16#0, %16#1) {interleaved = true, n_heads = 4 : i64}
      : (tensor<4x64xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x64xf32>
  %18 = "wf.rope_store"(%x, %k4, %k4, %16#0, %16#1, %h, %h) {cache = 3 : i64, eps = 1.0e-6 : f64,
      interleaved = false, n_heads = 4 : i64, n_kv_heads = 2 : i64,
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 1>, plus_one = true}
      : (tensor<4x64xf32>, tensor<4x32xf32>, tensor<4x32xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<16xf32>,
         tensor<16xf32>) -> tensor<4x64xf32>
  %19 = "wf.attention"(%x, %k, %k, %m, %s) {causal = true, fused = true, n_heads = 4 : i64, n_kv_heads = 2 : i64,
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 1>, scale = 0.25 : f64, softcap = 50.0 : f64, window = 3 : i64,
      zero_masked = true} : (tensor<4x64xf32>, tensor<6x32xf32>, tensor<6x32xf32>, tensor<4x6xf32>, tensor<4xf32>)
      -> tensor<4x64xf32>
  %20 = "wf.attention"(%x, %k4, %k4) {cache = 0 : i64, causal = true, n_heads = 4 : i64, n_kv_heads = 2 : i64,
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, scale = 0.25 : f64}
      : (tensor<4x64xf32>, tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x64xf32>
  %21 = "wf.cached_attention"(%x) {cache = 2 : i64, causal = true, n_heads = 4 : i64, n_kv_heads = 2 : i64,
      scale = 0.25 : f64} : (tensor<4x64xf32>) -> tensor<4x64x!wf.q8>
  return
}
