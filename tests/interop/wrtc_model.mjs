// The model's peer on libwebrtc: one short call with sound both ways and events on the data channel.
//
// Speaks just enough of OpenAI's Realtime API for a client to hold a call: `POST /v1/realtime/calls` (multipart `sdp`, `session`),
// `POST /v1/realtime/calls/{id}/hangup`, the channel `oai-events`. `GET /report` tells what it saw. Prints `listening PORT` when ready.
// Its packages are in the folder that ARIA_INTEROP_NODE names.

import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.ARIA_INTEROP_NODE ?? process.cwd(), "package.json"));
const wrtc = require("@roamhq/wrtc");
const { version } = require("@roamhq/wrtc/package.json");
const { RTCAudioSink, RTCAudioSource } = wrtc.nonstandard;

const RATE = 48_000;
const FRAME = RATE / 100; // libwebrtc works in 10 ms frames
const TONE_HZ = 440;
const TONE_FRAMES = 200;
const TRANSCRIPT = "a tone of four hundred and forty hertz";
// Real sessions echo long instructions: the client must take a message of many SCTP chunks.
const INSTRUCTIONS = "You are a tone. ".repeat(2_500);

class Voice {
  source = new RTCAudioSource();
  track = this.source.createTrack();
  start = performance.now();
  sent = 0;
  tone = 0;
  phase = 0;
  drained = () => {};
  timer = setInterval(() => this.catchUp(), 5);

  // Frames in real time: a tone while one is asked for, silence otherwise.
  catchUp() {
    for (; this.sent * 10 <= performance.now() - this.start; this.sent += 1) {
      const samples = new Int16Array(FRAME);
      if (this.tone > 0) {
        for (let i = 0; i < FRAME; i += 1) samples[i] = 8_000 * Math.sin((2 * Math.PI * TONE_HZ * (this.phase + i)) / RATE);
        this.phase += FRAME;
        this.tone -= 1;
        if (this.tone === 0) this.drained();
      }
      this.source.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: FRAME });
    }
  }

  stop() {
    clearInterval(this.timer);
    this.track.stop();
  }
}

class Call {
  peer = new wrtc.RTCPeerConnection();
  voice = new Voice();
  tone = new Tone();
  frames = 0;
  events = [];
  largestEvent = 0;
  channel = null;
  channelClosed = false;

  constructor(offer, session) {
    this.offer = offer;
    this.session = session;
  }

  async answer() {
    this.peer.addTrack(this.voice.track, new wrtc.MediaStream({ id: "realtimeapi" }));
    this.peer.ontrack = ({ track }) => {
      this.sink = new RTCAudioSink(track);
      this.sink.ondata = (data) => {
        this.frames += 1;
        this.tone.hear(data);
      };
    };
    this.peer.ondatachannel = ({ channel }) => this.opened(channel);
    await this.peer.setRemoteDescription({ type: "offer", sdp: this.offer });
    await this.peer.setLocalDescription(await this.peer.createAnswer());
    if (this.peer.iceGatheringState !== "complete") {
      await new Promise((done) => {
        this.peer.onicegatheringstatechange = () => this.peer.iceGatheringState === "complete" && done();
      });
    }
    return this.peer.localDescription.sdp;
  }

  opened(channel) {
    this.channel = channel;
    channel.onmessage = ({ data }) => this.event(data);
    channel.onclose = () => (this.channelClosed = true);
    const greet = () => this.send("session.created", { session: { ...this.session, id: "sess_1", instructions: INSTRUCTIONS } });
    if (channel.readyState === "open") greet();
    else channel.onopen = greet;
  }

  send(type, fields) {
    this.channel.send(JSON.stringify({ type, event_id: `event_${type}`, ...fields }));
  }

  event(message) {
    this.largestEvent = Math.max(this.largestEvent, message.length);
    const { type } = JSON.parse(message);
    this.events.push(type);
    if (type === "response.create") this.respond();
  }

