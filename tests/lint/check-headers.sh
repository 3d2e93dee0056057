#!/bin/bash
# Fails when a header does not compile alone, has not the guard of its path, or a public one does
# not say which threads may use it.
set -u
cd "$(dirname "$0")/../.." || exit 1

mapfile -t headers < <(find include src -name '*.h' | sort)
read -ra pkgs < <(pkg-config --cflags libevent_core jansson)
flags=(-std=c11 -D_GNU_SOURCE -Iinclude -Wall -Wextra -Werror "${pkgs[@]}")
bad=0
[ ${#headers[@]} -gt 0 ] || bad=1
for h in "${headers[@]}"; do
    # By #include, not directly: a header as the main file may warn of what is right in a header.
    echo "#include \"$PWD/$h\"" | "${CC:-gcc}" -x c -fsyntax-only "${flags[@]}" - || {
        echo "$h: does not compile alone"
        bad=1
    }
    guard=${h#include/}
    guard=${guard#src/}
    case $guard in rc/*) ;; *) guard=rc/$guard ;; esac
    guard=$(echo "$guard" | tr 'a-z/.' 'A-Z__')
    grep -q "^#ifndef $guard\$" "$h" || echo "$h: the guard should be $guard"
    grep -q "^#ifndef $guard\$" "$h" || bad=1
    case $h in
    include/*) grep -q 'Threads:' "$h" || {
        echo "$h: does not say Threads:"
        bad=1
    } ;;
    esac
done
exit $bad
