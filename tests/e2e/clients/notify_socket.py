"""A service manager's socket: prints each datagram as a line of JSON.

notify_socket.py ADDRESS    a path, or @NAME for an abstract one
"""
import json
import socket
import sys

address = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\0" + address[1:] if address[0] == "@" else address)
print('"bound"', flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
