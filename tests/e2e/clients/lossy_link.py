"""A bad network: two TUN interfaces whose packets are lost and delayed on the way to each other.

    lossy_link.py NAME NAMESPACE HERE THERE

NAME0 with the address HERE is in the caller's network namespace, NAME1 with THERE in NAMESPACE, which exists.
Prints "up". Commands on standard input: "loss PERCENT DELAY_MS JITTER_MS" and "cut", which loses all.
Ends, and takes the interfaces along, with the end of its input. For root.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
NAME, NAMESPACE, HERE, THERE = sys.argv[1:]


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def put_up(name, address, peer, *namespace):
    ip(*namespace, "address", "add", address, "peer", peer, "dev", name)
    ip(*namespace, "link", "set", name, "up", "mtu", "1400")


fds = [tun(NAME + "0"), tun(NAME + "1")]
ip("link", "set", NAME + "1", "netns", NAMESPACE)
put_up(NAME + "0", HERE, THERE)
put_up(NAME + "1", THERE, HERE, "-n", NAMESPACE)
ip("-n", NAMESPACE, "link", "set", "lo", "up")
print("up", flush=True)

loss, delay, jitter = 0.0, 0.0, 0.0
last = [0.0, 0.0]  # when the newest packet of each direction is due: they stay in order
queue = []
count = 0
poll = select.poll()
for source in (0, *fds):
    poll.register(source, select.POLLIN)
while True:
    wait = max(0, queue[0][0] - time.monotonic()) * 1000 if queue else 1000
    for source, _ in poll.poll(wait):
        if source == 0:
            words = os.read(0, 4096).decode().split()
            if not words:
                sys.exit(0)
            if words[0] == "cut":
                loss = 1.0
            else:
                loss, delay, jitter = float(words[1]) / 100, float(words[2]) / 1000, float(words[3]) / 1000
            continue
        way = fds.index(source)
        for _ in range(64):
            try:
                packet = os.read(source, 65536)
            except BlockingIOError:
                break
            if random.random() < loss:
                continue
            last[way] = max(last[way], time.monotonic() + delay + random.uniform(-jitter, jitter))
            count += 1
            heapq.heappush(queue, (last[way], count, way, packet))
    now = time.monotonic()
    while queue and queue[0][0] <= now:
        _, _, way, packet = heapq.heappop(queue)
        try:
            os.write(fds[1 - way], packet)
        except OSError:
            pass  # its queue is full: one more that is lost
