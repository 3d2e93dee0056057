#!/bin/bash
# Counts the instructions of the broker's parts with callgrind and sets them beside baseline.txt: a
# count stays the same on a noisy machine, where a time does not.
#
#   bench/micro/run.sh [BUILD] [--update] [NAME...]     BUILD: build/release
#
# Exit code 1 when something needs more than LIMIT % (5) more than the baseline. --update writes the
# baseline anew: with the compiler and the libraries that it names, the counts are the same to about
# 0.1 %. With others they differ for good reasons, and only a warning is given.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1

build=build/release
[ $# -gt 0 ] && [ -d "$1" ] && build=$1 && shift
update=
[ "${1:-}" = --update ] && update=yes && shift
program=$build/bench-micro
baseline=bench/micro/baseline.txt
out=$build/micro
mkdir -p "$out"
command -v valgrind >/dev/null || { echo 'micro: valgrind is needed (Debian: valgrind)' >&2; exit 2; }
[ -x "$program" ] || { echo "micro: $program is missing: make bench-micro" >&2; exit 2; }

made_with() {
    echo "$(${CC:-cc} --version | head -n 1); libc $(getconf GNU_LIBC_VERSION | cut -d' ' -f2);" \
        "libevent $(pkg-config --modversion libevent_core 2>/dev/null); $(uname -m)"
}

# one NAME: its instructions for each unit go to $out/NAME.count
one() {
    local name=$1 units total
    units=$("$program" list | awk -v name="$name" '$1 == name { print $2 }')
    valgrind --tool=callgrind --toggle-collect='micro_measured*' --callgrind-out-file=/dev/null \
        "$program" run "$name" >"$out/$name.log" 2>&1 || { tail -n 5 "$out/$name.log" >&2; return 1; }
    total=$(awk '/Collected *:/ { print $NF }' "$out/$name.log")
    awk -v total="$total" -v units="$units" 'BEGIN { printf "%.1f\n", total / units }' >"$out/$name.count"
}
export -f one
export program out

names=$*
[ -n "$names" ] || names=$("$program" list | cut -d' ' -f1)
rm -f "$out"/*.count
# shellcheck disable=SC2086 # one line for each name
printf '%s\n' $names | xargs -P "$(nproc)" -I{} bash -c 'one {}' || exit 2

table() {
    "$program" list | while read -r name units unit; do
        [ -e "$out/$name.count" ] && echo "$name $(cat "$out/$name.count") $unit"
    done
}

if [ -n "$update" ]; then
    { echo "# instructions for each unit, by bench/micro/run.sh --update"
      echo "# $(made_with)"
      table; } >"$baseline"
fi
same=yes
grep -qxF "# $(made_with)" "$baseline" || same=
table | awk -v limit="${LIMIT:-5}" -v same="$same" '
    FNR == NR { if ($1 != "#") was[$1] = $2; next }
    FNR == 1 { printf "%-28s %12s %12s %8s\n", "instructions", "now", "baseline", "change" }
    {
        change = ""
        if ($1 in was && was[$1] > 0)
            change = ($2 - was[$1]) * 100 / was[$1]
        much = change != "" && change > limit
        printf "%-28s %12.1f %12s %8s  each %s%s\n", $1, $2, $1 in was ? was[$1] : "-", \
            change == "" ? "new" : sprintf("%+.1f %%", change), $3, much ? "   <-- WARNING" : ""
        worse += much
    }
    END {
        if (worse && same != "")
            print worse " need more than " limit " % more than the baseline"
        else if (worse)
            print worse " need more, but the baseline was made with another compiler or libraries"
        exit worse && same != ""
    }' "$baseline" -
