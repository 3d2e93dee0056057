#!/bin/sh
# Fails when a file includes a header of a layer above its own or of a sibling layer.
set -eu
cd "$(dirname "$0")/../.."

rank() {
    case $1 in
    base) echo 1 ;;
    net) echo 2 ;;
    proto) echo 3 ;;
    auth) echo 4 ;;
    broker) echo 5 ;;
    store | cluster | api) echo 6 ;; # siblings: none may include another
    *) echo 0 ;;
    esac
}

bad=0
complain() {
    echo "$*"
    bad=1
}

includes=$(mktemp)
trap 'rm -f "$includes"' EXIT
# FILE:LINE:#include "..."; src/*.c wire the layers together and may include all of them.
grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' include/rc src/*/ >"$includes"

while IFS=: read -r file line text; do
    own=${file#include/rc/}
    own=${own#src/}
    own=${own%%/*}
    at="$file:$line"
    [ "$(rank "$own")" -ne 0 ] || complain "$at: there is no layer $own"
    case $text in
    *'"rc/'*)
        inc=${text#*\"rc/}
        inc=${inc%%/*}
        if [ "$(rank "$inc")" -eq 0 ]; then
            complain "$at: there is no layer $inc"
        elif [ "$own" != "$inc" ] && [ "$(rank "$inc")" -ge "$(rank "$own")" ]; then
            complain "$at: layer $own must not include layer $inc"
        fi
        ;;
    *'"'*/*'"'*) complain "$at: a private header belongs to its own folder" ;;
    *'<event2/'* | *'<event.h>'*)
        [ "$own" != base ] || complain "$at: layer base does no I/O"
        ;;
    esac
done <"$includes"
exit $bad
