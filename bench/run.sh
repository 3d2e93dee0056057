#!/bin/bash
# Measures roomcast, the floor and the peers side by side: every round runs all servers of a scenario
# one after the other, each freshly started. See bench/README.md and docs/performance.md.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

build=${BENCH_BUILD:-build/bench}
roomcast=${ROOMCAST:-build/release/roomcast}
micro=${BENCH_MICRO:-build/release/bench-micro}
results=${RESULTS:-bench/results}
. bench/scenarios.sh
. bench/servers.sh

usage() {
    cat <<END
usage: bench/run.sh [quick|full|all] [options]

  quick           1 round of 1 s for each pair, about 2 minutes
  full            5 rounds of 1.2 s, about 12 minutes (default): floor, roomcast, socket.io
  all             the same with all peers and all floors, about 25 minutes
  -s NAME,...     only these scenarios
  -v NAME,...     only these servers: $known_servers
  -n ROUNDS       -d SECONDS
  -w HOW          how the client waits: block, spin, nap:MICROSECONDS
  -p              pin the client to the last processor and servers with one thread to the first
  -o NAME         $results/NAME.md, .svg and .jsonl (default: quick, full or all)
  -r              no runs: write the report again from NAME.jsonl

Environment: ROOMCAST (build/release/roomcast), BENCH_MICRO (build/release/bench-micro), BENCH_BUILD (build/bench), RESULTS (bench/results)
END
}

mode=full rounds=5 seconds=1.2 warmup=0.4 wait=block name='' again='' pin=''
servers='floor roomcast-1 roomcast-2 socketio'
case ${1:-} in
quick) mode=quick rounds=1 seconds=1 warmup=0.3; shift ;;
full) shift ;;
all)
    mode=all; shift
    servers='floor floor-send floor-writev floor-uring roomcast-1 roomcast-2 socketio ws nchan' ;;
esac
while getopts s:v:n:d:w:o:prh option; do
    case $option in
    s) scenarios=${OPTARG//,/ } ;;
    v) servers=${OPTARG//,/ } ;;
    n) rounds=$OPTARG ;;
    d) seconds=$OPTARG ;;
    w) wait=$OPTARG ;;
    o) name=$OPTARG ;;
    p) pin=yes ;;
    r) again=yes ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || { usage >&2; exit 2; }
name=${name:-$mode}
for scenario in $scenarios; do
    scenario_options "$scenario" >/dev/null ||
        { echo "bench: there is no scenario $scenario" >&2; exit 2; }
done
for server in $servers; do
    case " $known_servers " in
    *" $server "*) ;;
    *) echo "bench: there is no server $server" >&2; exit 2 ;;
    esac
done

build_programs() {
    mkdir -p "$build" "$results"
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$build/load" bench/load/*.c -lssl -lcrypto &&
        ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$build/floor" bench/floor/*.c
}

# Leaves out, and remembers why, what can't be had on this machine.
prepare_servers() {
    local server why ready=''

    absent=''
    for server in $servers; do
        if why=$(prepare_server "$server"); then
            ready="$ready $server"
        else
            echo "bench: $server is left out: $why" >&2
            absent="$absent- $server: not measured, $why"$'\n'
        fi
    done
    servers=${ready# }
}

# One run of a scenario on a server; appends a JSON line.
measure() {
    local scenario=$1 server=$2 round=$3 times options protocol status

    protocol=$(protocol_options "$scenario" "$server") || return 0
    options=$(scenario_options "$scenario")
    status=1
    if start_server "$server" "$scenario"; then
        times="--warmup $warmup --duration $seconds --settle 0.3 --drain 20"
        # shellcheck disable=SC2086,SC2046 # the options' words
        $(pinned client) "$build/load" --port "$server_port" --pid "$server_pid" $protocol $times $options \
            --wait "$wait" --label "$scenario $server $round" --json "$lines" --quiet \
            >"$build/last.txt" 2>&1
        status=$?
        stop_server
    fi
    grep -qF "\"$scenario $server $round\"" "$lines" ||
        echo "{\"label\":\"$scenario $server $round\",\"aborted\":1}" >>"$lines"
    if [ $status -ne 0 ]; then
        echo "bench: $scenario on $server: faults" >&2
        sed 's/^/    /' "$build/last.txt" >&2
        faults=$((faults + 1))
    fi
    tail -n 1 "$lines" | awk -f bench/report/json.awk -f bench/report/line.awk >&2
}

# Scenarios that are compared with each other take turns within a round: all of the group at its
# first member's place.
group() {
    case $1 in
    stall-none) echo "$1 $(chosen stall-one)" ;;
    stall-one)  [ -n "$(chosen stall-none)" ] || echo "$1" ;;
    *)          echo "$1" ;;
    esac
}

