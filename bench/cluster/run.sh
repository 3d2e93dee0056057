#!/bin/bash
# Measures what it costs, and how long it takes, when a message goes from one node to another: roomcast
# nodes beside Node servers with @socket.io/redis-adapter and the floor, on one Redis. See bench/README.md.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1

build=${BENCH_BUILD:-build/bench}
roomcast=${ROOMCAST:-build/release/roomcast}
results=${RESULTS:-bench/results}
modules=${BENCH_MODULES:-$build/peers/node_modules}
load=${BENCH_LOAD:-$build/load}
floor=${BENCH_FLOOR:-$build/floor}

usage() {
    cat <<END
usage: bench/cluster/run.sh [options]

  -s NAME,...     only these scenarios: $scenarios
  -v NAME,...     only these servers: $servers
  -n ROUNDS       default $rounds
  -d SECONDS      of each run, default $seconds; -w SECONDS before that, default $warmup
  -o NAME         $results/NAME.md and .jsonl, default $name
  -r              no runs: write the report again from NAME.jsonl

Environment: ROOMCAST (build/release/roomcast), BENCH_BUILD (build/bench), RESULTS (bench/results),
BENCH_MODULES (the npm packages, if they are there already), BENCH_LOAD and BENCH_FLOOR (the load generator and the
floor, the same)
END
}

scenarios='fanout@20 fanout@100 closed16 rooms-100x10 rooms-closed hop empty@1000 empty@5000 redis@500'
servers='roomcast socketio floor'
rounds=3 seconds=1.5 warmup=1 name=cluster again=''
while getopts s:v:n:d:w:o:rh option; do
    case $option in
    s) scenarios=${OPTARG//,/ } ;;
    v) servers=${OPTARG//,/ } ;;
    n) rounds=$OPTARG ;;
    d) seconds=$OPTARG ;;
    w) warmup=$OPTARG ;;
    o) name=$OPTARG ;;
    r) again=yes ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done

# load options of a scenario; status 1: there is none of this name
options() {
    case $1 in
    fanout@20)    echo --members 1001 --apart --rate 20 ;;
    fanout@100)   echo --members 1001 --apart --rate 100 ;;
    closed16)     echo --members 1001 --apart --outstanding 16 --far ;;
    rooms-100x10) echo --rooms 100 --members 10 --rate 1000 ;;
    rooms-closed) echo --rooms 100 --members 10 --outstanding 1 --far ;;
    hop)          echo --rooms 100 --members 2 --rate 500 ;;
    empty@1000)   echo --rooms 10 --members 1 --rate 1000 ;;
    empty@5000)   echo --rooms 10 --members 1 --rate 5000 ;;
    redis@500)    echo --rooms 10 --members 1 --rate 500 ;;
    *) return 1 ;;
    esac
}

title() {
    case $1 in
    fanout@20)    echo '1 room × 1,000 members on one node, who sends is on the other; 64 B, 20 messages/s' ;;
    fanout@100)   echo '1 room × 1,000 members on one node, who sends is on the other; 64 B, 100 messages/s' ;;
    closed16)     echo '1 room × 1,000 members on one node, who sends is on the other; closed loop over the nodes, 16 outstanding' ;;
    rooms-100x10) echo '100 rooms × 10 members, half of them on each node; 64 B, 1,000 messages/s' ;;
    rooms-closed) echo '100 rooms × 10 members, half of them on each node; closed loop over the nodes, 1 outstanding each' ;;
    hop)          echo '100 rooms × 2 members, one on each node; 64 B, 500 messages/s' ;;
    empty@1000)   echo '10 rooms with a single member who sends, all on the first node; 64 B, 1,000 messages/s' ;;
    empty@5000)   echo '10 rooms with a single member who sends, all on the first node; 64 B, 5,000 messages/s' ;;
    redis@500)    echo 'the same at 500 messages/s: one node, and connections to Redis that are subscribed as other nodes are' ;;
    esac
}

# With how many nodes a scenario runs on a server.
sizes() {
    case $1:$2 in
    empty@*:floor | redis@*:floor) ;;
    empty@*:socketio)    echo 2 ;;
    empty@*)             echo 1 2 4 ;;
    redis@*:socketio)    ;;
    redis@*)             echo 1 25 100 ;;
    *)                   echo 2 ;;
    esac
}

folder=$build/cluster-data
lines=$results/$name.jsonl
redis_pid='' redis_port='' node_pids=() node_ports=() faults=0

redis() { redis-cli -p "$redis_port" "$@" 2>/dev/null; }

