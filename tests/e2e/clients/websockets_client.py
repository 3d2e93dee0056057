"""python3-websockets against a server: one line "ok NAME" or "failed NAME: why" for each case.

    websockets_client.py URL        ws://HOST:PORT, with the endpoints /relay and /json
"""

import asyncio
import json
import os
import sys
import traceback

import websockets

URL = sys.argv[1]
ENGINE = URL + "/socket.io/?EIO=4&transport=websocket"
LIMIT = 20
ROOM = f"room {os.getpid()}"


async def recv(ws):
    """The next message that is no ping; those are answered."""
    while True:
        message = await asyncio.wait_for(ws.recv(), LIMIT)
        if message != "2":
            return message
        await ws.send("3")


async def join(url=ENGINE):
    ws = await websockets.connect(url, max_size=None)
    hello = await recv(ws)
    assert hello[0] == "0" and len(json.loads(hello[1:])["sid"]) == 20
    await ws.send("40")
    assert (await recv(ws)).startswith('40{"sid":"')
    return ws


async def case_session():
    ws = await join()
    await ws.send('421["ask",1,"ü"]')
    assert await recv(ws) == '431[1,"ü"]'
    await ws.send('40/chat,')
    assert (await recv(ws)).startswith('40/chat,{"sid"')
    await ws.send('42/chat,2["ask","there"]')
    assert await recv(ws) == '43/chat,2["there"]'
    await ws.close()


async def case_binary():
    ws = await join()
    await ws.send('451-["echo",{"_placeholder":true,"num":0}]')
    await ws.send(b"\x00\xff")
    assert await recv(ws) == '451-["echo",{"_placeholder":true,"num":0}]'
    assert await recv(ws) == b"\x00\xff"
    await ws.close()


async def case_fragments():
    ws = await join()

    async def pieces():
        for piece in ('421["a', 'sk","', "ü" * 1000, "", '"]'):
            yield piece
            await (await ws.ping())  # control frames in between

    await ws.send(pieces())
    assert await recv(ws) == '431["' + "ü" * 1000 + '"]'
    await ws.close()


async def case_rooms():
    all_of_them = [await join() for _ in range(6)]
    for ws in all_of_them:
        await ws.send(f'420["join","{ROOM}"]')
        assert (await recv(ws)).startswith("430[")
    for n in range(50):
        await all_of_them[n % 6].send(f'42["say","{ROOM}",{n}]')
        for ws in all_of_them:
            assert await recv(ws) == f'42["said",{n}]'
    for ws in all_of_them:
        await ws.close()


async def case_heartbeat():
    ws = await join()  # the server pings each 500 ms
    pings = 0
    for _ in range(4):
        assert await asyncio.wait_for(ws.recv(), LIMIT) == "2"
        await ws.send("3")
        pings += 1
    assert pings == 4
    await ws.close()


async def case_closes():
    for message, code in (("x", 1005), ('42["disconnect"]', 1005), ("4" * 1_000_001, 1009)):
        ws = await join()
        await ws.send(message)
        try:
            while True:
                await recv(ws)
        except websockets.ConnectionClosed:
            assert ws.close_code == code, (message[:20], ws.close_code)


async def case_relay():
    a, b = [await websockets.connect(URL + "/relay") for _ in range(2)]
    for message in ("hello", "ü👍", b"\x00\x01", "x" * 100_000):
        await a.send(message)
        assert await asyncio.wait_for(b.recv(), LIMIT) == message
    await a.close()
    await b.close()
    assert a.close_code == 1000


async def case_json():
    async def told(ws, kind):
        message = json.loads(await asyncio.wait_for(ws.recv(), LIMIT))
        assert message["type"] == kind, message
        return message

    a, b = [await websockets.connect(URL + "/json") for _ in range(2)]
    c = await join()  # a client of Socket.IO in the same room
    room = ROOM + " json"
    for n, ws in enumerate((a, b)):
        assert len((await told(ws, "connected"))["id"]) == 20
        await ws.send(json.dumps({"type": "join", "args": [room], "ack": n + 1}))
        assert (await told(ws, "ack"))["ack"] == n + 1
    await c.send(f'421["join","{room}"]')
    assert (await recv(c)).startswith("431[")
    for text in ("hello", "ü👍", "x" * 100_000):
        await a.send(json.dumps({"type": "say", "args": [room, text]}))
        for ws in (a, b):
            assert (await told(ws, "said"))["args"] == [text]
        assert json.loads((await recv(c))[2:]) == ["said", text]
    await c.send(f'42["say","{room}","back"]')
    assert (await told(b, "said"))["args"] == ["back"]
    await a.send("{")
    assert (await told(a, "said"))["args"] == ["back"]
    assert (await told(a, "error"))["code"]
    for ws in (a, b, c):
        await ws.close()
        assert ws.close_code == 1000


async def case_refusals():
    for path, status in (("/nothing", 404), ("/socket.io/?EIO=4&transport=tobi", 400)):
        try:
            await websockets.connect(URL + path)
            raise AssertionError(path)
        except websockets.InvalidStatusCode as e:
            assert e.status_code == status, (path, e.status_code)


async def main():
    for name, case in list(globals().items()):
        if not name.startswith("case_"):
            continue
        try:
            await asyncio.wait_for(case(), 3 * LIMIT)
            print("ok", name[5:], flush=True)
        except BaseException as e:  # pylint: disable=broad-except
            traceback.print_exc()
            print(f"failed {name[5:]}: {type(e).__name__} {e}".replace("\n", " "), flush=True)


asyncio.run(main())
