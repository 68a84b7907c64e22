// Near Welford's recurrence, but another one.
// RUN: welford opt --passes=raise --explain %s 2>&1 | FileCheck %s
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: layer_norm: the sum of 33 values is divided by 32
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: welford: the mean grows by (x - mean) / n, where n is not the new count
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: welford: M2 grows by another product than (x - old mean) (x - new mean)
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: welford: the count does not start at 0
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: welford: mean or M2 do not start at 0
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: welford: the count grows by 2 a value, not by 1
// CHECK-DAG: {{:[0-9]+:[0-9]+}}: welford: the loop does not run over all of the axis

// CHECK-LABEL: @sample_variance
// CHECK-NOT: wf.layer_norm
// The sample variance is another one.
func.func @sample_variance(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 32.0 : f32
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

// CHECK-LABEL: @old_count
// CHECK-NOT: wf.layer_norm
func.func @old_count(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%z, %z, %z : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%v: f32, %c: f32, %m: f32, %s: f32):
    %n1 = arith.addf %c, %one : f32
    %d = arith.subf %v, %m : f32
    %q = arith.divf %d, %c : f32
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

// CHECK-LABEL: @old_mean
// CHECK-NOT: wf.layer_norm
func.func @old_mean(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
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
    %d2 = arith.subf %v, %m : f32
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

// CHECK-LABEL: @other_start
// CHECK-NOT: wf.layer_norm
func.func @other_start(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %ones = arith.constant dense<1.0> : tensor<4xf32>
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%ones, %z, %z : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
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

// CHECK-LABEL: @start_between
// CHECK-NOT: wf.layer_norm
func.func @start_between(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %ones = arith.constant dense<0.5> : tensor<4xf32>
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%z, %z, %ones : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
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

// CHECK-LABEL: @by_two
// CHECK-NOT: wf.layer_norm
func.func @by_two(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %two = arith.constant 2.0 : f32
  %r:3 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<4x33xf32>) outs(%z, %z, %z : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%v: f32, %c: f32, %m: f32, %s: f32):
    %n1 = arith.addf %c, %two : f32
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

// CHECK-LABEL: @part_of_axis
// CHECK-NOT: wf.layer_norm
func.func @part_of_axis(%x: tensor<4x33xf32>) -> tensor<4x33xf32> {
  %z = arith.constant dense<0.0> : tensor<4xf32>
  %one = arith.constant 1.0 : f32
  %n = arith.constant 33.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %c0 = arith.constant 1 : index
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
