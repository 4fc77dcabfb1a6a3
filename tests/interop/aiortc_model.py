"""The model's peer on aiortc: one short call with sound both ways and events on the data channel.

Speaks just enough of OpenAI's Realtime API for a client to hold a call: `POST /v1/realtime/calls` (multipart `sdp`, `session`),
`POST /v1/realtime/calls/{id}/hangup`, the channel `oai-events`. `GET /report` tells what it saw. Prints `listening PORT` when ready.
"""

import array
import asyncio
import fractions
import json
import math
import time

import aioice.ice
import aiortc
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame

RATE = 48_000
FRAME = RATE // 50
TONE_HZ = 440.0
TONE_FRAMES = 100
TRANSCRIPT = "a tone of four hundred and forty hertz"
# Real sessions echo long instructions: the client must take a message of many SCTP chunks.
INSTRUCTIONS = "You are a tone. " * 2_500

# aiortc offers no loopback address, which is right on a real host and leaves nothing on one without a network.
_gathered = aioice.ice.get_host_addresses
aioice.ice.get_host_addresses = lambda *args, **kwargs: _gathered(*args, **kwargs) or ["127.0.0.1"]


class Voice(MediaStreamTrack):
    """20 ms frames in real time: a tone while one is asked for, silence otherwise."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.start = None
        self.sent = 0
        self.tone = 0
        self.phase = 0
        self.drained = asyncio.Event()

    async def recv(self):
        if self.start is None:
            self.start = time.monotonic()
        await asyncio.sleep(max(0.0, self.start + self.sent * 0.02 - time.monotonic()))
        samples = array.array("h", bytes(2 * FRAME))
        if self.tone > 0:
            for i in range(FRAME):
                samples[i] = int(8_000 * math.sin(2 * math.pi * TONE_HZ * (self.phase + i) / RATE))
            self.phase += FRAME
            self.tone -= 1
            if self.tone == 0:
                self.drained.set()
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate = RATE
        frame.pts = self.sent * FRAME
        frame.time_base = fractions.Fraction(1, RATE)
        self.sent += 1
        return frame


class Call:
    """One session and what was seen in it."""

    def __init__(self, offer, session):
        self.offer = offer
        self.session = session
        self.peer = RTCPeerConnection()
        self.voice = Voice()
        self.heard = array.array("h")
        self.heard_rate = RATE
        self.frames = 0
        self.events = []
        self.largest_event = 0
        self.label = None
        self.channel = None
        self.channel_closed = False
        self.tasks = set()

    async def answer(self):
        self.peer.addTrack(self.voice)
        self.peer.on("track", lambda track: self.spawn(self.listen(track)))
        self.peer.on("datachannel", self.opened)
        await self.peer.setRemoteDescription(RTCSessionDescription(self.offer, "offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return self.peer.localDescription.sdp

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def opened(self, channel):
        self.channel = channel
        self.label = channel.label
        channel.on("message", self.event)
        channel.on("close", self.closed)
        self.send("session.created", session={**self.session, "id": "sess_1", "instructions": INSTRUCTIONS})

    def closed(self):
        self.channel_closed = True

    def send(self, kind, **fields):
        self.channel.send(json.dumps({"type": kind, "event_id": f"event_{kind}", **fields}))

    def event(self, message):
        self.largest_event = max(self.largest_event, len(message))
        kind = json.loads(message)["type"]
        self.events.append(kind)
        if kind == "response.create":
            self.spawn(self.respond())

    async def respond(self):
        self.send("response.created", response={"id": "resp_1", "status": "in_progress"})
        self.send("output_audio_buffer.started", response_id="resp_1")
        self.voice.tone = TONE_FRAMES
        self.send("response.output_audio_transcript.done", response_id="resp_1", item_id="item_1", transcript=TRANSCRIPT)
        self.send("response.done", response={"id": "resp_1", "status": "completed", "output": []})
        await self.voice.drained.wait()
        self.send("output_audio_buffer.stopped", response_id="resp_1")

    async def listen(self, track):
        while True:
            try:
                frame = await track.recv()
            except aiortc.mediastreams.MediaStreamError:
                return
            samples = array.array("h", bytes(frame.planes[0])[: 2 * frame.samples * len(frame.layout.channels)])
            # G.711 stays at 8 kHz.
            self.heard_rate = frame.sample_rate
            self.heard.extend(samples[:: len(frame.layout.channels)])
            self.frames += 1

    def report(self):
        return {
            "offer": self.offer,
            "session": self.session,
            "state": self.peer.connectionState,
            "channel": self.label,
            "channel_closed": self.channel_closed,
            "events": self.events,
            "largest_event": self.largest_event,
            "frames": self.frames,
            **tone(self.heard, self.heard_rate),
        }


def tone(samples, rate):
    """Seconds of loud sound and its frequency by zero crossings, over whole 20 ms blocks."""
    size = rate // 50
    seconds = crossings = spans = 0.0
    for start in range(0, len(samples) - size, size):
        block = samples[start : start + size]
        if math.sqrt(sum(s * s for s in block) / size) < 1_000:
            continue
        seconds += 0.02
        rising = [i - block[i] / (block[i] - block[i - 1]) for i in range(1, size) if block[i - 1] < 0 <= block[i]]
        if len(rising) > 1:
            crossings += len(rising) - 1
            spans += (rising[-1] - rising[0]) / rate
    return {"tone_seconds": round(seconds, 2), "tone_hz": round(crossings / spans, 1) if spans else 0.0}


calls = {}


async def create(request):
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        return web.json_response({"error": {"type": "invalid_request_error", "code": "invalid_api_key"}}, status=401)
    parts = await request.post()
    text = {name: p if isinstance(p, str) else bytes(p.file.read() if hasattr(p, "file") else p).decode() for name, p in parts.items()}
    call = Call(text["sdp"], json.loads(text["session"]))
    name = f"rtc_{len(calls) + 1}"
    calls[name] = call
    answer = await call.answer()
    headers = {"Location": f"/v1/realtime/calls/{name}", "Content-Type": "application/sdp"}
    return web.Response(status=201, body=answer.encode(), headers=headers)


async def hang_up(request):
    call = calls.get(request.match_info["id"])
    if call is None:
        return web.json_response({"error": {"code": "call_id_not_found"}}, status=404)
    await call.peer.close()
    return web.Response()


async def report(_request):
    return web.json_response({"stack": f"aiortc {aiortc.__version__}", "calls": [c.report() for c in calls.values()]})


async def main():
    app = web.Application()
    app.router.add_post("/v1/realtime/calls", create)
    app.router.add_post("/v1/realtime/calls/{id}/hangup", hang_up)
    app.router.add_get("/report", report)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("listening", site._server.sockets[0].getsockname()[1], flush=True)
    # The parent holds our standard input: when it dies, so do we.
    await asyncio.get_running_loop().run_in_executor(None, __import__("sys").stdin.read)
    for call in calls.values():
        await call.peer.close()


asyncio.run(main())
