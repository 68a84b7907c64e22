#!/bin/sh
# A build without compiler, where there is neither MLIR nor LLVM: it runs what the whole welford compiled ahead of time,
# is small, and links none of them.
#
# usage: check_runtime.sh CMAKE WELFORD BUILD_FOLDER MODEL
#
# WELFORD is the whole program, BUILD_FOLDER is made, MODEL a checkpoint.
set -eu

cmake=$1 whole=$2 build=$3 model=$4
source=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export WELFORD_CACHE="$scratch/cache"

fail() {
    echo "runtime test: $*" >&2
    exit 1
}

"$cmake" -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DWELFORD_COMPILER=OFF \
    -DWELFORD_LLVM_DIR=/nowhere
"$cmake" --build "$build" --target programs
[ ! -e "$build/libwelford_compiler.so" ] || fail "a compiler was built"

strip -o "$scratch/welford" "$build/welford"
bytes=$(stat -c %s "$scratch/welford")
echo "runtime test: stripped, the program has $bytes bytes"
[ "$bytes" -lt 2000000 ] || fail "that is too much"
ldd "$scratch/welford"
! ldd "$scratch/welford" | grep -E 'LLVM|MLIR|stdc\+\+' || fail "it links a part of the compiler"

# From here on no compiler can be found, whatever is installed.
set -- -p "What is the capital of France?" --temp 0 -n 24
"$whole" compile "$model" -o "$scratch/model.wf"
"$whole" run "$model" "$@" >"$scratch/wanted"
export WELFORD_COMPILER="$scratch/nowhere.so"
WELFORD_CACHE=$scratch/empty "$scratch/welford" run "$scratch/model.wf" "$@" >"$scratch/found"
cat "$scratch/found"
cmp "$scratch/wanted" "$scratch/found" || fail "a .wf file answers otherwise"
"$scratch/welford" run "$model" "$@" >"$scratch/found" # from the cache
cmp "$scratch/wanted" "$scratch/found" || fail "a cached program answers otherwise"
! WELFORD_CACHE=$scratch/empty "$scratch/welford" run "$model" "$@" 2>"$scratch/message" || fail "it compiled"
grep -q "nowhere.so" "$scratch/message" || fail "it does not say what is missing: $(cat "$scratch/message")"
echo "runtime test: passed"
