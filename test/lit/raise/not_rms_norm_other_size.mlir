// What is repeated where another tensor's size is 1 is not x.
// RUN: welford opt --passes=raise %s | FileCheck %s
// CHECK-NOT: wf.rms_norm
#z = affine_map<(i, j) -> (0, j)>
#a = affine_map<(i, j) -> (i, j)>
#r = affine_map<(i, j) -> (i)>
func.func @main(%x: tensor<?x8xf32>, %other: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %n = arith.constant 8.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %d = tensor.dim %x, %c0 : tensor<?x8xf32>
  %o = tensor.dim %other, %c0 : tensor<?x8xf32>
  %one = arith.cmpi eq, %o, %c1 : index
  %e = tensor.empty(%d) : tensor<?x8xf32>
  %s = scf.if %one -> (tensor<?x8xf32>) {
    %b = linalg.generic {indexing_maps = [#z, #a], iterator_types = ["parallel", "parallel"]}
        ins(%x : tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<?x8xf32>
    scf.yield %b : tensor<?x8xf32>
  } else {
    scf.yield %x : tensor<?x8xf32>
  }
  %e1 = tensor.empty(%d) : tensor<?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#a, #r], iterator_types = ["parallel", "reduction"]}
      ins(%s : tensor<?x8xf32>) outs(%f : tensor<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %1 = arith.mulf %in, %in : f32
    %2 = arith.addf %1, %out : f32
    linalg.yield %2 : f32
  } -> tensor<?xf32>
  %y = linalg.generic {indexing_maps = [#a, #r, #a], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x8xf32>, tensor<?xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%in: f32, %q: f32, %out: f32):
    %1 = arith.divf %q, %n : f32
    %2 = arith.addf %1, %eps : f32
    %3 = math.rsqrt %2 : f32
    %4 = arith.mulf %in, %3 : f32
    linalg.yield %4 : f32
  } -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
