#!/bin/sh
# Installs into a scratch folder and uses welford from there as a stranger would: the command line, a program built
# through pkg-config, and one built through find_package. Then moves the folder, which must not break it.
#
# usage: check_install.sh CMAKE BUILD_FOLDER C_COMPILER [SANITIZERS]
set -eu

cmake=$1 build=$2 cc=$3 sanitizers=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { echo "install test: $*"; }

"$cmake" --install "$build" --prefix "$scratch/first" >/dev/null
mv "$scratch/first" "$scratch/prefix"
prefix=$scratch/prefix
lib=$(dirname "$(find "$prefix" -name 'libwelford.so.0' | head -n 1)")

say "the command line"
"$prefix/bin/welford" --version
model=${WELFORD_MODELS:-}/smollm2-135m-instruct.q4_1.gguf
question="What is the capital of France?"
WELFORD_CACHE=$scratch/cache
export WELFORD_CACHE
runs=
if "$prefix/bin/welford" --help | grep -q '^ *run ' && [ -f "$model" ]; then
    # The cache is empty, so that the program must find the installed compiler.
    "$prefix/bin/welford" run "$model" -p "$question" -n 8 --temp 0
    runs=yes
fi

say "the library that downloads is found"
# Nothing listens on port 9: the message is that of a connection, not of a missing library.
HF_HOME=$scratch/hf HF_ENDPOINT=http://127.0.0.1:9 HF_HUB_OFFLINE= "$prefix/bin/welford" pull owner/name 2>"$scratch/pull" || true
cat "$scratch/pull"
grep -q "http://127.0.0.1:9: " "$scratch/pull"

say "pkg-config"
flags=
[ -z "$sanitizers" ] || flags=-fsanitize=$sanitizers # an instrumented library needs an instrumented program
PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags "$here/consumer.c" $(pkg-config --cflags --libs welford) -o "$scratch/consumer"
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags "$here/../../examples/hello.c" $(pkg-config --cflags --libs welford) \
    -o "$scratch/hello"
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags "$here/../../examples/questions.c" $(pkg-config --cflags --libs welford) \
    -o "$scratch/questions"
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags "$here/../../examples/function.c" $(pkg-config --cflags --libs welford) \
    -o "$scratch/function"
compile=
[ ! -e "$lib/welford/libwelford_compiler.so" ] || compile=compile
LD_LIBRARY_PATH=$lib "$scratch/consumer" "$(pkg-config --modversion welford)" $compile
if [ -n "$compile" ]; then
    graph=$here/../graphs/tosa/rmsnorm_llama_f32_dyn.mlir
    LD_LIBRARY_PATH=$lib "$scratch/function" "$graph" | tee "$scratch/called"
    grep -q "^argument argument0: .*?x.*f32" "$scratch/called" # it takes any size,
    grep -q "^result result0: .*4x.*f32" "$scratch/called"     # and was called with one
fi
[ -z "$runs" ] || LD_LIBRARY_PATH=$lib "$scratch/hello" "$model" "$question"

say "find_package"
mkdir "$scratch/project"
cp "$here/consumer.c" "$here/CMakeLists.txt" "$scratch/project"
"$cmake" -S "$scratch/project" -B "$scratch/project/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS="$flags" >/dev/null
"$cmake" --build "$scratch/project/build" >/dev/null
"$scratch/project/build/consumer" "$(pkg-config --modversion welford)" $compile
