#!/bin/bash
# Installs, starts, upgrades, removes and purges a package in a fresh Debian of the running system's
# release, and has a systemd of that run its service: tests/package.sh PACKAGE. As root; with cgroup2,
# debootstrap and the mirror that apt uses. Four minutes. `make test-deb` calls this.
set -u -o pipefail

deb=$(realpath "$1") || exit 2
work=$(mktemp -d)
root=$work/root
pid='' boot='' # the daemon; a systemd
passed=0 failed=0

# shellcheck disable=SC2317 # called by trap
clean_up() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
    shut_down
    ! mountpoint -q "$root/proc" || umount "$root/proc" || return
    rm -rf "$work"
}
trap clean_up EXIT

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        sed 's/^/# /' "$work/output" | tail -n 30
        failed=$((failed + 1))
    fi
}

within=(chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C)
inside() { "${within[@]}" "$@"; }
is() { [ "$1" = "$2" ] || { echo "expected $2, but it is $1" && return 1; }; }
absent() {
    local f
    for f; do
        [ ! -e "$root$f" ] || { echo "$f is still there" && return 1; }
    done
}

# The folder of the distribution, as apt has it.
# shellcheck disable=SC2016 # apt-get's, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" | head -n 1)
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "# a fresh $release"
debootstrap --variant=minbase "$release" "$root" "$mirror" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log"
    echo "not ok - debootstrap"
    exit 1
}
cp -R /etc/apt/sources.list* /etc/apt/apt.conf.d "$root/etc/apt/" 2>/dev/null
cp "$deb" "$root/tmp/roomcast.deb"
mount -t proc proc "$root/proc" || exit 1

install_it() { inside apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold /tmp/roomcast.deb; }

starts() {
    local port status

    "${within[@]}" setpriv --reuid roomcast --regid roomcast --clear-groups --no-new-privs \
        roomcast -c /etc/roomcast/roomcast.ini -o server.listen=127.0.0.1:0 >"$work/daemon" 2>&1 &
    pid=$!
    for _ in $(seq 300); do
        port=$(sed -n 's/^.*listening on 127\.0\.0\.1:\([0-9]*\).*$/\1/p' "$work/daemon" | head -n 1)
        [ -z "$port" ] || break
        sleep 0.1
    done
    [ -n "$port" ] || { cat "$work/daemon" && return 1; }
    for path in /healthz / /socket.io/socket.io.min.js '/socket.io/?EIO=4&transport=polling'; do
        status=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port$path")
        is "$path $status" "$path 200" || return 1
    done
    kill "$pid" || return 1 # chroot, env and setpriv have become the daemon
    wait "$pid"
    status=$?
    pid=
    is "exit code $status" "exit code 0" || { cat "$work/daemon" && return 1; }
}

# ---- with a systemd, in namespaces of its own: boot.sh ----

shut_down() {
    [ -n "$boot" ] || return 0
    kill -KILL "$boot" 2>/dev/null
    wait "$boot" 2>/dev/null
    for _ in $(seq 50); do # what was in there is gone a little later
        find "$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/roomcast-test-$boot" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
    boot=
}

booted() {
    nsenter -t "$(pgrep -P "$boot" -o)" -m -u -i -p -C -n env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C SYSTEMD_PAGER= "$@"
}
property() { booted systemctl show -p "$1" --value roomcast; }
answers() { is "$(nsenter -t "$(pgrep -P "$boot" -o)" -n curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -w '%{http_code}' http://127.0.0.1:3000/healthz)" 200; }
wait_for() { # SECONDS COMMAND...: until it says yes
    local left=$(($1 * 10))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ $((left -= 1)) -gt 0 ] || { "$@" && return; booted journalctl -u roomcast -n 20; return 1; }
        sleep 0.1
    done
}
status_is() { is "$(property ActiveState) $(property StatusText)" "$1"; }