# On a free port; that nobody else's Redis is there already says its process id.
start_redis() {
    for _ in $(seq 10); do
        redis_port=$((20000 + RANDOM % 10000))
        redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$folder" --save '' --appendonly no \
            --logfile "$folder/redis.log" &
        redis_pid=$!
        for _ in $(seq 100); do
            [ "$(redis INFO server | sed -n 's/^process_id:\([0-9]*\).*/\1/p')" = "$redis_pid" ] && return 0
            kill -0 "$redis_pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -9 "$redis_pid" 2>/dev/null
        wait "$redis_pid" 2>/dev/null
    done
    redis_pid=''
    return 1
}

# The command of a node of server $1, or of as many listeners.
command_of() {
    case $1 in
    roomcast) echo "$roomcast -c bench/bench.ini -o server.shards=1 -o cluster.redis=redis://127.0.0.1:$redis_port" ;;
    socketio) echo "node bench/peers/socketio.js redis://127.0.0.1:$redis_port" ;;
    floor)    echo "$floor coalesce 0 $redis_port" ;;
    *)        echo "node bench/cluster/listeners.js redis://127.0.0.1:$redis_port $1" ;;
    esac
}

start_node() {
    local log=$folder/node${#node_pids[@]}.log port

    : >"$log"
    # shellcheck disable=SC2046 # the command's words
    NODE_ENV=production NODE_PATH=$modules exec $(command_of "$1") 2>"$log" </dev/null &
    node_pids+=($!)
    for _ in $(seq 600); do
        port=$(sed -n 's/^.*listening on 127\.0\.0\.1:\([0-9]*\).*$/\1/p' "$log" | head -n 1)
        [ -z "$port" ] || { node_ports+=("$port") && return 0; }
        kill -0 "${node_pids[-1]}" 2>/dev/null || break
        sleep 0.05
    done
    echo "bench: a node of $1 did not start:" >&2
    tail -n 5 "$log" >&2
    return 1
}

# $2 nodes of server $1, when all of them have subscribed. Of scenario redis@* only the first is one.
start_nodes() {
    local channel=floor

    node_ports=()
    for _ in $(seq "$([[ $3 = redis@* ]] && echo 1 || echo "$2")"); do
        start_node "$1" || return 1
    done
    [[ $3 != redis@* ]] || [ "$2" -eq 1 ] || start_node $(($2 - 1)) || return 1
    [ "$1" = floor ] || channel='socket.io-request#/#'
    for _ in $(seq 600); do
        [ "$(redis PUBSUB NUMSUB "$channel" | tail -n 1)" = "$2" ] && return 0
        sleep 0.05
    done
    echo "bench: the $2 nodes of $1 did not all come to Redis" >&2
    return 1
}

stop_nodes() {
    local pid

    for pid in ${node_pids[@]+"${node_pids[@]}"}; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    node_pids=()
    # Redis is not to meet the next ones with what these left.
    for _ in $(seq 100); do
        [ "$(redis PUBSUB NUMPAT)" = 0 ] && break
        sleep 0.02
    done
}

# shellcheck disable=SC2317 # called by trap
clean_up() {
    stop_nodes
    [ -z "$redis_pid" ] || { kill "$redis_pid" && wait "$redis_pid"; }
    rm -rf "$folder"
}

join() { local IFS=,; echo "$*"; }

# One run; appends a JSON line. Clients of empty@* and redis@* are on the first node alone, so the others
# are beside it.
measure() { # SCENARIO SERVER NODES ROUND
    local who status=1 label="$1 $2-$3 $4"

    if start_nodes "$2" "$3" "$1"; then
        case $1 in
        empty@* | redis@*)
            who="--port ${node_ports[0]} --pid ${node_pids[0]} --beside $redis_pid"
            [ "$3" -eq 1 ] || who="$who --beside $(join "${node_pids[@]:1}")" ;;
        *)
            who="--port $(join "${node_ports[@]}") --pid $(join "${node_pids[@]}") --beside $redis_pid" ;;
        esac
        # shellcheck disable=SC2086,SC2046 # the options' words
        "$load" $who $(options "$1") $([ "$2" != floor ] || echo --proto floor) --warmup $warmup --duration "$seconds" --settle 0.3 --drain 20 \
            --label "$label" --json "$lines" --quiet >"$folder/last.txt" 2>&1
        status=$?
    fi
    stop_nodes
    grep -qF "\"$label\"" "$lines" || echo "{\"label\":\"$label\",\"aborted\":1}" >>"$lines"
    if [ $status -ne 0 ]; then
        echo "bench: $label: faults" >&2
        sed 's/^/    /' "$folder/last.txt" >&2
        faults=$((faults + 1))
    fi
    tail -n 1 "$lines" | awk -f bench/report/json.awk -f bench/cluster/line.awk >&2
}