  async respond() {
    this.send("response.created", { response: { id: "resp_1", status: "in_progress" } });
    this.send("output_audio_buffer.started", { response_id: "resp_1" });
    const drained = new Promise((done) => (this.voice.drained = done));
    this.voice.tone = TONE_FRAMES;
    this.send("response.output_audio_transcript.done", { response_id: "resp_1", item_id: "item_1", transcript: TRANSCRIPT });
    this.send("response.done", { response: { id: "resp_1", status: "completed", output: [] } });
    await drained;
    this.send("output_audio_buffer.stopped", { response_id: "resp_1" });
  }

  close() {
    this.voice.stop();
    this.sink?.stop();
    this.peer.close();
  }

  report() {
    return {
      offer: this.offer,
      session: this.session,
      state: this.peer.connectionState,
      channel: this.channel?.label ?? null,
      channel_closed: this.channelClosed,
      events: this.events,
      largest_event: this.largestEvent,
      frames: this.frames,
      ...this.tone.report(),
    };
  }
}

// Seconds of loud sound and its frequency by zero crossings, over 10 ms blocks as the sink gives them.
class Tone {
  seconds = 0;
  crossings = 0;
  spans = 0;

  hear({ samples, sampleRate, channelCount = 1 }) {
    const block = samples.filter((_, i) => i % channelCount === 0);
    const energy = block.reduce((sum, s) => sum + s * s, 0) / block.length;
    if (Math.sqrt(energy) < 1_000) return;
    this.seconds += block.length / sampleRate;
    const rising = [];
    for (let i = 1; i < block.length; i += 1) {
      if (block[i - 1] < 0 && block[i] >= 0) rising.push(i - block[i] / (block[i] - block[i - 1]));
    }
    if (rising.length > 1) {
      this.crossings += rising.length - 1;
      this.spans += (rising.at(-1) - rising[0]) / sampleRate;
    }
  }

  report() {
    const hz = this.spans > 0 ? this.crossings / this.spans : 0;
    return { tone_seconds: Math.round(this.seconds * 100) / 100, tone_hz: Math.round(hz * 10) / 10 };
  }
}

const calls = new Map();

async function create(request, body) {
  if (!request.headers.authorization?.startsWith("Bearer ")) return [401, {}, '{"error":{"code":"invalid_api_key"}}'];
  const form = await new Response(body, { headers: { "content-type": request.headers["content-type"] } }).formData();
  const text = async (name) => (typeof form.get(name) === "string" ? form.get(name) : await form.get(name).text());
  const call = new Call(await text("sdp"), JSON.parse(await text("session")));
  const name = `rtc_${calls.size + 1}`;
  calls.set(name, call);
  const answer = await call.answer();
  return [201, { location: `/v1/realtime/calls/${name}`, "content-type": "application/sdp" }, answer];
}

async function route(request, body) {
  const hangup = /^\/v1\/realtime\/calls\/([^/]+)\/hangup$/.exec(request.url);
  if (request.method === "POST" && request.url === "/v1/realtime/calls") return create(request, body);
  if (request.method === "POST" && hangup && calls.has(hangup[1])) {
    calls.get(hangup[1]).close();
    return [200, {}, ""];
  }
  if (request.method === "GET" && request.url === "/report") {
    const seen = { stack: `@roamhq/wrtc ${version}`, calls: [...calls.values()].map((call) => call.report()) };
    return [200, { "content-type": "application/json" }, JSON.stringify(seen)];
  }
  return [404, {}, '{"error":{"code":"call_id_not_found"}}'];
}

const server = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let answer;
  try {
    answer = await route(request, Buffer.concat(chunks));
  } catch (error) {
    console.error(error);
    answer = [500, {}, JSON.stringify({ error: { code: "server_error", message: String(error) } })];
  }
  response.writeHead(answer[0], answer[1]).end(answer[2]);
});
server.listen(0, "127.0.0.1", () => console.log("listening", server.address().port));
// The parent holds our standard input: when it dies, so do we.
process.stdin.on("end", () => process.exit(0)).resume();
