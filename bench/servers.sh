# servers.sh - the servers under test: each is started on a free port and waited for. Sourced by
# run.sh.
# shellcheck shell=bash disable=SC2034 # used by run.sh

known_servers='floor floor-send floor-writev floor-uring roomcast-1 roomcast-2 roomcast-4 socketio ws'

# Prints the command line of a server, or nothing when it can't be run here.
server_command() {
    case $1 in
    floor)      echo "$build/floor coalesce" ;;
    floor-*)    echo "$build/floor ${1#floor-}" ;;
    roomcast-*)
        [ -x "$roomcast" ] || return 1
        echo "$roomcast -c bench/bench.ini -o server.shards=${1#roomcast-}" ;;
    socketio)
        [ -d "$build/peers/node_modules/socket.io" ] || return 1
        echo "node $build/peers/socketio.js" ;;
    ws)
        [ -d "$build/peers/node_modules/ws" ] || return 1
        echo "node $build/peers/ws.js" ;;
    esac
}

# Starts server $1; sets server_pid and server_port.
start_server() {
    local log=$build/$1.log command

    command=$(server_command "$1") && [ -n "$command" ] || return 1
    : >"$log" # or the port of the last run could be read from it
    # shellcheck disable=SC2086 # the command's words
    NODE_ENV=production $command 2>"$log" </dev/null &
    server_pid=$!
    for _ in $(seq 200); do
        server_port=$(sed -n 's/^.*listening on 127\.0\.0\.1:\([0-9]*\).*$/\1/p' "$log" | head -n 1)
        [ -n "$server_port" ] && return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "bench: $1 did not start:" >&2
    tail -n 5 "$log" >&2
    stop_server
    return 1
}

stop_server() {
    [ -n "${server_pid:-}" ] || return 0
    kill -9 "$server_pid" 2>/dev/null
    wait "$server_pid" 2>/dev/null
    server_pid=
}