run_all() {
    local scenario server nodes round

    for scenario in $scenarios; do
        for round in $(seq "$rounds"); do
            for server in $servers; do
                for nodes in $(sizes "$scenario" "$server"); do
                    measure "$scenario" "$server" "$nodes" "$round"
                done
            done
        done
    done
    echo "- $(date -u +%Y-%m-%d), $((SECONDS / 60)) min $((SECONDS % 60)) s in all; other programs used" \
        "$(awk -f bench/report/json.awk -f bench/report/other.awk "$lines")" >"$build/$name.when"
}

# Leaves out, and remembers why, what can't be had on this machine.
prepare() {
    mkdir -p "$build" "$results" && rm -rf "$folder" && mkdir -p "$folder" && folder=$(realpath "$folder") || return 1
    command -v redis-server >/dev/null || { echo 'bench: redis-server is missing: make deps-test' >&2; return 1; }
    [ -x "$roomcast" ] || { echo "bench: $roomcast is missing: make" >&2; return 1; }
    [ -n "${BENCH_LOAD:-}" ] ||
        ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$load" bench/load/*.c -lssl -lcrypto || return 1
    [ -n "${BENCH_FLOOR:-}" ] || ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$floor" bench/floor/*.c || return 1
    absent=''
    [[ " $servers " != *" socketio "* ]] || [ -d "$modules/@socket.io/redis-adapter" ] || install_packages || {
        echo 'bench: socketio is left out: npm could not install it' >&2
        absent='- socketio: not measured, npm could not install it'
        servers=${servers/socketio/}
    }
}

install_packages() {
    mkdir -p "$build/peers" && cp bench/peers/*.js bench/peers/package.json "$build/peers/" &&
        (cd "$build/peers" && npm install --no-audit --no-fund --loglevel=error) >&2 &&
        [ -d "$modules/@socket.io/redis-adapter" ]
}

version() { sed -n 's/^ *"version": "\(.*\)".*/\1/p' "$modules/$1/package.json" | head -n 1; }

report() {
    local scenario

    echo '# From node to node'
    echo
    echo "Made by \`bench/cluster/run.sh\`${args:+ with \`$args\`}; docs/performance.md says how to read it." \
        "Rounds: $rounds, each run $seconds s on freshly started nodes; medians, in brackets the least and the greatest."
    echo
    echo "- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors;" \
        "$(uname -sr); $(${CC:-cc} --version | head -n 1)"
    echo "- $("$roomcast" --version | head -n 1), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), 1 shard"
    echo "- $(redis-server --version | sed 's/^\(Redis\).*v=\([^ ]*\).*/\1 \2/'), nothing stored, by TCP on loopback"
    [[ " $servers " != *" socketio "* ]] ||
        echo "- socket.io $(version socket.io), @socket.io/redis-adapter $(version @socket.io/redis-adapter)," \
            "redis $(version redis), ws $(version ws) on node $(node --version)"
    cat "$build/$name.when" 2>/dev/null
    [ -z "$absent" ] || echo "$absent"
    echo
    {
        echo 'servers roomcast-1 roomcast-2 roomcast-4 roomcast-25 roomcast-100 socketio-2 floor-2'
        for scenario in $scenarios; do
            echo "title $scenario cpu $(title "$scenario")"
        done
    } | awk -f bench/report/json.awk -f bench/report/stats.awk -f bench/cluster/table.awk - "$lines"
    echo '## Commands'
    echo
    redis_port=6379
    echo "    roomcast: $(command_of roomcast)"
    echo "    socketio: $(command_of socketio)"
    [[ " $servers " != *" floor "* ]] || echo "    floor: $(command_of floor)"
    echo "    redis-server --save '' --appendonly no"
    echo
    for scenario in $scenarios; do
        echo "    $scenario: load --warmup $warmup --duration $seconds $(options "$scenario")"
    done
    echo
    # shellcheck disable=SC2016 # names of options
    echo 'Beside that `--port` and `--pid` with all nodes, and `--beside` with Redis; in empty@* and redis@* with the' \
        'first node, and the others in a `--beside` of their own.'
}

# In brackets, so that bash has read it all before the first run.
{
    args=$*
    for scenario in $scenarios; do
        options "$scenario" >/dev/null || { echo "bench: there is no scenario $scenario" >&2; exit 2; }
    done
    for server in $servers; do
        case $server in
        roomcast | socketio | floor) ;;
        *) echo "bench: there is no server $server" >&2; exit 2 ;;
        esac
    done
    prepare || exit 1
    if [ -z "$again" ]; then
        trap clean_up EXIT
        trap 'exit 130' INT TERM
        start_redis || { echo 'bench: redis-server does not start' >&2; exit 1; }
        : >"$lines"
        run_all
    fi
    report >"$results/$name.md"
    sed -n '/^## What was/,/^## /p' "$results/$name.md" | sed '$d'
    echo "bench: $results/$name.md; $faults runs with faults" >&2
    [ "$faults" -eq 0 ]
    exit
}
