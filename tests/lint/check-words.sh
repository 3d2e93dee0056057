#!/bin/sh
# Fails on words that mark unfinished work in what is shipped.
set -eu
cd "$(dirname "$0")/../.."

words='TODO|FIXME|XXX|not implemented|not yet implemented|placeholder implementation|stub for now'
if grep -rnIwE "$words" src include web bench conf --exclude='package*.json'; then
    echo "the lines above are unfinished"
    exit 1
fi
