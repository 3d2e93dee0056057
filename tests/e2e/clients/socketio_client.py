"""python3-socketio against a server: one line "ok NAME" or "failed NAME: why" for each case.

    socketio_client.py URL sync|async polling|websocket|upgrade

The server has the rules of lib/vocabulary.mjs. On the line "cut" the caller cuts all connections
at URL, which is a proxy.
"""

import asyncio
import inspect
import os
import sys
import traceback

import engineio
import socketio

# Of itself it refuses a payload of more than 16 packets, which a server that is asked much and polled
# seldom sends; the npm server does, too.
engineio.payload.Payload.max_decode_packets = 1000

URL, KIND, MODE = sys.argv[1:]
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}[MODE]
LIMIT = 20
ROOM = f"room {os.getpid()}"
open_clients = []


async def done(value):
    """What the asyncio client returns is awaited; the other one has waited already."""
    return await value if inspect.isawaitable(value) else value


async def until(what, check):
    for _ in range(LIMIT * 100):
        if check():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(what)


class InOrder(engineio.Client):
    """The sync client starts a thread for each packet, and these may overtake each other: not even the
    attachments of one event are sure to stay in order. What the server sends in which order can only be
    seen without them."""

    def _trigger_event(self, event, *args, run_async=False):
        return super()._trigger_event(event, *args, run_async=False)


class SyncClient(socketio.Client):
    def _engineio_client_class(self):
        return InOrder


def new_client(**options):
    make = socketio.AsyncClient if KIND == "async" else SyncClient
    sio = make(reconnection_delay=0.05, reconnection_delay_max=0.2, **options)
    sio.got = []  # [namespace, event, args...] in the order in which they came

    def hear(namespace):
        @sio.on("*", namespace=namespace)
        def on_any(event, *args):
            sio.got.append([namespace, event, *args])

        for name in ("connect", "disconnect"):
            sio.on(name, lambda name=name: sio.got.append([namespace, name]), namespace=namespace)

    for namespace in ("/", "/chat", "/greet"):
        hear(namespace)
    open_clients.append(sio)
    return sio


async def connect(namespaces=("/",), auth=None, **options):
    sio = new_client(**options)
    await done(sio.connect(URL, transports=TRANSPORTS, namespaces=list(namespaces), auth=auth,
                           wait_timeout=LIMIT))
    return sio


def count(sio, event):
    return sum(1 for got in sio.got if got[1] == event)


async def call(sio, event, *args, namespace="/"):
    return await done(sio.call(event, args if len(args) != 1 else args[0], namespace=namespace,
                               timeout=LIMIT))


async def case_connect():
    sio = await connect(["/", "/greet"], auth={"name": "py"})
    assert sio.transport() == ("polling" if MODE == "polling" else "websocket"), sio.transport()
    assert len(sio.sid) == 20
    assert sio.get_sid("/") != sio.sid, "the ids of Engine.IO and Socket.IO differ"
    await until("welcome", lambda: count(sio, "welcome"))
    welcome = [got for got in sio.got if got[1] == "welcome"][0]
    assert welcome == ["/greet", "welcome", {"id": sio.get_sid("/greet"), "name": "py"}], welcome


VALUES = ["text", "ünïcödé 漢字 👍", "", 0, -1.5, 2**53, True, None, [], {}, [1, ["2", {"3": None}]],
          {"a": {"b": [1, 2]}, "c": '"\\\n\u2028'}]


async def case_events():
    sio = await connect()
    for value in VALUES:
        await done(sio.emit("echo", (value, 1)))
    await until("echoes", lambda: count(sio, "echo") == len(VALUES))
    got = [got[2] for got in sio.got if got[1] == "echo"]
    assert got == VALUES, got


async def case_acks():
    sio = await connect()
    for value in VALUES[:-4]:
        assert await call(sio, "ask", value, 7) == (value, 7)
    assert await call(sio, "ask") in (None, ())
    answers = []
    for n in range(50):
        await done(sio.emit("ask", n, callback=answers.append))
    await until("callbacks", lambda: len(answers) == 50)
    assert answers == list(range(50)), answers
    assert (await call(sio, "nothing"))["error"] == "unknown_event"


