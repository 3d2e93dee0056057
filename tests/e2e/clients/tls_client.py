"""https and wss with what Python has: ssl alone, requests, python3-websockets, python3-socketio.

    tls_client.py PORT CA.pem      prints "ok NAME" for each; the endpoint /echo is there
"""

import asyncio
import http.client
import ssl
import sys

import aiohttp
import requests
import socketio
import websockets

PORT, CA = int(sys.argv[1]), sys.argv[2]
LIMIT = 60
context = ssl.create_default_context(cafile=CA)
context.set_alpn_protocols(["http/1.1"])

c = http.client.HTTPSConnection("localhost", PORT, context=context, timeout=LIMIT)
for _ in range(3):
    c.request("GET", "/healthz")
    answer = c.getresponse()
    assert answer.status == 200 and answer.read() == b"ok\n"
assert c.sock.selected_alpn_protocol() == "http/1.1"
assert c.sock.version() in ("TLSv1.2", "TLSv1.3")
c.close()
print("ok http.client")

r = requests.get(f"https://localhost:{PORT}/healthz", verify=CA, timeout=LIMIT)
assert r.text == "ok\n"
print("ok requests")


async def echo():
    async with websockets.connect(
        f"wss://localhost:{PORT}/echo", ssl=context, max_size=None, open_timeout=LIMIT
    ) as ws:
        for message in ("hello", "ü" * 70000, bytes(range(256)) * 4000):
            await ws.send(message)
            assert await asyncio.wait_for(ws.recv(), LIMIT) == message


asyncio.run(echo())
print("ok websockets")

http_session = requests.Session()
http_session.verify = CA
client = socketio.Client(http_session=http_session)
client.connect(f"https://localhost:{PORT}", transports=["polling"], wait_timeout=LIMIT)
assert client.call("ask", "a", timeout=LIMIT) == "a"
client.disconnect()


# The sync client reads a WebSocket in one thread and writes to it in another, which Python's ssl does not
# stand before 3.13: now and then a record is broken. The asyncio client has one thread.
async def upgrades():
    for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            client = socketio.AsyncClient(http_session=session)
            await client.connect(f"https://localhost:{PORT}", transports=transports, wait_timeout=LIMIT)
            assert await client.call("ask", "a", timeout=LIMIT) == "a"
            await client.disconnect()


asyncio.run(upgrades())
print("ok socketio")
