#!/bin/bash
# The systemd of a folder with a whole Debian, booted in namespaces of its own: no network but loopback,
# no device of the machine. tests/boot.sh ROOT; as root, with cgroup2. It runs until it is killed; what
# is to be done in there, nsenter does. tests/package.sh starts this.
set -u
root=$1

if [ "${2:-}" != inside ]; then
    groups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    [ -n "$groups" ] || { echo "there is no cgroup2" && exit 1; }
    group=$groups/roomcast-test-$$
    mkdir "$group" && echo $$ >"$group/cgroup.procs" || exit 1
    exec unshare --mount --uts --ipc --pid --cgroup --net --fork --kill-child=KILL "$0" "$root" inside
fi
hostname roomcast-test
mount --make-rprivate /
mount --bind "$root" "$root" && cd "$root" || exit 1
# Those of the outer namespaces lie beneath.
mount -t proc proc proc && mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup || exit 1
mount -t tmpfs -o mode=755 tmpfs dev && mkdir dev/pts dev/shm || exit 1
for device in null zero full random urandom tty; do
    touch dev/$device && mount --bind /dev/$device dev/$device || exit 1
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts && ln -s pts/ptmx dev/ptmx
for folder in dev/shm run tmp; do mount -t tmpfs tmpfs $folder || exit 1; done
chmod 755 run && chmod 1777 tmp dev/shm
pivot_root . mnt && umount -l /mnt || exit 1
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=journal --show-status=0 --unit=multi-user.target
