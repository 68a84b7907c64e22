// Mean and M2 by Welford's recurrence, in a loop over slices.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s

// CHECK-LABEL: @loop
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @loop(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c33 = arith.constant 33 : index
  %ones = arith.constant dense<1.0> : tensor<4xf32>
  %r:3 = scf.for %i = %c0 to %c33 step %c1 iter_args(%c = %z, %m = %z, %s = %z) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
    %v = tensor.extract_slice %x[0, %i] [4, 1] [1, 1] : tensor<4x33xf32> to tensor<4xf32>
    %n1 = arith.addf %c, %ones : tensor<4xf32>
    %d = arith.subf %v, %m : tensor<4xf32>
    %q = arith.divf %d, %n1 : tensor<4xf32>
    %m1 = arith.addf %m, %q : tensor<4xf32>
    %d2 = arith.subf %v, %m1 : tensor<4xf32>
    %p = arith.mulf %d, %d2 : tensor<4xf32>
    %s1 = arith.addf %s, %p : tensor<4xf32>
    scf.yield %n1, %m1, %s1 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
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

// Slices keep the axis, the loop's index counts too.
// CHECK-LABEL: @loop_kept
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @loop_kept(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c33 = arith.constant 33 : index
  %ones = arith.constant dense<1.0> : tensor<4x1xf32>
  %zk = arith.constant dense<0.0> : tensor<4x1xf32>
  %r:3 = scf.for %i = %c0 to %c33 step %c1 iter_args(%c = %zk, %m = %zk, %s = %zk) -> (tensor<4x1xf32>, tensor<4x1xf32>, tensor<4x1xf32>) {
    %v = tensor.extract_slice %x[0, %i] [4, 1] [1, 1] : tensor<4x33xf32> to tensor<4x1xf32>
    %n1 = arith.addf %c, %ones : tensor<4x1xf32>
    %d = arith.subf %v, %m : tensor<4x1xf32>
    %q = arith.divf %d, %n1 : tensor<4x1xf32>
    %m1 = arith.addf %m, %q : tensor<4x1xf32>
    %d2 = arith.subf %v, %m1 : tensor<4x1xf32>
    %p = arith.mulf %d, %d2 : tensor<4x1xf32>
    %s1 = arith.addf %s, %p : tensor<4x1xf32>
    scf.yield %n1, %m1, %s1 : tensor<4x1xf32>, tensor<4x1xf32>, tensor<4x1xf32>
  }
  %mk = tensor.collapse_shape %r#1 [[0, 1]] : tensor<4x1xf32> into tensor<4xf32>
  %sk = tensor.collapse_shape %r#2 [[0, 1]] : tensor<4x1xf32> into tensor<4xf32>
  %e = tensor.empty() : tensor<4x33xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x, %mk, %sk : tensor<4x33xf32>, tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4x33xf32>) {
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

// CHECK-LABEL: @loop_scalar_count
// CHECK: %[[Y:.*]] = "wf.layer_norm"(%arg0) {eps = 9.99{{.*}} : (tensor<4x33xf32>) -> tensor<4x33xf32>
// CHECK-NEXT: return %[[Y]]
func.func @loop_scalar_count(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c33 = arith.constant 33 : index
  %zero = arith.constant 0.0 : f32
  %r:3 = scf.for %i = %c0 to %c33 step %c1 iter_args(%c = %zero, %m = %z, %s = %z) -> (f32, tensor<4xf32>, tensor<4xf32>) {
    %v = tensor.extract_slice %x[0, %i] [4, 1] [1, 1] : tensor<4x33xf32> to tensor<4xf32>
    %n1 = arith.addf %c, %one : f32
    %n4 = tensor.splat %n1 : tensor<4xf32>
    %d = arith.subf %v, %m : tensor<4xf32>
    %q = arith.divf %d, %n4 : tensor<4xf32>
    %m1 = arith.addf %m, %q : tensor<4xf32>
    %d2 = arith.subf %v, %m1 : tensor<4xf32>
    %p = arith.mulf %d, %d2 : tensor<4xf32>
    %s1 = arith.addf %s, %p : tensor<4xf32>
    scf.yield %n1, %m1, %s1 : f32, tensor<4xf32>, tensor<4xf32>
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
