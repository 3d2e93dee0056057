#!/bin/bash
# Measures what is stored and acknowledged per second, and how long an ack takes, beside bare SQLite
# that inserts the same rows. Under two minutes. See bench/README.md.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1

build=${BENCH_BUILD:-build/bench}
roomcast=${ROOMCAST:-build/release/roomcast}
results=${RESULTS:-bench/results}
PATH=$PATH:/usr/sbin

usage() {
    cat <<END
usage: bench/store/run.sh [options]

  -s NAME,...     only these scenarios: $scenarios
  -e NAME,...     only these stores: $engines
  -n ROUNDS       of the scenarios that have a bar, default $rounds; the others have one
  -d SECONDS      default $seconds
  -o NAME         $results/NAME.md and .jsonl, default $name

Environment: ROOMCAST (build/release/roomcast), BENCH_BUILD (build/bench), RESULTS (bench/results)
END
}

scenarios='closed-1000 open-10000 open-20000 open-2000 named-1000 closed-100 chat'
engines='sqlite mariadb'
rounds=3 seconds=3 warmup=1 name=store
while getopts s:e:n:d:o:h option; do
    case $option in
    s) scenarios=${OPTARG//,/ } ;;
    e) engines=${OPTARG//,/ } ;;
    n) rounds=$OPTARG ;;
    d) seconds=$OPTARG ;;
    o) name=$OPTARG ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done

# load options of a scenario; status 1: there is none of this name
options() {
    case $1 in
    closed-1000) echo --rooms 1000 --members 1 --outstanding 4 ;;
    open-10000)  echo --rooms 1000 --members 1 --rate 10000 ;;
    open-2000)   echo --rooms 1000 --members 1 --rate 2000 ;;
    open-20000)  echo --rooms 1000 --members 1 --rate 20000 ;;
    named-1000)  echo --rooms 1000 --members 1 --outstanding 4 ;;
    closed-100)  echo --rooms 100 --members 1 --outstanding 4 ;;
    chat)        echo --rooms 100 --members 10 --senders 10 --size 256 --rate 2000 ;;
    *) return 1 ;;
    esac
}

title() {
    case $1 in
    closed-1000) echo '1,000 connections, closed loop, 4 outstanding each' ;;
    open-10000)  echo '1,000 connections, 10,000 messages/s' ;;
    open-2000)   echo '1,000 connections, 2,000 messages/s' ;;
    open-20000)  echo '1,000 connections, 20,000 messages/s' ;;
    named-1000)  echo '1,000 connections of a user, closed loop, each message with a client id' ;;
    closed-100)  echo '100 connections, closed loop' ;;
    chat)        echo '100 rooms × 10 members who all talk, 256 B, 2,000 messages/s' ;;
    esac
}

# MariaDB has no bar, and is slower: what would only be an overload is left out.
wanted() {
    case $1:$2 in
    mariadb:open-10000 | mariadb:open-20000 | mariadb:chat | mariadb:closed-100 | sqlite:open-2000) return 1 ;;
    esac
}

has_bar() { [ "$1" = sqlite ] && { [ "$2" = closed-1000 ] || [ "$2" = open-10000 ]; }; }

folder=$build/store-data
lines=$results/$name.jsonl
server_pid='' mariadb_pid='' faults=0
secret=0123456789abcdef0123456789abcdef

start_mariadb() {
    local own=(--innodb-log-file-size=64M)

    [ -z "$mariadb_pid" ] || return 0
    command -v mariadbd >/dev/null || return 1
    [ "$(id -u)" -ne 0 ] || own+=(--user=root)
    TMPDIR=$folder mariadb-install-db --no-defaults --datadir="$folder/mariadb" --skip-test-db \
        --auth-root-authentication-method=normal "${own[@]}" >/dev/null 2>&1 || return 1
    TMPDIR=$folder mariadbd --no-defaults --datadir="$folder/mariadb" --socket="$folder/socket" --skip-networking \
        --skip-log-bin --pid-file="$folder/pid" --log-error="$folder/mariadb.log" "${own[@]}" 2>/dev/null &
    mariadb_pid=$!
    for _ in $(seq 200); do
        sql 'SELECT 1' >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

sql() { mariadb --no-defaults --socket="$folder/socket" --user=root --skip-column-names -e "$1"; }

# Prints the options of a new, empty store.
fresh() {
    case $1 in
    sqlite)
        rm -f "$folder"/store.db*
        echo "-o store.engine=sqlite -o store.path=$folder/store.db" ;;
    mariadb)
        sql 'DROP DATABASE IF EXISTS roomcast; CREATE DATABASE roomcast' || return 1
        echo "-o store.engine=mariadb -o store.socket=$folder/socket -o store.user=root" ;;
    esac
}

stored() {
    case $1 in
    sqlite)  sqlite3 "$folder/store.db" 'SELECT COUNT(*) FROM message' ;;
    mariadb) sql 'SELECT COUNT(*) FROM roomcast.message' ;;
    esac
}

start_server() { # STORE INI OPTION...
    local log=$folder/server.log store

    store=$(fresh "$1") || return 1
    : >"$log"
    # shellcheck disable=SC2086 # its words
    "$roomcast" -c "$2" -o server.shards=1 $store "${@:3}" 2>"$log" &
    server_pid=$!
    for _ in $(seq 200); do
        server_port=$(sed -n 's/^.*listening on 127\.0\.0\.1:\([0-9]*\).*$/\1/p' "$log" | head -n 1)
        [ -n "$server_port" ] && return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "bench: roomcast did not start:" >&2
    tail -n 5 "$log" >&2
    stop_server
    return 1
}

