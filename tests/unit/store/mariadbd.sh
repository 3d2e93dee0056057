#!/bin/bash
# A MariaDB server of a test's own, in a folder of its own; nothing of the system's is touched.
#   mariadbd.sh start DIR [OPTION...]   makes DIR/data if need be; returns when DIR/socket answers
#   mariadbd.sh stop DIR                in order
#   mariadbd.sh kill DIR                at once
# Its account root has no password and may come by DIR/socket only; roomcast has the password secret.
set -eu

PATH=$PATH:/usr/sbin
what=$1
dir=$2
shift 2
as_root=()
[ "$(id -u)" -ne 0 ] || as_root=(--user=root)
log_size=--innodb-log-file-size=16M

missing() {
    echo "there is no $1: make deps-test installs it" >&2
    exit 1
}

wait_for() {
    local i
    for ((i = 0; i < 600; i++)); do
        "$@" && return
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
        sleep 0.1
    done
    cat "$dir/log" >&2
    exit 1
}

answers() { mariadb --no-defaults --socket="$dir/socket" -u root -e 'DO 1' >/dev/null 2>&1; }
gone() { ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

start() {
    local new=
    if [ ! -d "$dir/data" ]; then
        new=yes
        # A server begins by removing what others, it takes it, have left in its folder for such things.
        TMPDIR=$dir mariadb-install-db --no-defaults --datadir="$dir/data" --skip-test-db --skip-name-resolve \
            --auth-root-authentication-method=normal $log_size "${as_root[@]}" >"$dir/log" 2>&1 ||
            { cat "$dir/log" >&2 && exit 1; }
    fi
    mariadbd --no-defaults --datadir="$dir/data" --socket="$dir/socket" --tmpdir="$dir" \
        --skip-networking --skip-name-resolve --skip-log-bin --innodb-buffer-pool-size=32M \
        $log_size "${as_root[@]}" "$@" </dev/null >>"$dir/log" 2>&1 &
    echo $! >"$dir/pid"
    wait_for answers
    [ -z "$new" ] || mariadb --no-defaults --socket="$dir/socket" -u root -e \
        "CREATE USER roomcast@localhost IDENTIFIED BY 'secret';
         GRANT ALL ON \`rc\\_%\`.* TO roomcast@localhost"
}

for program in mariadbd mariadb-install-db mariadb; do
    command -v $program >/dev/null || missing $program
done
case $what in
start) start "$@" ;;
stop | kill)
    kill -"$([ "$what" = stop ] && echo TERM || echo KILL)" "$(cat "$dir/pid")"
    i=0
    until gone || [ $((i++)) -ge 600 ]; do sleep 0.1; done
    ;;
esac
