#!/bin/sh
# Fails when a global symbol of the library does not begin with rc_.
#   check-symbols.sh [LIBRARY]
set -eu
cd "$(dirname "$0")/../.."

lib=${1:-build/release/libroomcast.a}
symbols=$(nm -A -g --defined-only "$lib")
[ -n "$symbols" ] || { echo "$lib: has no symbols" && exit 1; }
if echo "$symbols" | grep -v ' rc_[a-z0-9_]*$'; then
    echo "$lib: the symbols above do not begin with rc_"
    exit 1
fi
