#!/bin/bash
# Fails when a key of the configuration is missing from conf/roomcast.ini, when a default there or
# the table in docs/configuration.md is not what the executable says, or when an INI file of ours
# does not load.
#   check-conf.sh [--update] [EXECUTABLE]     --update writes the table into the documentation
set -u
cd "$(dirname "$0")/../.." || exit 1

update=0
[ "${1-}" = --update ] && update=1 && shift
roomcast=${1:-build/roomcast}
docs=docs/configuration.md
ini=conf/roomcast.ini
bad=0

fail() {
    echo "$*"
    bad=1
}

table=$("$roomcast" --print-docs) && [ -n "$table" ] || {
    echo "$roomcast --print-docs: failed"
    exit 1
}

# Its rows as "section key default", which may be empty.
rows=$(echo "$table" | sed -n 's/^### \[\(.*\)\]$/@\1/p; s/^| `\([a-z_]*\)` | `*\([^`|]*[^`| ]\)*`* *|.*/\1 \2/p' |
    awk '/^@/ { section = substr($0, 2); next } { print section " " $0 }')
[ "$(echo "$rows" | wc -l)" -gt 20 ] || fail "$roomcast --print-docs: has too few keys"

# The documentation.
begin='^<!-- begin: roomcast --print-docs -->$'
end='^<!-- end -->$'
if [ $update = 1 ]; then
    { sed "/$begin/q" $docs && echo "$table" && sed -n "/$end/,\$p" $docs; } >$docs.new &&
        mv $docs.new $docs
fi
diff <(echo "$table") <(sed -n "/$begin/,/$end/p" $docs | sed '1d;$d') ||
    fail "$docs: the table above is not what $roomcast --print-docs says: run $0 --update"

# conf/roomcast.ini: "section key commented value" of each line that sets a key or shows a default.
lines=$(awk '
    /^\[(event|connect|namespace|endpoint)/ { exit }
    /^\[.*\]$/ { section = substr($0, 2, length($0) - 2); next }
    /^;?[a-z_]+ =/ {
        commented = sub(/^;/, "")
        key = $1
        sub(/^[a-z_]+ = ?/, "")
        print section, key, commented, $0
    }' $ini | sed 's/ *$//')
while read -r section key default; do
    line=$(echo "$lines" | grep "^$section $key ")
    case $line in
    "") fail "$ini: [$section] $key is missing; write ;$key = $default" ;;
    *$'\n'*) fail "$ini: [$section] $key is there more than once" ;;
    "$section $key 0"*) ;;
    *) shown=${line#"$section $key 1"}
       [ "${shown# }" = "$default" ] ||
           fail "$ini: [$section] ;$key = ${shown# }: the default is $default" ;;
    esac
done <<<"$rows"
while read -r section key _; do
    echo "$rows" | grep -qE "^$section $key( |\$)" || fail "$ini: [$section] has no key $key"
done <<<"$lines"

# All of them load, and the examples are listed.
for f in $ini conf/examples/*.ini; do
    "$roomcast" -c "$f" --check || fail "$f: does not load"
done
for f in conf/examples/*.ini; do
    grep -qF "[${f##*/}](${f##*/})" conf/examples/README.md || fail "conf/examples/README.md: lacks ${f##*/}"
done
exit $bad
