#!/bin/sh
# Libraries export their interface and nothing else: each symbol that LIBRARY defines begins with PREFIX.
#
# usage: check_exports.sh LIBRARY PREFIX [LIBRARY PREFIX]...   (an empty LIBRARY is passed over)
set -eu

status=0
while [ $# -ge 2 ]; do
    library=$1 prefix=$2
    shift 2
    [ -n "$library" ] || continue
    # Sanitizers add their own (__asan…, __odr_asan…).
    symbols=$(nm -D --defined-only "$library" | awk '{ print $NF }' | grep -Ev '^__(odr_)?[a-z]*san' || true)
    strange=$(printf '%s\n' "$symbols" | grep -v "^$prefix" || true)
    if [ -z "$symbols" ]; then
        echo "$library: exports nothing that begins with $prefix"
        status=1
    elif [ -n "$strange" ]; then
        printf '%s: exports what it should not:\n%s\n' "$library" "$strange"
        status=1
    else
        printf '%s: %s\n' "$library" "$(printf '%s ' $symbols)"
    fi
done
exit $status