async def case_binary():
    sio = await connect()
    blobs = [b"", b"\0", bytes(range(256)), bytes(100_000)]
    for blob in blobs:
        assert await call(sio, "ask", blob) == blob
    assert await call(sio, "ask", {"a": [b"1", {"b": b"2"}], "c": "3"}, b"4") == (
        {"a": [b"1", {"b": b"2"}], "c": "3"}, b"4")
    for blob in blobs:
        await done(sio.emit("echo", [blob, "x", blob]))
    await until("echoes", lambda: count(sio, "echo") == len(blobs))
    assert [got[2] for got in sio.got if got[1] == "echo"] == [[blob, "x", blob] for blob in blobs]


async def case_rooms():
    a, b, c = [await connect() for _ in range(3)]
    for sio in (a, b):
        assert (await call(sio, "join", ROOM))["ok"]
    for n in range(20):
        await done(c.emit("say", (ROOM, n, b"blob")))
    await call(c, "ask", 1)
    for sio in (a, b):
        await until("messages", lambda sio=sio: count(sio, "said") == 20)
        assert [got[2:] for got in sio.got if got[1] == "said"] == [[n, b"blob"] for n in range(20)]
    await call(a, "leave", ROOM)
    await done(c.emit("tell", (ROOM, "last")))
    await until("the last one", lambda: count(b, "said") == 21)
    await call(a, "ask", 1)
    assert count(a, "said") == 20 and count(c, "said") == 0


async def case_namespaces():
    sio = await connect(["/", "/chat"])
    assert await call(sio, "ask", "root") == "root"
    assert await call(sio, "ask", "chat", namespace="/chat") == "chat"
    await done(sio.emit("echo", "a", namespace="/chat"))
    await done(sio.emit("echo", "b"))
    await until("echoes", lambda: count(sio, "echo") == 2)
    assert ["/chat", "echo", "a"] in sio.got and ["/", "echo", "b"] in sio.got
    refused = new_client(reconnection=False)
    try:
        await done(refused.connect(URL, transports=TRANSPORTS, namespaces=["/unknown"], wait_timeout=3))
        raise AssertionError("an unknown namespace was joined")
    except socketio.exceptions.ConnectionError:
        pass


async def case_disconnects():
    sio = await connect(["/", "/chat"])
    await done(sio.emit("bye"))
    await until("the end of one namespace", lambda: ["/", "disconnect"] in sio.got)
    assert await call(sio, "ask", 1, namespace="/chat") == 1
    other = await connect()
    await done(other.disconnect())
    await until("the own end", lambda: ["/", "disconnect"] in other.got)
    last = await connect(reconnection=False)
    await done(last.emit("hangup"))
    await until("the end", lambda: ["/", "disconnect"] in last.got)


async def case_heartbeat():
    sio = await connect()  # the server pings each 500 ms
    await asyncio.sleep(2.2)
    assert await call(sio, "ask", 1) == 1
    assert count(sio, "connect") == 1 and count(sio, "disconnect") == 0


async def case_large():
    sio = await connect()
    text = "x" * 900_000
    assert await call(sio, "ask", text) == text
    for n in range(300):
        await done(sio.emit("echo", n))
    await until("echoes", lambda: count(sio, "echo") == 300)
    assert [got[2] for got in sio.got if got[1] == "echo"] == list(range(300))


async def case_reconnect():
    sio = await connect(["/", "/chat"])
    first = sio.get_sid("/")
    # A cut between two polls is none: the next poll takes another connection. And the client gives
    # each attempt a second, so that a busy machine may see it try again.
    for _ in range(LIMIT):
        print("cut", flush=True)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if count(sio, "disconnect") >= 1:
                break
        else:
            continue
        break
    await until("another connect", lambda: count(sio, "connect") >= 4 and len(sio.namespaces) == 2)
    assert sio.get_sid("/") != first
    assert await call(sio, "ask", "again") == "again"
    assert await call(sio, "ask", "again", namespace="/chat") == "again"


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
        for sio in open_clients:
            try:
                await asyncio.wait_for(done(sio.disconnect()), LIMIT)
            except BaseException as e:  # pylint: disable=broad-except
                print(f"failed {name[5:]}: at the end: {type(e).__name__} {e}", flush=True)
        open_clients.clear()


asyncio.run(main())
