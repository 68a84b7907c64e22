module {
  func.func @main(%q: tensor<2x8x128x64xf32>, %k: tensor<2x8x128x64xf32>, %v: tensor<2x8x128x64xf32>) -> tensor<2x8x128x64xf32> {
    %zero = "tosa.const"() <{values = dense<0.000000e+00> : tensor<1xf32>}> : () -> tensor<1xf32>
    %shift = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
    %scale = "tosa.const"() <{values = dense<1.250000e-01> : tensor<1x1x1xf32>}> : () -> tensor<1x1x1xf32>
    %rows = tosa.const_shape  {values = dense<[16, 128, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
    %columns = tosa.const_shape  {values = dense<[16, 64, 128]> : tensor<3xindex>} : () -> !tosa.shape<3>
    %heads = tosa.const_shape  {values = dense<[2, 8, 128, 64]> : tensor<4xindex>} : () -> !tosa.shape<4>
    %pairs = tosa.const_shape  {values = dense<[2, 8, 128, 128]> : tensor<4xindex>} : () -> !tosa.shape<4>
    %merged = tosa.const_shape  {values = dense<[16, 128, 128]> : tensor<3xindex>} : () -> !tosa.shape<3>
    %0 = tosa.transpose %k {perms = array<i32: 0, 1, 3, 2>} : (tensor<2x8x128x64xf32>) -> tensor<2x8x64x128xf32>
    %1 = tosa.reshape %q, %rows : (tensor<2x8x128x64xf32>, !tosa.shape<3>) -> tensor<16x128x64xf32>
    %2 = tosa.reshape %0, %columns : (tensor<2x8x64x128xf32>, !tosa.shape<3>) -> tensor<16x64x128xf32>
    %3 = tosa.matmul %1, %2, %zero, %zero : (tensor<16x128x64xf32>, tensor<16x64x128xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<16x128x128xf32>
    %4 = tosa.mul %3, %scale, %shift : (tensor<16x128x128xf32>, tensor<1x1x1xf32>, tensor<1xi8>) -> tensor<16x128x128xf32>
    %5 = tosa.reshape %4, %pairs : (tensor<16x128x128xf32>, !tosa.shape<4>) -> tensor<2x8x128x128xf32>
    %6 = tosa.reduce_max %5 {axis = 3 : i32} : (tensor<2x8x128x128xf32>) -> tensor<2x8x128x1xf32>
    %7 = tosa.sub %5, %6 : (tensor<2x8x128x128xf32>, tensor<2x8x128x1xf32>) -> tensor<2x8x128x128xf32>
    %8 = tosa.exp %7 : (tensor<2x8x128x128xf32>) -> tensor<2x8x128x128xf32>
    %9 = tosa.reduce_sum %8 {axis = 3 : i32} : (tensor<2x8x128x128xf32>) -> tensor<2x8x128x1xf32>
    %10 = tosa.reciprocal %9 : (tensor<2x8x128x1xf32>) -> tensor<2x8x128x1xf32>
    %11 = tosa.mul %8, %10, %shift : (tensor<2x8x128x128xf32>, tensor<2x8x128x1xf32>, tensor<1xi8>) -> tensor<2x8x128x128xf32>
    %12 = tosa.reshape %11, %merged : (tensor<2x8x128x128xf32>, !tosa.shape<3>) -> tensor<16x128x128xf32>
    %13 = tosa.reshape %v, %rows : (tensor<2x8x128x64xf32>, !tosa.shape<3>) -> tensor<16x128x64xf32>
    %14 = tosa.matmul %12, %13, %zero, %zero : (tensor<16x128x128xf32>, tensor<16x128x64xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<16x128x64xf32>
    %15 = tosa.reshape %14, %heads : (tensor<16x128x64xf32>, !tosa.shape<4>) -> tensor<2x8x128x64xf32>
    return %15 : tensor<2x8x128x64xf32>
  }
}
