#!/bin/bash
# Measures roomcast, the floor and the peers side by side: every repetition runs all servers of a
# scenario one after the other, each freshly started. See bench/README.md.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

usage() {
    cat <<END
usage: bench/run.sh [quick|full] [options]

  quick           1 run of 1 s each, about 1.5 minutes
  full            5 runs of 1.5 s each, about 10 minutes (default)
  -s NAME,...     only these scenarios
  -v NAME,...     only these servers: $known_servers
  -n RUNS         -d SECONDS
  -w HOW          how the client waits: block, spin, nap:MICROSECONDS
  -o NAME         bench/results/NAME.md, .svg and .jsonl (default: quick or full)

Environment: ROOMCAST (build/release/roomcast), BENCH_BUILD (build/bench), RESULTS (bench/results)
END
}

build=${BENCH_BUILD:-build/bench}
roomcast=${ROOMCAST:-build/release/roomcast}
results=${RESULTS:-bench/results}
. bench/scenarios.sh
. bench/servers.sh

mode=full runs=5 seconds=1.5 warmup=0.5 wait=block name=
servers='floor roomcast-1 roomcast-2 socketio ws'
case ${1:-} in
quick) mode=quick runs=1 seconds=1 warmup=0.3; shift ;;
full) shift ;;
esac
while getopts s:v:n:d:w:o:h option; do
    case $option in
    s) scenarios=${OPTARG//,/ } ;;
    v) servers=${OPTARG//,/ } ;;
    n) runs=$OPTARG ;;
    d) seconds=$OPTARG ;;
    w) wait=$OPTARG ;;
    o) name=$OPTARG ;;
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

build_programs() {
    mkdir -p "$build" "$results"
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$build/load" bench/load/*.c &&
        ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$build/floor" bench/floor/*.c
}

# The npm peers, when they are wanted and npm can get them.
install_peers() {
    case " $servers " in *' socketio '* | *' ws '*) ;; *) return ;; esac
    mkdir -p "$build/peers"
    cp bench/peers/*.js bench/peers/package.json "$build/peers/"
    [ -d "$build/peers/node_modules/socket.io" ] ||
        (cd "$build/peers" && npm install --no-audit --no-fund --loglevel=error >&2) ||
        echo 'bench: npm could not install the peers: they are left out' >&2
}

# One run of a scenario on a server; appends a JSON line.
measure() {
    local scenario=$1 server=$2 times options protocol status

    protocol=$(protocol_options "$server" "$scenario") || return 0
    options=$(scenario_options "$scenario")
    start_server "$server" || return 0
    times="--warmup $warmup --duration $seconds --settle 0.3"
    # shellcheck disable=SC2086 # the options' words
    "$build/load" --port "$server_port" --pid "$server_pid" $protocol $times $options \
        --wait "$wait" --label "$scenario $server" --json "$lines" --quiet >"$build/last.txt"
    status=$?
    stop_server
    if [ $status -ne 0 ]; then
        echo "bench: $scenario on $server: faults" >&2
        sed 's/^/    /' "$build/last.txt" >&2
        faults=$((faults + 1))
    fi
    grep -F "\"$scenario $server\"" "$lines" | tail -n 1 | awk -f bench/report/json.awk -f bench/report/line.awk >&2
}

npm_versions() {
    for package in socket.io engine.io ws; do
        sed -n "s/^ *\"version\": \"\(.*\)\".*/$package \1/p" \
            "$build/peers/node_modules/$package/package.json"
    done | paste -sd, - | sed 's/,/, /g'
}

versions() {
    echo "- kernel: $(uname -sr), $(nproc) processors," \
        "TCP congestion control $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
    echo "- compiler: $(${CC:-cc} --version | head -n 1)"
    [ -x "$roomcast" ] && echo "- roomcast: $("$roomcast" --version | head -n 1)," \
        "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    [ -d "$build/peers/node_modules" ] && echo "- node $(node --version), $(npm_versions)"
    return 0
}

command_lines() {
    local server command
    for server in $servers; do
        command=$(server_command "$server") && echo "    $server: $command"
    done
    for scenario in $scenarios; do
        echo "    $scenario: load --proto ... --warmup $warmup --duration $seconds" \
            "$(scenario_options "$scenario")"
    done
}

report() {
    {
        echo '# Side by side'
        echo
        echo "Made by \`bench/run.sh\`; docs/performance.md says how to read it. $runs runs of" \
            "$seconds s for each server, interleaved, each on a fresh process; the client waits" \
            "by \`$wait\`. Medians, in brackets the least and the greatest."
        echo
        versions
        echo
        for scenario in $scenarios; do
            echo "title $scenario $(scenario_kind "$scenario") $(scenario_title "$scenario")"
        done | awk -f bench/report/json.awk -f bench/report/table.awk - "$lines"
        echo
        echo '## Commands'
        echo
        command_lines
    } >"$results/$name.md"
    awk -f bench/report/json.awk -f bench/report/chart.awk "$lines" >"$results/$name.svg"
}

build_programs || exit 1
install_peers
lines=$results/$name.jsonl
: >"$lines"
faults=0
server_pid=
trap stop_server EXIT
trap 'exit 130' INT TERM
for scenario in $scenarios; do
    for run in $(seq "$runs"); do
        for server in $servers; do
            # Three runs of a peer are enough: it is far away.
            case $server in socketio | ws) [ "$run" -le 3 ] || continue ;; esac
            measure "$scenario" "$server"
        done
    done
done
report
cat "$results/$name.md"
echo "bench: $results/$name.md, $faults runs with faults" >&2
[ "$faults" -eq 0 ]
