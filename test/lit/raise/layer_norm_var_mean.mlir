// torch.var_mean with its correction of 0 subtracted, the variance in f64, the mean by itself in f32.
// RUN: welford opt --passes=raise %s | FileCheck %s
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0, %arg1, %arg2) {eps = 9.99{{.*}} : (tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
// CHECK-NEXT: return %[[Y]]
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0, 0)>
#map2 = affine_map<(d0, d1) -> (d1)>
func.func @main(%x: tensor<?x64xf32>, %g: tensor<64xf32>, %b: tensor<64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %z64 = arith.constant 0.0 : f64
  %z = arith.constant 0.0 : f32
  %n64 = arith.constant 64.0 : f64
  %corr = arith.constant 0.0 : f64
  %n = arith.constant 64.0 : f32
  %eps = arith.constant 1.0e-05 : f64
  %d0 = tensor.dim %x, %c0 : tensor<?x64xf32>
  %e64 = tensor.empty(%d0) : tensor<?x64xf64>
  %w = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x64xf32>) outs(%e64 : tensor<?x64xf64>) {
  ^bb0(%i: f32, %o: f64):
    %v = arith.extf %i : f32 to f64
    linalg.yield %v : f64
  } -> tensor<?x64xf64>
  %r64 = tensor.empty(%d0) : tensor<?x1xf64>
  %f64 = linalg.fill ins(%z64 : f64) outs(%r64 : tensor<?x1xf64>) -> tensor<?x1xf64>
  %s = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%w : tensor<?x64xf64>) outs(%f64 : tensor<?x1xf64>) {
  ^bb0(%i: f64, %o: f64):
    %v = arith.addf %i, %o : f64
    linalg.yield %v : f64
  } -> tensor<?x1xf64>
  %m = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<?x1xf64>) outs(%r64 : tensor<?x1xf64>) {
  ^bb0(%i: f64, %o: f64):
    %v = arith.divf %i, %n64 : f64
    linalg.yield %v : f64
  } -> tensor<?x1xf64>
  %q = linalg.generic {indexing_maps = [#map, #map1, #map1], iterator_types = ["parallel", "reduction"]} ins(%w, %m : tensor<?x64xf64>, tensor<?x1xf64>) outs(%f64 : tensor<?x1xf64>) {
  ^bb0(%i: f64, %k: f64, %o: f64):
    %d = arith.subf %i, %k : f64
    %p = arith.mulf %d, %d : f64
    %v = arith.addf %p, %o : f64
    linalg.yield %v : f64
  } -> tensor<?x1xf64>
  %r32 = tensor.empty(%d0) : tensor<?x1xf32>
  %f32 = linalg.fill ins(%z : f32) outs(%r32 : tensor<?x1xf32>) -> tensor<?x1xf32>
  %inv = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%q : tensor<?x1xf64>) outs(%r32 : tensor<?x1xf32>) {
  ^bb0(%i: f64, %o: f32):
    %nc = arith.subf %n64, %corr : f64
    %nm = arith.maximumf %nc, %z64 : f64
    %a = arith.divf %i, %nm : f64
    %t = arith.truncf %a : f64 to f32
    %e = arith.truncf %eps : f64 to f32
    %v = arith.addf %t, %e : f32
    %r = math.rsqrt %v : f32
    linalg.yield %r : f32
  } -> tensor<?x1xf32>
  %ms = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<?x64xf32>) outs(%f32 : tensor<?x1xf32>) {
  ^bb0(%i: f32, %o: f32):
    %v = arith.addf %i, %o : f32
    linalg.yield %v : f32
  } -> tensor<?x1xf32>
  %e32 = tensor.empty(%d0) : tensor<?x64xf32>
  %y = linalg.generic {indexing_maps = [#map, #map1, #map1, #map2, #map2, #map], iterator_types = ["parallel", "parallel"]} ins(%x, %ms, %inv, %g, %b : tensor<?x64xf32>, tensor<?x1xf32>, tensor<?x1xf32>, tensor<64xf32>, tensor<64xf32>) outs(%e32 : tensor<?x64xf32>) {
  ^bb0(%i: f32, %k: f32, %iv: f32, %ga: f32, %be: f32, %o: f32):
    %me = arith.divf %k, %n : f32
    %d = arith.subf %i, %me : f32
    %u = arith.mulf %d, %iv : f32
    %h = arith.mulf %u, %ga : f32
    %l = arith.addf %h, %be : f32
    linalg.yield %l : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
