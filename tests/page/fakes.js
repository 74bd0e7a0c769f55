// A world for the page's session: its own clock, sockets and peer connections, and a record of
// everything that was said.

/** Time that passes when a test says so. */
export class Clock {
  time = 1_000;
  #next = 1;
  #timers = new Map();

  setTimeout = (run, ms) => {
    const id = this.#next++;
    this.#timers.set(id, { at: this.time + Math.max(0, ms), run });
    return id;
  };

  clearTimeout = (id) => {
    this.#timers.delete(id);
  };

  /** Lets everything that is due happen, in order, with all that follows from it at once. */
  async advance(ms) {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].run();
      await settle();
    }
    this.time = end;
  }

  get pending() {
    return this.#timers.size;
  }
}

/** Lets every promise that can go on go on. */
export async function settle() {
  for (let turn = 0; turn < 40; turn += 1) await null;
}

class FakeSocket {
  readyState = 0;
  constructor(scene, url, protocols) {
    this.scene = scene;
    this.url = url;
    this.protocols = protocols;
    scene.sockets.push(this);
    scene.note(`dial ${protocols.join()}`);
  }
  send(text) {
    if (this.readyState !== 1) throw new Error('not open');
    this.scene.said(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  // What the test does to it.
  open() {
    this.readyState = 1;
    this.onopen?.({});
  }
  hear(message) {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }
  lose(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

class FakeSender {
  parameters = { encodings: [{}] };
  constructor(pc, track) {
    this.pc = pc;
    this.track = track;
  }
  async replaceTrack(track) {
    this.pc.scene.onReplace?.();
    // A browser takes its time, and the last word counts.
    await null;
    if (this.pc.refuses === 'replaceTrack') throw new Error('InvalidModificationError');
    this.track = track;
  }
  setStreams() {}
  getParameters() {
    return structuredClone(this.parameters);
  }
  async setParameters(parameters) {
    this.parameters = parameters;
  }
}

export class FakePeerConnection {
  connectionState = 'new';
  iceConnectionState = 'new';
  localDescription = null;
  remoteDescription = null;
  closed = false;
  candidates = [];
  transceivers = [];
  stats = new Map();
  refuses = '';
  constructor(scene, configuration) {
    this.scene = scene;
    this.configuration = configuration;
    this.number = scene.connections.push(this);
    scene.note(`pc${this.number} new`);
  }
  addTransceiver(what, init) {
    const kind = typeof what === 'string' ? what : what.kind;
    const track = typeof what === 'string' ? null : what;
    const transceiver = {
      direction: init.direction,
      sender: new FakeSender(this, track),
      receiver: { track: { kind } },
      codecs: null,
      setCodecPreferences(codecs) {
        this.codecs = codecs.map((codec) => codec.mimeType);
      },
    };
    this.transceivers.push(transceiver);
    return transceiver;
  }
  getTransceivers() {
    return this.transceivers;
  }
  async createOffer() {
    return { type: 'offer', sdp: `offer of pc${this.number}` };
  }
  async createAnswer() {
    return { type: 'answer', sdp: `answer of pc${this.number}` };
  }
  async setLocalDescription(description) {
    this.localDescription = description;
    // A browser may find its first candidates before the caller goes on.
    if (this.scene.eager) this.gather('candidate:eager');
  }
  async setRemoteDescription(description) {
    if (this.refuses === description.type) throw new Error(`this ${description.type} cannot be used`);
    this.remoteDescription = description;
    if (description.type === 'offer') {
      for (const kind of ['audio', 'video']) this.addTransceiver(kind, { direction: 'recvonly' });
    }
  }
  async addIceCandidate(candidate) {
    if (!this.remoteDescription) throw new Error('no remote description');
    this.candidates.push(candidate?.candidate ?? null);
  }
  async getStats() {
    return this.stats;
  }
  close() {
    this.closed = true;
    this.scene.note(`pc${this.number} closed`);
  }
  // What the test does to it.
  gather(text) {
    this.onicecandidate?.({ candidate: text === null ? null : { candidate: text, sdpMid: '0', sdpMLineIndex: 0 } });
  }
  become(state, ice = state) {
    this.connectionState = state;
    this.iceConnectionState = ice;
    this.onconnectionstatechange?.();
  }
  receive(packets, frames, pictures = packets) {
    this.stats = new Map([
      ['a', { type: 'inbound-rtp', kind: 'audio', packetsReceived: packets, bytesReceived: packets * 100 }],
      ['v', { type: 'inbound-rtp', kind: 'video', packetsReceived: pictures, framesDecoded: frames }],
    ]);
  }
}

const CODECS = {
  video: [
    { mimeType: 'video/VP8' },
    { mimeType: 'video/rtx' },
    { mimeType: 'video/H264', sdpFmtpLine: 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f' },
    { mimeType: 'video/H264', sdpFmtpLine: 'level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f' },
    { mimeType: 'video/H264', sdpFmtpLine: 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f' },
    { mimeType: 'video/AV1' },
  ],
  audio: [{ mimeType: 'audio/opus' }, { mimeType: 'audio/PCMU' }],
};
export const capable = { getCapabilities: (kind) => ({ codecs: CODECS[kind] }) };

/** A world and the record of what happened in it. */
export class Scene {
  clock = new Clock();
  sockets = [];
  connections = [];
  told = [];
  stored = new Map();
  chance = 0.5;
  eager = false;
  onScreen = true;
  answersPings = true;
  #record = [];

  constructor() {
    const scene = this;
    this.world = {
      WebSocket: class extends FakeSocket {
        constructor(url, protocols) {
          super(scene, url, protocols);
        }
      },
      RTCPeerConnection: class extends FakePeerConnection {
        constructor(configuration) {
          super(scene, configuration);
        }
      },
      RTCRtpSender: capable,
      RTCRtpReceiver: capable,
      now: () => scene.clock.time,
      setTimeout: scene.clock.setTimeout,
      clearTimeout: scene.clock.clearTimeout,
      random: () => scene.chance,
      visible: () => scene.onScreen,
      storage: {
        getItem: (key) => scene.stored.get(key) ?? null,
        setItem: (key, value) => scene.stored.set(key, value),
        removeItem: (key) => scene.stored.delete(key),
      },
    };
  }

  tell = (happening) => {
    this.told.push(happening);
    switch (happening.type) {
      case 'state':
        return this.note(`state ${happening.state}${happening.why ? ` (${happening.why})` : ''}`);
      case 'came':
      case 'went':
        return this.note(`${happening.type} ${happening.person.member.name}`);
      case 'refused':
        return this.note(`refused ${happening.code}`);
      case 'back':
        return this.note(`back after ${happening.after}`);
      case 'problem':
        return this.note(`problem ${happening.code}`);
      default:
        return undefined;
    }
  };

  note(line) {
    this.#record.push(line);
  }

  said(message) {
    this.messages ??= [];
    this.messages.push(message);
    this.note(`→ ${brief(message)}`);
    if (message.t === 'ping' && this.answersPings) this.socket.hear({ t: 'pong' });
  }

  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  get pc() {
    return this.connections[this.connections.length - 1];
  }

  /** What happened since the last look, a line each. */
  look() {
    return this.#record.splice(0);
  }

  /** The last message of a type that the page said. */
  last(type) {
    return [...(this.messages ?? [])].reverse().find(({ t }) => t === type);
  }

  async hear(...messages) {
    for (const message of messages) {
      this.socket.hear(message);
      await settle();
    }
  }
}

function brief({ t, ...rest }) {
  switch (t) {
    case 'hello':
      return ['hello', rest.name, rest.resume && `resume ${rest.resume.session}/${rest.resume.secret}`,
        rest.keep && `keep ${rest.keep.map(({ link, gen, offerer }) => `${link}/${gen}${offerer ? ' as offerer' : ''}`).join(', ')}`]
          .filter(Boolean).join(' ');
    case 'join':
      return ['join', rest.room, rest.pin && `pin ${rest.pin}`].filter(Boolean).join(' ');
    case 'offer':
    case 'answer':
      return `${t} ${rest.link}/${rest.gen}: ${rest.sdp}`;
    case 'candidate':
      return `candidate ${rest.link}/${rest.gen}: ${rest.candidate}`;
    case 'again':
      return `again ${rest.link}/${rest.gen} ${rest.why}`;
    case 'show':
      return `show ${rest.link} ${rest.height}`;
    case 'sending':
      return `sending ${rest.link} ${rest.paused}`;
    case 'ask':
      return `ask ${rest.link} ${rest.what}`;
    case 'me':
      return `me ${JSON.stringify(rest)}`;
    default:
      return [t, rest.why].filter(Boolean).join(' ');
  }
}

export function welcome(more = {}) {
  return {
    t: 'welcome', v: 1, session: 's1', secret: 'secret-1', member: 'me', resumed: false, grace_ms: 30_000,
    ping_ms: 15_000, adopt_ms: 0, limits: { frame: 65_536, room: 8, rate: 50 },
    ice: [{ urls: ['stun:192.0.2.1:3478'] }], ...more,
  };
}

export const both = { send: ['vp8', 'h264', 'opus'], recv: ['vp8', 'h264', 'opus'] };

export function member(id, more = {}) {
  return { member: id, name: id, kind: 'browser', role: 'peer', media: { audio: true, video: true }, caps: both, ...more };
}

export function room(members, links = []) {
  return { t: 'room', room: 'atrium', owner: members[0].member, members, links };
}
