// Mean and M2 by Welford's recurrence: as structured op of several results, as reduction, as loop.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s

// CHECK-LABEL: @generic
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @generic(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%z, %z, %z : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%v: f32, %c: f32, %m: f32, %s: f32):
    %n1 = arith.addf %c, %one : f32
    %d = arith.subf %v, %m : f32
    %q = arith.divf %d, %n1 : f32
    %m1 = arith.addf %m, %q : f32
    %d2 = arith.subf %v, %m1 : f32
    %p = arith.mulf %d, %d2 : f32
    %s1 = arith.addf %s, %p : f32
    linalg.yield %n1, %m1, %s1 : f32, f32, f32
  } -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
  %e = tensor.empty() : tensor<4x33xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x, %r#1, %r#2 : tensor<4x33xf32>, tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4x33xf32>) {
  ^bb0(%v: f32, %m: f32, %s: f32, %o: f32):
    %d = arith.subf %v, %m : f32
    %va = arith.divf %s, %n : f32
    %ve = arith.addf %va, %eps : f32
    %rr = math.rsqrt %ve : f32
    %u = arith.mulf %d, %rr : f32
    linalg.yield %u : f32
  } -> tensor<4x33xf32>
  return %y : tensor<4x33xf32>
}

// The loop's index counts.
// CHECK-LABEL: @count_as_index
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @count_as_index(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %r:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%z, %z : tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%v: f32, %m: f32, %s: f32):
    %i = linalg.index 1 : index
    %c1 = arith.constant 1 : index
    %i1 = arith.addi %i, %c1 : index
    %i64 = arith.index_cast %i1 : index to i64
    %n1 = arith.sitofp %i64 : i64 to f32
    %d = arith.subf %v, %m : f32
    %w = arith.divf %one, %n1 : f32
    %q = arith.mulf %w, %d : f32
    %m1 = arith.addf %q, %m : f32
    %d2 = arith.subf %v, %m1 : f32
    %p = arith.mulf %d2, %d : f32
    %s1 = arith.addf %s, %p : f32
    linalg.yield %m1, %s1 : f32, f32
  } -> (tensor<4xf32>, tensor<4xf32>)
  %e = tensor.empty() : tensor<4x33xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x, %r#0, %r#1 : tensor<4x33xf32>, tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4x33xf32>) {
  ^bb0(%v: f32, %m: f32, %s: f32, %o: f32):
    %d = arith.subf %v, %m : f32
    %va = arith.divf %s, %n : f32
    %ve = arith.addf %va, %eps : f32
    %rr = math.rsqrt %ve : f32
    %u = arith.mulf %d, %rr : f32
    linalg.yield %u : f32
  } -> tensor<4x33xf32>
  return %y : tensor<4x33xf32>
}

// CHECK-LABEL: @count_as_integer
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @count_as_integer(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %k = arith.constant 1 : i32
  %zi = arith.constant dense<0> : tensor<4xi32>
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%zi, %z, %z : tensor<4xi32>, tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%v: f32, %c: i32, %m: f32, %s: f32):
    %n1 = arith.addi %c, %k : i32
    %f1 = arith.sitofp %n1 : i32 to f32
    %d = arith.subf %v, %m : f32
    %q = arith.divf %d, %f1 : f32
    %m1 = arith.addf %m, %q : f32
    %d2 = arith.subf %v, %m1 : f32
    %p = arith.mulf %d, %d2 : f32
    %s1 = arith.addf %s, %p : f32
    linalg.yield %n1, %m1, %s1 : i32, f32, f32
  } -> (tensor<4xi32>, tensor<4xf32>, tensor<4xf32>)
  %e = tensor.empty() : tensor<4x33xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x, %r#1, %r#2 : tensor<4x33xf32>, tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4x33xf32>) {
  ^bb0(%v: f32, %m: f32, %s: f32, %o: f32):
    %d = arith.subf %v, %m : f32
    %va = arith.divf %s, %n : f32
    %ve = arith.addf %va, %eps : f32
    %rr = math.rsqrt %ve : f32
    %u = arith.mulf %d, %rr : f32
    linalg.yield %u : f32
  } -> tensor<4x33xf32>
  return %y : tensor<4x33xf32>
}

// CHECK-LABEL: @reduce
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @reduce(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %r:3 = linalg.reduce ins(%x, %x, %x : tensor<4x33xf32>, tensor<4x33xf32>, tensor<4x33xf32>) outs(%z, %z, %z : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) dimensions = [1]
    (%v: f32, %v1: f32, %v2: f32, %c: f32, %m: f32, %s: f32) {
    %n1 = arith.addf %c, %one : f32
    %d = arith.subf %v, %m : f32
    %q = arith.divf %d, %n1 : f32
    %m1 = arith.addf %m, %q : f32
    %d2 = arith.subf %v, %m1 : f32
    %p = arith.mulf %d, %d2 : f32
    %s1 = arith.addf %s, %p : f32
    linalg.yield %n1, %m1, %s1 : f32, f32, f32
  }
  %e = tensor.empty() : tensor<4x33xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x, %r#1, %r#2 : tensor<4x33xf32>, tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4x33xf32>) {
  ^bb0(%v: f32, %m: f32, %s: f32, %o: f32):
    %d = arith.subf %v, %m : f32
    %va = arith.divf %s, %n : f32
    %ve = arith.addf %va, %eps : f32
    %rr = math.rsqrt %ve : f32
    %u = arith.mulf %d, %rr : f32
    linalg.yield %u : f32
  } -> tensor<4x33xf32>
  return %y : tensor<4x33xf32>
}

// A loop over columns.