stop_server() {
    [ -z "$server_pid" ] || { kill "$server_pid" && wait "$server_pid"; }
    server_pid=
}

# shellcheck disable=SC2317 # called by trap
clean_up() {
    stop_server
    [ -z "$mariadb_pid" ] || { kill "$mariadb_pid" && wait "$mariadb_pid"; }
    rm -rf "$folder"
}

measure() { # STORE SCENARIO ROUND
    local ini=bench/store/store.ini more=() auth=() line status

    if [ "$2" = named-1000 ]; then # what is named belongs to a user
        ini=$folder/named.ini
        sed 's/room {1}:/room {1} once {2}:/' bench/store/store.ini >"$ini"
        more=(-o auth.mode=required -o "auth.secret=$secret")
        auth=(--auth "{\"token\":\"$("$roomcast" token "${more[@]}" --user bench)\"}")
    fi
    start_server "$1" "$ini" ${more[@]+"${more[@]}"} || { faults=$((faults + 1)) && return; }
    # shellcheck disable=SC2046 # the options' words
    "$build/load" --port "$server_port" --pid "$server_pid" --ack $(options "$2") ${auth[@]+"${auth[@]}"} \
        --warmup $warmup --duration "$seconds" --settle 0.3 --drain 20 --label "$1 $2 $3" \
        --json "$folder/line" --quiet >"$folder/last.txt" 2>&1
    status=$?
    stop_server
    line=$(tail -n 1 "$folder/line") && rm -f "$folder/line"
    line="${line%\}},\"stored\":$(stored "$1")}"
    echo "$line" >>"$lines"
    echo "$line" | awk -f bench/report/json.awk -f bench/store/line.awk >&2 || status=1
    [ $status -eq 0 ] || { sed 's/^/    /' "$folder/last.txt" >&2 && faults=$((faults + 1)); }
}

# On a copy of an empty store: the same tables and indexes.
floor() {
    start_server sqlite bench/store/store.ini && stop_server &&
        "$build/store-floor" "$folder/store.db" 1 64 64 256 1024 >>"$lines"
}

run_all() {
    local engine scenario round

    for round in $(seq "$rounds"); do
        floor || faults=$((faults + 1))
        for engine in $engines; do
            [ "$engine" != mariadb ] || start_mariadb || {
                echo 'bench: MariaDB is left out: there is no mariadbd, or it does not start' >&2
                engines=sqlite
                continue
            }
            for scenario in $scenarios; do
                wanted "$engine" "$scenario" || continue
                [ "$round" -eq 1 ] || has_bar "$engine" "$scenario" || continue
                measure "$engine" "$scenario" "$round"
            done
        done
    done
}

report() {
    local scenario

    echo '# The store'
    echo
    echo "Made by \`bench/store/run.sh\`${args:+ with \`$args\`}; docs/performance.md says how to read it." \
        'Medians, in brackets the least and the greatest.'
    echo
    echo "- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors;" \
        "$(uname -sr); the files are on $(stat -f -c %T "$folder")"
    echo "- $("$roomcast" --version | head -n 1), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), 1 shard"
    echo "- SQLite $(sqlite3 --version | cut -d' ' -f1), WAL, synchronous=FULL;" \
        "$(mariadbd --version 2>/dev/null | sed 's/^.*Ver \([^ ]*\).*/MariaDB \1, a commit is a flush/' || echo 'no MariaDB')"
    echo "- $(date -u +%Y-%m-%d), $SECONDS s in all; other programs used" \
        "$(grep '"sqlite ' "$lines" | awk -f bench/report/json.awk -f bench/report/other.awk)"
    echo
    for scenario in $scenarios; do
        echo "title $scenario $(title "$scenario")"
    done | awk -f bench/report/json.awk -f bench/store/table.awk - "$lines"
    echo '## Commands'
    echo
    for scenario in $scenarios; do
        echo "    $scenario: load --ack --warmup $warmup --duration $seconds $(options "$scenario")"
    done
    echo
    # shellcheck disable=SC2016 # a word of the rule
    echo 'Messages have 64 bytes if nothing else is said. named-1000 has `once {2}` in its rule, and a token.'
}

{
    args=$*
    for scenario in $scenarios; do
        options "$scenario" >/dev/null || { echo "bench: there is no scenario $scenario" >&2; exit 2; }
    done
    command -v sqlite3 >/dev/null || { echo 'bench: sqlite3 is missing: make deps-test' >&2; exit 1; }
    mkdir -p "$results" && rm -rf "$folder" && mkdir -p "$folder" && folder=$(realpath "$folder") || exit 1
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$build/load" bench/load/*.c -lssl -lcrypto || exit 1
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -o "$build/store-floor" bench/store/floor.c bench/load/hist.c -lsqlite3 || exit 1
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    : >"$lines"
    run_all
    report >"$results/$name.md"
    sed -n '/^## What was/,/^## Fig/p' "$results/$name.md" | sed '$d'
    echo "bench: $results/$name.md; $faults runs with faults" >&2
    [ "$faults" -eq 0 ]
    exit
}