boots() {
    inside apt-get install -q -y --no-install-recommends systemd systemd-sysv dbus || return 1
    "$(dirname "$0")/boot.sh" "$root" >"$work/boot" 2>&1 &
    boot=$!
    wait_for 60 booted systemctl is-active multi-user.target || { cat "$work/boot" && return 1; }
}
is_up() {
    wait_for 30 status_is "active serving, $(nproc) shards" && answers
}
confined() {
    local got
    got=$(booted sed -n -E 's/^(NoNewPrivs|Seccomp|CapEff|CapBnd):\s*//p' "/proc/$(property MainPID)/status" | xargs)
    is "$got" "0000000000000400 0000000000000400 1 2" || return 1
    got=$(booted sed -n -E 's/^Uid:\s*([0-9]+).*/\1/p' "/proc/$(property MainPID)/status")
    is "$got" "$(inside id -u roomcast)" || return 1
    booted nsenter -t "$(property MainPID)" -m sh -c '! touch /etc/x 2>/dev/null && touch /var/lib/roomcast/x /run/roomcast/x'
}
reloads() {
    local before
    before=$(property MainPID)
    cp "$root/etc/roomcast/roomcast.ini" "$work/ini" && booted systemctl reload roomcast || return 1
    wait_for 30 booted sh -c 'journalctl -u roomcast | grep -q "reloaded$"' && is_up || return 1
    echo "[nonsense]" >>"$root/etc/roomcast/roomcast.ini"
    booted systemctl reload roomcast || return 1
    wait_for 30 status_is "active serving, $(nproc) shards; the last reload failed: see the log" && answers || return 1
    cat "$work/ini" >"$root/etc/roomcast/roomcast.ini"
    booted systemctl reload roomcast && is_up && is "$(property MainPID)" "$before"
}
comes_again() {
    mkdir -p "$root/etc/systemd/system/roomcast.service.d"
    printf '[Service]\nWatchdogSec=2\n' >"$root/etc/systemd/system/roomcast.service.d/test.conf"
    booted systemctl daemon-reload && booted systemctl restart roomcast && is_up || return 1
    sleep 5
    is "$(property NRestarts)" 0 || return 1
    booted sh -c 'kill -STOP "$0"' "$(property MainPID)" || return 1
    wait_for 30 is_again && is_up && booted sh -c 'journalctl -u roomcast | grep -q "Watchdog timeout"'
}
is_again() { is "$(property NRestarts)" 1; }
refuses() {
    echo "[nonsense]" >>"$root/etc/roomcast/roomcast.ini"
    ! booted systemctl restart roomcast || return 1
    sleep 3
    cat "$work/ini" >"$root/etc/roomcast/roomcast.ini"
    is "$(property ActiveState) $(property ExecMainStatus) $(property NRestarts)" "failed 2 0" || return 1
    booted systemctl start roomcast && is_up
}
stops() {
    booted systemctl stop roomcast && is "$(property ActiveState) $(property Result) $(property ExecMainStatus)" "inactive success 0"
}

check "update of the index" inside apt-get update -q
check "installs, with what it depends on" install_it
check "its user has no shell and no other home" \
    is "$(inside getent passwd roomcast | cut -d : -f 6-7)" /var/lib/roomcast:/usr/sbin/nologin
check "its folder is its own" is "$(inside stat -c '%U:%G %a' /var/lib/roomcast)" "roomcast:roomcast 750"
check "its configuration is for root and for it" \
    is "$(inside stat -c '%U:%G %a' /etc/roomcast/roomcast.ini)" "root:roomcast 640"
check "the configuration is good" inside roomcast --check
check "starts as that user, serves the page and the client, ends with 0" starts
check "its messages are its own" is "$(inside stat -c %U /var/lib/roomcast/messages.sqlite 2>&1)" roomcast
check "has manual pages" test -s "$root/usr/share/man/man8/roomcast.8.gz" -a -s "$root/usr/share/man/man5/roomcast.ini.5.gz"
check "has a unit" test -s "$root/usr/lib/systemd/system/roomcast.service"
echo "; mine" >>"$root/etc/roomcast/roomcast.ini"
check "installs again" install_it
check "keeps a configuration that was changed" grep -qx "; mine" "$root/etc/roomcast/roomcast.ini"
check "starts again" starts
check "a systemd boots with it installed" boots
check "and has started it: it says that it is ready" is_up
check "it can do little beyond its work" confined
check "systemctl reload, also of a broken configuration" reloads
check "the watchdog ends one that hangs, and it comes again" comes_again
check "with a broken configuration it is not tried again and again" refuses
check "systemctl stop ends it in order" stops
check "systemd finds no fault in its unit" booted systemd-analyze verify --man=no roomcast.service
check "and little exposed" booted systemd-analyze security --threshold=20 roomcast.service
shut_down
rm -rf "$root/etc/systemd/system/roomcast.service.d"
check "is removed" inside apt-get remove -q -y roomcast
check "what it has installed is gone" absent /usr/bin/roomcast /usr/share/roomcast /usr/share/doc/roomcast /usr/lib/systemd/system/roomcast.service
check "configuration and messages are kept" \
    test -s "$root/etc/roomcast/roomcast.ini" -a -s "$root/var/lib/roomcast/messages.sqlite"
check "is purged" inside apt-get purge -q -y roomcast
check "nothing is left" absent /etc/roomcast /var/lib/roomcast
check "nor its user" is "$(inside getent passwd roomcast)" ""
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
