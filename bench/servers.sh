# servers.sh - the servers under test: what they need, how they are started. Sourced by run.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # used by, or set in, run.sh

known_servers='floor floor-send floor-writev floor-uring roomcast-1 roomcast-2 roomcast-4 roomcast-send'
known_servers="$known_servers socketio ws nchan"
nchan_module=/usr/lib/nginx/modules/ngx_nchan_module.so

# Makes server $1 ready to be started; else says why not, in one line.
prepare_server() {
    case $1 in
    floor-uring)
        # It tells at once when this kernel has no io_uring.
        timeout 0.3 "$build/floor" uring >/dev/null 2>&1
        [ $? -eq 124 ] || { echo 'the kernel does not permit io_uring'; return 1; } ;;
    roomcast-*) [ -x "$roomcast" ] || { echo "$roomcast is missing: make"; return 1; } ;;
    socketio) prepare_npm socket.io ;;
    ws) prepare_npm ws ;;
    nchan) prepare_nchan ;;
    esac
}

prepare_npm() {
    command -v npm >/dev/null || { echo 'there is no npm to install it with'; return 1; }
    mkdir -p "$build/peers"
    cp bench/peers/*.js bench/peers/package.json "$build/peers/"
    [ -d "$build/peers/node_modules/$1" ] ||
        (cd "$build/peers" && npm install --no-audit --no-fund --loglevel=error) >&2 ||
        { echo 'npm could not install it'; return 1; }
}

prepare_nchan() {
    [ -e "$nchan_module" ] || .ci/apt-install nginx libnginx-mod-nchan >&2
    { [ -e "$nchan_module" ] && command -v nginx >/dev/null; } ||
        { echo 'nginx and libnginx-mod-nchan could not be installed'; return 1; }
}

# Prints the command line of server $1 for scenario $2.
server_command() {
    case $1 in
    floor)      echo "$build/floor coalesce" ;;
    floor-*)    echo "$build/floor ${1#floor-}" ;;
    roomcast-send) # 1 shard, without io_uring
        echo "$roomcast -c bench/bench.ini -o server.shards=1 -o server.io_uring=no" \
            "$(roomcast_options "$2")" ;;
    roomcast-*) echo "$roomcast -c bench/bench.ini -o server.shards=${1#roomcast-}" \
                    "$(roomcast_options "$2")" ;;
    socketio)   echo "node $build/peers/socketio.js" ;;
    ws)         echo "node $build/peers/ws.js" ;;
    nchan)      echo "bench/peers/nchan.sh $build/nchan" ;;
    esac
}

server_version() {
    case $1 in
    floor)      echo 'a bare epoll loop, bench/floor' ;;
    floor-*)    ;;
    roomcast-1) echo "$("$roomcast" --version | head -n 1), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)" ;;
    roomcast-*) ;;
    socketio)   echo "socket.io $(npm_version socket.io), engine.io $(npm_version engine.io)," \
                    "ws $(npm_version ws) on node $(node --version)" ;;
    ws)         echo "ws $(npm_version ws) on node $(node --version)" ;;
    nchan)      echo "$(nginx -v 2>&1 | sed 's|^.*: ||'), libnginx-mod-nchan" \
                    "$(dpkg-query -W -f '${Version}' libnginx-mod-nchan 2>/dev/null)" ;;
    esac
}

npm_version() {
    sed -n 's/^ *"version": "\(.*\)".*/\1/p' "$build/peers/node_modules/$1/package.json"
}

# What keeps the client, or server $1, on one processor, if that is wanted.
pinned() {
    [ -n "$pin" ] || return
    case $1 in
    client)        echo "taskset -c $(($(nproc) - 1))" ;;
    roomcast-[2-9]) ;;
    *)             echo 'taskset -c 0' ;;
    esac
}

# Starts server $1 for scenario $2; sets server_pid and server_port.
start_server() {
    local log=$build/$1.log

    : >"$log" # or the port of the last run could be read from it
    # shellcheck disable=SC2046 # the command's words
    NODE_ENV=production exec $(pinned "$1") $(server_command "$1" "$2") 2>"$log" </dev/null &
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
