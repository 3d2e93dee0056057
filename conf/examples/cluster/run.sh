#!/bin/bash
# Three roomcast nodes, nginx in front of them, Redis between them and MariaDB behind them, on this
# machine, until Ctrl-C: `make run-cluster`. README.md says what can be tried.
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd) || exit 1
top=$(cd "$here/../../.." && pwd) || exit 1
PATH=$PATH:/usr/sbin

usage() {
    cat <<END
usage: conf/examples/cluster/run.sh [PORT]

PORT is where nginx listens, default 3000. Environment:
  NODE_PORTS    of the nodes, on 127.0.0.1; default the three after PORT
  CLUSTER_DIR   data, logs and sockets; default build/cluster
  AGAIN         seconds after which what has ended starts again; default 10
  ROOMCAST      default build/roomcast
END
}

case ${1:-} in -h | --help) usage; exit 0 ;; esac
port=${1:-3000}
[[ $port =~ ^[0-9]+$ && $# -le 1 ]] || { usage >&2; exit 2; }
roomcast=${ROOMCAST:-$top/build/roomcast}
again=${AGAIN:-10}
read -ra ports <<<"${NODE_PORTS:-$((port + 1)) $((port + 2)) $((port + 3))}"
nodes=(node1 node2 node3)
dir=${CLUSTER_DIR:-$top/build/cluster}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1
as_root=() && [ "$(id -u)" -ne 0 ] || as_root=(--user=root)

say() { printf 'cluster: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

declare -A name_of pid_of # what runs, by process id and by name

# start NAME COMMAND...: in the background. It must not get the terminal's Ctrl-C, since all is ended in
# order then; and it ends with this script, even if that is killed.
start() {
    local name=$1
    shift
    setpriv --pdeathsig TERM setsid "$@" >>"$dir/$name.log" 2>&1 </dev/null 9>&- &
    pid_of[$name]=$!
    name_of[$!]=$name
}

# await NAME COMMAND...: until the command is true, for 30 s at most, and while NAME runs.
await() {
    local name=$1
    shift
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return 0
        kill -0 "${pid_of[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    say "$name does not start; the end of $dir/$name.log:" >&2
    tail -n 5 "$dir/$name.log" >&2
    return 1
}

told() { printf 'cluster: %-8s pid %-7s %s\n' "$1" "${pid_of[$1]}" "$2"; }

start_redis() {
    start redis redis-server --port 0 --unixsocket "$dir/redis.sock" --dir "$dir" --save '' --appendonly no
    await redis redis_answers && told redis "$dir/redis.sock"
}
redis_answers() { [ "$(redis-cli -s "$dir/redis.sock" PING)" = PONG ]; }

start_mariadb() {
    start mariadb mariadbd --no-defaults --datadir="$dir/mariadb" --socket="$dir/mariadb.sock" --skip-networking \
        --skip-log-bin --pid-file="$dir/mariadb.pid" --tmpdir="$dir/tmp" --innodb-buffer-pool-size=32M \
        ${as_root[@]+"${as_root[@]}"}
    await mariadb sql 'SELECT 1' && told mariadb "$dir/mariadb.sock"
}
sql() { mariadb --no-defaults --socket="$dir/mariadb.sock" --user=root -e "$1"; }

# The first time: its folder, the database, an account with a password that only this folder knows.
make_database() {
    [ -d "$dir/mariadb" ] || {
        say 'MariaDB makes its folder, once'
        rm -rf "$dir/mariadb.new"
        TMPDIR=$dir/tmp mariadb-install-db --no-defaults --datadir="$dir/mariadb.new" --skip-test-db \
            --auth-root-authentication-method=normal ${as_root[@]+"${as_root[@]}"} >"$dir/mariadb.log" 2>&1 &&
            mv "$dir/mariadb.new" "$dir/mariadb"
    }
}
make_account() {
    local password

    password=$(<"$dir/mariadb.password")
    sql "CREATE DATABASE IF NOT EXISTS roomcast CHARACTER SET utf8mb4;
         CREATE OR REPLACE USER roomcast@localhost IDENTIFIED BY '$password';
         GRANT ALL ON roomcast.* TO roomcast@localhost;"
}

secret() { # FILE
    [ -s "$1" ] || (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$1")
}

start_node() { # NAME
    local i=$((${1#node} - 1)) from=0

    [ ! -e "$dir/$1.log" ] || from=$(stat -c %s "$dir/$1.log")
    start "$1" "$roomcast" -c "$dir/roomcast.ini" -o "server.listen=127.0.0.1:${ports[i]}" -o "cluster.node=$1" \
        -o "admin.socket=$dir/$1.ctl" -o "server.static_root=$top/web" -o "cluster.redis=unix:$dir/redis.sock"
    await "$1" node_listens "$1" "$from" && told "$1" "http://127.0.0.1:${ports[i]}, log in $dir/$1.log"
}
node_listens() { tail -c +$(($2 + 1)) "$dir/$1.log" | grep -q "listening on 127.0.0.1:${ports[${1#node} - 1]}"; }

start_nginx() {
    start nginx nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/nginx.log"
    await nginx front_answers && told nginx "http://localhost:$port"
}
front_answers() {
    local answer

    exec 3<>"/dev/tcp/127.0.0.1/$port" || return
    printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3 && answer=$(timeout 2 cat <&3)
    exec 3>&-
    [[ ${answer:-} = 'HTTP/1.1 200 '*X-Node:* ]] # and no other server that has the port
}

start_again() {
    case $1 in
    node*) start_node "$1" ;;
    *)     "start_$1" ;;
    esac
}

# end NAME...: asks all of them, and waits; after 15 s they are ended.
end() {
    local name pids=()

    for name; do
        [ -z "${pid_of[$name]:-}" ] || pids+=("${pid_of[$name]}")
    done
    [ ${#pids[@]} -gt 0 ] || return
    kill "${pids[@]}" 2>/dev/null
    for _ in $(seq 150); do
        kill -0 "${pids[@]}" 2>/dev/null || return # of several it is true if one is there
        sleep 0.1 9>&-
    done
    kill -9 "${pids[@]}" 2>/dev/null
}

# shellcheck disable=SC2317 # called by trap
end_all() {
    trap '' INT TERM HUP
    [ ${#pid_of[@]} -eq 0 ] || say 'ends all of it'
    for pid in "${!name_of[@]}"; do
        [[ ${name_of[$pid]} != again:* ]] || kill "$pid" 2>/dev/null
    done
    end nginx "${nodes[@]}"
    end mariadb redis
}

how() { # STATUS
    if [ "$1" -gt 128 ]; then echo "by signal $(($1 - 128))"; else echo "with exit code $1"; fi
}

# Says what ends, and starts it again a while later, as a service manager would.
watch() {
    local ended status what

    while :; do
        ended=''
        wait -n -p ended 2>/dev/null
        status=$?
        [ -n "$ended" ] || continue
        what=${name_of[$ended]:-}
        unset "name_of[$ended]"
        case $what in
        '') ;;
        again:*) start_again "${what#again:}" ;;
        *)
            unset "pid_of[$what]"
            say "$what has ended $(how $status); it starts again in $again s"
            sleep "$again" 9>&- &
            name_of[$!]=again:$what ;;
        esac
    done
}

# In brackets, so that bash has read it all before it starts.
{
    [ ${#ports[@]} -eq 3 ] || fail 'NODE_PORTS: three are needed'
    [ ${#dir} -le 90 ] || fail "the path of $dir is too long for a Unix socket in it: set CLUSTER_DIR"
    for program in redis-server redis-cli mariadbd mariadb mariadb-install-db nginx setpriv "$roomcast"; do
        command -v "$program" >/dev/null || fail "$program is missing: make deps-cluster installs what Debian has, make builds roomcast"
    done
    exec 9>"$dir/lock"
    flock -n 9 || fail "one is running in $dir already"
    trap end_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    mkdir -p "$dir/tmp"
    secret "$dir/jwt.secret"
    secret "$dir/mariadb.password"
    { cat "$here/nodes.ini" && sed -n '/^; Rules: /,$p' "$top/conf/roomcast.ini"; } >"$dir/roomcast.ini"
    sed -e "s/3001/${ports[0]}/; s/3002/${ports[1]}/; s/3003/${ports[2]}/; s/\(listen .*\)3000;/\1$port;/" \
        "$here/nginx.conf" >"$dir/nginx.conf"

    start_redis || exit 1
    make_database || fail "mariadb-install-db: see $dir/mariadb.log"
    start_mariadb && make_account || exit 1
    for node in "${nodes[@]}"; do
        start_node "$node" || exit 1
    done
    start_nginx || exit 1
    say "open http://localhost:$port; Ctrl-C ends all of it"
    watch
}