chosen() {
    case " $scenarios " in *[[:space:]]"$1"[[:space:]]*) echo "$1" ;; esac
}

# The pairs in the order in which they run: "SCENARIO SERVER ROUND".
plan() {
    local first scenario server round

    for first in $scenarios; do
        for round in $(seq "$rounds"); do
            for server in $servers; do
                for scenario in $(group "$first"); do
                    [ "$round" -le "$(pair_rounds "$scenario" "$server")" ] || continue
                    protocol_options "$scenario" "$server" >/dev/null || continue
                    echo "$scenario $server $round"
                done
            done
        done
    done
}

run_all() {
    local scenario server round done=0 total

    plan >"$build/plan"
    total=$(wc -l <"$build/plan")
    while read -r scenario server round; do
        [ $((done % 20)) -eq 0 ] &&
            echo "bench: run $((done + 1)) of $total, $((SECONDS / 60)) min $((SECONDS % 60)) s" >&2
        measure "$scenario" "$server" "$round" </dev/null
        done=$((done + 1))
    done <"$build/plan"
    printf '%s\n' "- $(date -u +%Y-%m-%d), $((SECONDS / 60)) min $((SECONDS % 60)) s in all" \
        "- other programs used $(awk -f bench/report/json.awk -f bench/report/other.awk "$lines")" \
        >"$build/$name.when"
}

versions() {
    local server version

    echo "- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors," \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) of memory"
    echo "- $(uname -sr), TCP congestion control $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
    echo "- $(${CC:-cc} --version | head -n 1)"
    for server in $servers; do
        version=$(server_version "$server")
        [ -z "$version" ] || echo "- $server: $version"
    done
    cat "$build/$name.when" 2>/dev/null
    printf '%s' "$absent"
}

command_lines() {
    local server scenario

    for server in $servers; do
        echo "    $server: $(server_command "$server" '')"
    done
    echo
    for scenario in $scenarios; do
        echo "    $scenario: load --warmup $warmup --duration $seconds $(scenario_options "$scenario")"
    done
    echo
    echo 'Beside that --port and --pid, and the protocol: --proto floor for the floor, ws for echo and' \
        'plain WebSocket peers (--path), poll for polling-fanout, else sio. In stall-* roomcast has' \
        'limits.max_queue=256KiB.'
}

titles() {
    local scenario

    echo "servers $servers"
    for scenario in $scenarios; do
        echo "title $scenario $(scenario_kind "$scenario") $(scenario_title "$scenario")"
    done
}

report_with() {
    awk -v million="$build/$name.million" -f bench/report/json.awk -f bench/report/stats.awk \
        -f "bench/report/$1.awk" "$build/titles" "$lines"
}

# The million connections without sockets; tests of a part of the scenarios go without.
without_sockets() {
    [ -s "$build/$name.million" ] || return
    echo '## Without sockets'
    echo
    echo "One process, one shard, a kernel that does nothing (\`bench-micro million\`):"
    echo
    sed 's/^ *//; s/^/    /' "$build/$name.million"
    echo
}

report() {
    titles >"$build/titles"
    {
        echo '# Side by side'
        echo
        echo "Made by \`bench/run.sh $mode\`; docs/performance.md says how to read it. Rounds: $rounds, each of" \
            "$seconds s, the servers one after the other, each freshly started (3 rounds where one run" \
            "is long or the difference large); the client waits by \`$wait\`${pin:+, pinned}. Medians, in brackets the" \
            "least and the greatest."
        echo
        echo "![CPU per delivery]($name.svg)"
        echo
        versions
        echo
        echo '## What was to be reached'
        echo
        report_with bars
        echo
        echo '## Figures'
        echo
        report_with table
        echo
        without_sockets
        echo '## Commands'
        echo
        command_lines
    } >"$results/$name.md"
    report_with chart >"$results/$name.svg"
}

# In brackets, so that bash has read it all before the first run.
{
    build_programs || exit 1
    prepare_servers
    lines=$results/$name.jsonl
    faults=0
    server_pid=
    if [ -z "$again" ]; then
        : >"$lines"
        trap stop_server EXIT
        trap 'exit 130' INT TERM
        run_all
        rm -f "$build/$name.million"
        [ ! -x "$micro" ] || "$micro" million >"$build/$name.million"
    fi
    report
    sed -n '/^## What was/,/^###/p' "$results/$name.md" | sed '/^###/d'
    echo "bench: $results/$name.md and $name.svg; $faults runs with faults" >&2
    [ "$faults" -eq 0 ]
    exit
}
