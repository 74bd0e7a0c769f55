// @ts-check
/**
 * One link: the pair of this page and one other member, generation by generation.
 *
 * A {@link Link} lives as long as the pair. Each of its generations is one {@link Connection},
 * which owns one `RTCPeerConnection`, makes at most one description and takes at most one, and is
 * thrown away whole: there is no renegotiation inside a generation. Mute, camera off and another
 * camera replace a track and touch no description.
 *
 * Invariant: a message of another generation than the present one changes nothing.
 *
 * @typedef {import('./signalling.js').World} World
 * @typedef {import('./codecs.js').Caps} Caps
 * @typedef {'path' | 'silent' | 'dark' | 'description' | 'media' | 'fingerprint' | 'timeout' | 'failed' | 'resumed'} Reason
 * @typedef {'connecting' | 'live' | 'broken'} LinkState
 *
 * @typedef {object} Host What a link needs of its session.
 * @property {World} world
 * @property {(message: object) => boolean} send false when there is no joined session to say it on
 * @property {() => { iceServers: RTCIceServer[], relayOnly: boolean }} ice
 * @property {() => { audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} tracks
 * @property {boolean} [screen] what we send is a screen
 * @property {() => string | null} videoCodec the codec that we offer on this link
 * @property {() => { audio: boolean, video: boolean }} theirMedia what the other side says it sends
 * @property {() => boolean} visible whether the page is on a screen at all
 * @property {() => import('./codecs.js').Most} most that a picture of ours may be, whoever it is for
 * @property {(what: 'state' | 'track' | 'height' | 'paused') => void} changed
 */

import { encodingFor, encodingForScreen, preference } from './codecs.js';

/** From the beginning of a generation until both descriptions are applied. */
export const NEGOTIATION_MS = 15_000;
/** From both descriptions until the connection stands. */
export const CONNECT_MS = 20_000;
/** How long "disconnected" is hoped to pass by itself. */
export const DISCONNECTED_MS = 5_000;
/** Without any packet, although the other side says that it sends. */
export const SILENT_MS = 6_000;
/** Without a decoded frame, although video packets come; without those, `SILENT_MS` is waited. */
export const DARK_MS = 2_000;
/** What a fresh picture gets on top of `DARK_MS`: the keyframe has to be asked for and to come. */
export const FRESH_MS = 3_000;
/** A dark picture has this long to come back by itself: a machine that is short of breath would get shorter of it by a new link. */
export const DARK_GRACE_MS = 4_000;
/** Before each further `again` of a link that does not get well. */
export const PAUSES_MS = [0, 2_000, 5_000, 10_000, 20_000, 30_000];
/** An `again` that nobody answers is said once more after this: the other side may be away. */
const UNANSWERED_MS = 10_000;
/** A link that was well for this long has all its pauses before it again. */
const WELL_MS = 30_000;
/** Between two samples of about one second; more means that this machine slept or is overloaded, and its figures say nothing of the other. */
const SLEPT_MS = 2_500;
const KINDS = /** @type {('audio' | 'video')[]} */ (['audio', 'video']);
/** Headers of IPv4 and UDP. */
const UDP_BYTES = 28;
/** The protocol's limit for one side of a generation. */
const MOST_CANDIDATES = 64;

export class Link {
  /** @type {Connection | null} */
  connection = null;
  /** @type {LinkState} */
  state = 'connecting';
  /** Since when, on the world's clock, the state is what it is. */
  since;
  /** @type {Reason | null} why the link is broken */
  why = null;
  /** How often it broke since it was last well. */
  failures = 0;
  /** It outlived its server and waits to be adopted by the next. */
  kept = false;
  /** At what height we show the other side; null: not said yet. @type {number | null} */
  showing = null;
  /** At what height the other side shows us; null: it has not said. @type {number | null} */
  shown = null;
  /** Why the other side has paused its picture, while it has. @type {string | null} */
  paused = null;
  /** Why we have paused ours; undefined as long as we never have. @type {string | null | undefined} */
  #pausing;
  /** @type {Reason | null} an `again` that has to wait for the signalling */
  #owed = null;
  #again = 0;
  #host;

  /**
   * @param {Host} host
   * @param {string} id
   * @param {string} peer the other member's id
   */
  constructor(host, id, peer) {
    this.#host = host;
    this.id = id;
    this.peer = peer;
    this.generation = 0;
    this.offerer = false;
    this.since = host.world.now();
  }

  /**
   * Starts a generation and gives up whatever an earlier one had.
   * @param {number} generation
   * @param {boolean} offerer
   * @param {string} [why] the server's word for why it is not the first
   */
  begin(generation, offerer, why) {
    if (generation <= this.generation) return;
    this.#host.world.clearTimeout(this.#again);
    this.connection?.close();
    this.generation = generation;
    this.offerer = offerer;
    this.kept = false;
    this.#owed = null;
    if (why === 'fingerprint') this.#become('broken', why);
    else if (this.state === 'live') this.#become('connecting', null);
    this.connection = new Connection(this.#host, this, generation, offerer);
    this.#host.changed('state');
  }

  /**
   * The server and the other side believe in a generation that we do not have: asks for the next.
   * @param {number} generation
   * @param {boolean} offerer
   */
  miss(generation, offerer) {
    this.generation = generation;
    this.offerer = offerer;
    this.trouble('resumed');
  }

  /** Ends the link for good. */
  close() {
    this.#host.world.clearTimeout(this.#again);
    this.connection?.close();
    this.connection = null;
  }

  /**
   * What `hello` says of it, or null when it would not outlive the server. A connection that
   * stands and brings nothing is kept too: it may come to itself, and else is built again as what
   * it is.
   */
  claim() {
    const stands = this.state === 'live' || (this.state === 'broken' && (this.why === 'silent' || this.why === 'dark'));
    return this.connection && stands
      ? { link: this.id, gen: this.generation, offerer: this.offerer }
      : null;
  }

  /** @param {{ gen: number, sdp: string }} message */
  offer(message) {
    if (message.gen === this.generation && !this.offerer) this.connection?.accept(message.sdp);
  }

  /** @param {{ gen: number, sdp: string }} message */
  answer(message) {
    if (message.gen === this.generation && this.offerer) this.connection?.conclude(message.sdp);
  }

  /** @param {{ gen: number, candidate: string | null, mid?: string, mline?: number }} message */
  candidate(message) {
    if (message.gen === this.generation) this.connection?.candidate(message);
  }

  /** The signalling is back, and the server has the same generation: says what could not be said. */
  resume() {
    this.kept = false;
    if (this.#owed) {
      this.#ask(this.#owed);
    } else if (this.connection && !this.connection.settled) {
      this.trouble('resumed');
    } else {
      this.connection?.flush();
    }
    if (this.showing !== null) this.#host.send({ t: 'show', link: this.id, height: this.showing });
    if (this.#pausing !== undefined) this.#host.send({ t: 'sending', link: this.id, paused: this.#pausing });
  }

  /**
   * Says at what height the other side is displayed.
   * @param {number} height in pixels; 0: not at all
   */
  show(height) {
    if (this.showing === height) return;
    if (this.showing === 0 || height === 0) this.connection?.fresh();
    this.showing = height;
    if (height === 0) this.#spare();
    this.#host.send({ t: 'show', link: this.id, height });
  }

  /** The other side said at what height it displays us. @param {number} height */
  shownAt(height) {
    this.shown = height;
    void this.connection?.tune();
    this.#host.changed('height');
  }

  /** Says why our own picture is paused, or that it goes on. @param {string | null} why */
  pause(why) {
    // Who never paused is known to send.
    if ((this.#pausing ?? null) === why) return;
    this.#pausing = why;
    this.#host.send({ t: 'sending', link: this.id, paused: why });
  }

  /** The other side has paused its picture, or goes on. @param {string | null} why */
  pausedBy(why) {
    if (this.paused === why) return;
    this.paused = why;
    this.connection?.fresh();
    if (why !== null) this.#spare();
    this.#host.changed('paused');
  }

  /** A picture that is not to come is not missing. */
  #spare() {
    if (this.state === 'broken' && this.why === 'dark') this.well();
  }

  /** @param {LinkState} state @param {Reason | null} why */
  #become(state, why) {
    if (this.state === state && this.why === why) return;
    if (this.state !== state) this.since = this.#host.world.now();
    this.state = state;
    this.why = why;
    this.#host.changed('state');
  }

  /** The present generation carries media. */
  well() {
    this.#host.world.clearTimeout(this.#again);
    this.#owed = null;
    this.#become('live', null);
    this.#again = this.#host.world.setTimeout(() => {
      this.failures = 0;
    }, WELL_MS);
  }

  /** The connection stutters and may come back by itself. */
  shaky() {
    this.#break('path');
  }

  /** A certificate that is not the promised one outweighs whatever follows from it. @param {Reason} why */
  #break(why) {
    this.#become('broken', this.why === 'fingerprint' ? this.why : why);
  }

  /**
   * The present generation is no good: asks for the next, later each time.
   * @param {Reason} why
   */
  trouble(why) {
    const { world } = this.#host;
    world.clearTimeout(this.#again);
    const step = PAUSES_MS[Math.min(this.failures, PAUSES_MS.length - 1)];
    const pause = why === 'dark' ? Math.max(step, DARK_GRACE_MS) : step;
    this.failures += 1;
    this.#break(why);
    if (pause === 0) this.#ask(why);
    else this.#again = world.setTimeout(() => this.#ask(why), pause);
  }

  /** @param {Reason} why */
  #ask(why) {
    this.#owed = null;
    if (!this.#host.send({ t: 'again', link: this.id, gen: this.generation, why })) {
      this.#owed = why;
      return;
    }
    this.#again = this.#host.world.setTimeout(() => this.#ask(why), UNANSWERED_MS);
  }
}

/** One generation of a link: one `RTCPeerConnection`. */
class Connection {
  /** Both descriptions are applied. */
  settled = false;
  /** @type {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} what comes in */
  tracks = { audio: null, video: null };
  /** What the latest sample found. @type {Sample | null} */
  sample = null;

  #host;
  #link;
  #pc;
  #offerer;
  #generation;
  #closed = false;
  /** One description is all that a generation takes. */
  #taken = false;
  /** Our description is on its way, so our candidates may follow. */
  #sent = false;
  /** Their description is applied, so their candidates may be. */
  #applied = false;
  /** @type {object[]} */
  #ours = [];
  /** @type {(RTCIceCandidateInit | null)[]} */
  #theirs = [];
  #oursSeen = 0;
  /** Our null has been said. */
  #ended = false;
  /** @type {{ audio: RTCRtpSender | null, video: RTCRtpSender | null }} */
  #senders = { audio: null, video: null };
  /** @type {Promise<void> | null} */
  #replacing = null;
  #deadline = 0;
  #patience = 0;
  #marks;

  /**
   * @param {Host} host
   * @param {Link} link
   * @param {number} generation
   * @param {boolean} offerer
   */
  constructor(host, link, generation, offerer) {
    this.#host = host;
    this.#link = link;
    this.#generation = generation;
    this.#offerer = offerer;
    const { iceServers, relayOnly } = host.ice();
    const pc = new host.world.RTCPeerConnection({
      iceServers,
      iceTransportPolicy: relayOnly ? 'relay' : 'all',
      bundlePolicy: 'max-bundle',
    });
    this.#pc = pc;
    this.#marks = marks(host.world.now());
    pc.onicecandidate = (event) => this.#gathered(event.candidate);
    pc.ontrack = (event) => this.#track(event.track);
    pc.onconnectionstatechange = () => this.#moved();
    this.#deadline = host.world.setTimeout(() => this.#fail('timeout'), NEGOTIATION_MS);
    if (offerer) void this.#run(() => this.#offer());
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.world.clearTimeout(this.#deadline);
    this.#host.world.clearTimeout(this.#patience);
    this.#pc.onicecandidate = null;
    this.#pc.ontrack = null;
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }

  async #offer() {
    const pc = this.#pc;
    const tracks = this.#host.tracks();
    const stream = this.#bundle();
    // Audio first: where a browser refuses the first section, the whole bundle dies with it.
    const audio = pc.addTransceiver(tracks.audio ?? 'audio', { direction: 'sendrecv', streams: stream });
    this.#prefer(audio, 'audio', 'opus');
    const video = pc.addTransceiver(tracks.video ?? 'video', { direction: 'sendrecv', streams: stream });
    const codec = this.#host.videoCodec();
    if (codec) this.#prefer(video, 'video', codec);
    this.#senders = { audio: audio.sender, video: video.sender };
    await pc.setLocalDescription(await pc.createOffer());
    this.#describe('offer');
  }

  /** Takes the other side's offer and answers it. @param {string} sdp */
  accept(sdp) {
    if (this.#taken || this.#closed) return;
    this.#taken = true;
    void this.#run(async () => {
      const pc = this.#pc;
      await pc.setRemoteDescription({ type: 'offer', sdp });
      if (this.#closed) return;
      this.#apply();
      for (const transceiver of pc.getTransceivers()) {
        const kind = /** @type {'audio' | 'video'} */ (transceiver.receiver.track.kind);
        if (this.#senders[kind]) continue;
        this.#senders[kind] = transceiver.sender;
        transceiver.direction = 'sendrecv';
        for (const stream of this.#bundle()) transceiver.sender.setStreams?.(stream);
      }
      // All at once and of this moment: a camera that opens during the negotiation is not missed.
      await this.replace();
      if (this.#closed) return;
      await pc.setLocalDescription(await pc.createAnswer());
      if (this.#closed) return;
      this.#describe('answer');
      this.#settle();
    });
  }

  /** Takes the answer to our offer. @param {string} sdp */
  conclude(sdp) {
    if (this.#taken || this.#closed || !this.#sent) return;
    this.#taken = true;
    void this.#run(async () => {
      await this.#pc.setRemoteDescription({ type: 'answer', sdp });
      if (this.#closed) return;
      this.#apply();
      this.#settle();
    });
  }

  /** @param {{ candidate: string | null, mid?: string, mline?: number }} message */
  candidate(message) {
    if (this.#closed) return;
    const theirs =
      message.candidate === null
        ? null
        : { candidate: message.candidate, sdpMid: message.mid ?? null, sdpMLineIndex: message.mline ?? null };
    if (this.#applied) this.#add(theirs);
    else if (this.#theirs.length <= MOST_CANDIDATES) this.#theirs.push(theirs);
  }

  /** Puts our present tracks into the place of the earlier ones. */
  replace() {
    // One at a time, until what is sent is what shall be: the last word counts, not the slowest.
    this.#replacing ??= this.#replaceAll().finally(() => {
      this.#replacing = null;
    });
    return this.#replacing;
  }

  async #replaceAll() {
    try {
      for (let stale = this.#stale; stale.length > 0 && !this.#closed; stale = this.#stale) {
        const tracks = this.#host.tracks();
        await Promise.all(stale.map((kind) => this.#senders[kind]?.replaceTrack(tracks[kind])));
      }
      await this.tune();
    } catch {
      // The new track does not fit what was negotiated, so it needs a negotiation of its own.
      this.#fail('media');
    }
  }

  /** What is sent of a track that is not the present one. */
  get #stale() {
    const tracks = this.#host.tracks();
    return KINDS.filter((kind) => {
      const sender = this.#senders[kind];
      return sender !== null && sender.track !== tracks[kind];
    });
  }

  /** Encodes as large as the other side displays us, and not at all where it does not. */
  async tune() {
    const sender = this.#senders.video;
    if (!sender || !this.settled || this.#closed) return;
    const height = sender.track?.getSettings?.().height ?? 0;
    const wanted = this.#encoding(height, this.#host.most());
    try {
      const parameters = sender.getParameters();
      if (!parameters.encodings?.length) return;
      Object.assign(parameters.encodings[0], wanted);
      if (this.#host.screen) Object.assign(parameters, { degradationPreference: 'maintain-resolution' });
      await sender.setParameters(parameters);
    } catch {
      // A wish, not a need: the picture goes on at the size it has.
    }
  }

  /** How to encode for this link. @param {number} height of what is sent @param {import('./codecs.js').Most} [most] */
  #encoding(height, most) {
    const how = this.#host.screen ? encodingForScreen : encodingFor;
    return how(this.#link.shown, height, most);
  }

  /** How the sending goes, for the budget of all links; null as long as nothing is known. @returns {import('./uplink.js').Flow | null} */
  get flow() {
    const sender = this.#senders.video;
    const { sample } = this;
    if (!sample || !this.settled || this.#pc.connectionState !== 'connected') return null;
    const height = sender?.track?.getSettings?.().height ?? 0;
    const plain = this.#encoding(height);
    return {
      id: `${this.#link.id}/${this.#generation}`,
      available: sample.available,
      sent: sample.kbpsWire,
      loss: sample.lossOut,
      rtt: sample.rttOut,
      cap: sender?.track && plain.active ? plain.maxBitrate / 1_000 : 0,
    };
  }

  /** Says what could not be said while the signalling was away. */
  flush() {
    while (this.#sent && this.#ours.length > 0 && this.#host.send(this.#ours[0])) this.#ours.shift();
  }

  /** The other side's picture starts anew: it is given time to arrive. */
  fresh() {
    this.#marks.picture = this.#host.world.now();
  }

  /** Looks whether media flows. Called about once a second. */
  async watch() {
    if (!this.#watched) return;
    const sample = summary(await this.#pc.getStats(), this.sample, this.#host.world.now());
    if (!this.#watched) return;
    const before = this.sample;
    this.sample = sample;
    const trouble = this.#marks.judge(sample, {
      slept: before !== null && sample.at - before.at > SLEPT_MS,
      media: this.#host.theirMedia(),
      shown: this.#link.showing !== 0 && this.#link.paused === null && this.#host.visible(),
    });
    if (this.#link.state === 'live') {
      if (trouble) this.#fail(trouble);
    } else if (before && !trouble) {
      // It came back by itself while the next generation was waited for.
      const flows = this.#link.why === 'dark' ? sample.frames > before.frames : sample.packets > before.packets;
      if (flows) this.#link.well();
    }
  }

  get #watched() {
    const { state, why } = this.#link;
    return this.#current && (state === 'live' || (state === 'broken' && (why === 'silent' || why === 'dark' || why === 'fingerprint')));
  }

  get #current() {
    return !this.#closed && this.#link.connection === this;
  }

  /** @param {() => Promise<void>} steps */
  async #run(steps) {
    try {
      // A turn later, so that the link knows its connection before anything comes of it.
      await null;
      if (this.#closed) return;
      await steps();
    } catch (error) {
      if (this.#closed) return;
      this.#host.world.log?.('description', error);
      this.#fail('description');
    }
  }

  /** @param {'offer' | 'answer'} type */
  #describe(type) {
    if (!this.#current) return;
    const sdp = this.#pc.localDescription?.sdp ?? '';
    // What cannot be said now is not kept: a server that resumes an unfinished link begins its
    // next generation, and this description would belong to the last.
    if (!this.#host.send({ t: type, link: this.#link.id, gen: this.#generation, sdp })) return;
    this.#sent = true;
    this.flush();
  }

  #apply() {
    this.#applied = true;
    for (const candidate of this.#theirs.splice(0)) this.#add(candidate);
  }

  #settle() {
    if (!this.#sent) return;
    this.settled = true;
    this.#host.world.clearTimeout(this.#deadline);
    this.#deadline = this.#host.world.setTimeout(() => this.#fail('path'), CONNECT_MS);
    void this.tune();
    this.#moved();
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  #add(candidate) {
    // One candidate that cannot be used (an address family, an .local name) spoils no others.
    this.#pc.addIceCandidate(candidate ?? undefined).catch(() => {});
  }

  /** @param {RTCIceCandidate | null} candidate */
  #gathered(candidate) {
    if (this.#ended || (candidate && candidate.candidate === '')) return;
    this.#ended = candidate === null;
    if (this.#oursSeen >= MOST_CANDIDATES) return;
    // The last place is kept for the null that ends them.
    if (candidate && this.#oursSeen === MOST_CANDIDATES - 1) return;
    this.#oursSeen += 1;
    /** @type {Record<string, unknown>} */
    const message = { t: 'candidate', link: this.#link.id, gen: this.#generation, candidate: null };
    if (candidate) {
      message.candidate = candidate.candidate;
      if (candidate.sdpMid !== null) message.mid = candidate.sdpMid;
      if (candidate.sdpMLineIndex !== null) message.mline = candidate.sdpMLineIndex;
    }
    this.#ours.push(message);
    this.flush();
  }

  /** @param {MediaStreamTrack} track */
  #track(track) {
    const kind = /** @type {'audio' | 'video'} */ (track.kind);
    if (this.tracks[kind]) return;
    this.tracks[kind] = track;
    this.#host.changed('track');
  }

  #moved() {
    if (!this.#current || !this.settled) return;
    const { world } = this.#host;
    world.clearTimeout(this.#patience);
    switch (this.#pc.connectionState) {
      case 'connected':
        world.clearTimeout(this.#deadline);
        this.#marks = marks(world.now());
        // Who refuses our certificate may look connected from here, so that only media counts.
        if (this.#link.why !== 'fingerprint') this.#link.well();
        break;
      case 'disconnected':
        this.#link.shaky();
        this.#patience = world.setTimeout(() => this.#fail('path'), DISCONNECTED_MS);
        break;
      case 'failed':
        this.#fail(this.#broken());
        break;
      default:
        break;
    }
  }

  /** @returns {Reason} */
  #broken() {
    switch (this.#pc.iceConnectionState) {
      case 'failed': return 'path';
      // There is a path, and DTLS fails on it. No browser says why; it is their certificate that is
      // not the promised one, or ours for them.
      case 'connected': case 'completed': return 'fingerprint';
      default: return 'failed';
    }
  }

  /** @param {Reason} why */
  #fail(why) {
    if (!this.#current) return;
    this.#host.world.clearTimeout(this.#deadline);
    this.#host.world.clearTimeout(this.#patience);
    this.#link.trouble(why);
  }

  /** One stream for both tracks, so that the other side keeps lips and voice together. */
  #bundle() {
    const { MediaStream } = this.#host.world;
    if (!MediaStream) return [];
    this.#stream ??= new MediaStream();
    return [this.#stream];
  }
  /** @type {MediaStream | null} */
  #stream = null;

  /**
   * @param {RTCRtpTransceiver} transceiver
   * @param {'audio' | 'video'} kind
   * @param {string} codec
   */
  #prefer(transceiver, kind, codec) {
    const codecs = preference(this.#host.world.RTCRtpReceiver, kind, codec);
    if (codecs.length > 0) transceiver.setCodecPreferences?.(/** @type {any} */ (codecs));
  }
}

/**
 * @typedef {object} Sample What one reading of the statistics says.
 * @property {number} at on the world's clock, in milliseconds
 * @property {number} packets received in all
 * @property {number} pictures video packets received in all
 * @property {number} frames decoded in all
 * @property {number} lost packets in all
 * @property {number} bytesIn
 * @property {number} bytesOut
 * @property {number} kbpsIn
 * @property {number} kbpsOut
 * @property {number} sentOut bytes on the wire in all, as far as the browser counts them
 * @property {number} kbpsWire the same as a rate
 * @property {number | null} available kbit/s that the browser takes the way there to carry; Firefox does not say
 * @property {number | null} lossOut part of our packets that the other side has not had, where it has just said so
 * @property {number | null} rttOut in milliseconds, where the other side has just said so
 * @property {number} reportAt when it said so last
 * @property {number} heightOut of the outgoing picture
 * @property {number} fpsOut
 * @property {number} fps
 * @property {number} height of the incoming picture
 * @property {number | null} rtt in milliseconds
 * @property {string} codecIn
 * @property {string} codecOut
 * @property {string} path `host`, `srflx`, `prflx` or `relay`, as seen from here
 */

/**
 * @param {RTCStatsReport} report
 * @param {Sample | null} before
 * @param {number} at
 * @returns {Sample}
 */
function summary(report, before, at) {
  /** @type {Sample} */
  const sample = {
    at, packets: 0, pictures: 0, frames: 0, lost: 0, bytesIn: 0, bytesOut: 0, kbpsIn: 0, kbpsOut: 0,
    sentOut: 0, kbpsWire: 0, available: null, lossOut: null, rttOut: null, reportAt: before?.reportAt ?? 0, heightOut: 0, fpsOut: 0,
    fps: 0, height: 0, rtt: null, codecIn: '', codecOut: '', path: '',
  };
  let pairSent = 0;
  const codec = (/** @type {string} */ id) => report.get(id)?.mimeType?.split('/')[1] ?? '';
  report.forEach((entry) => {
    if (entry.type === 'inbound-rtp') {
      sample.packets += entry.packetsReceived ?? 0;
      sample.bytesIn += entry.bytesReceived ?? 0;
      sample.lost += entry.packetsLost ?? 0;
      if (entry.kind === 'video') {
        sample.pictures += entry.packetsReceived ?? 0;
        sample.frames += entry.framesDecoded ?? 0;
        sample.fps = Math.round(entry.framesPerSecond ?? 0);
        sample.height = entry.frameHeight ?? 0;
        sample.codecIn = codec(entry.codecId);
      }
    } else if (entry.type === 'outbound-rtp') {
      sample.bytesOut += entry.bytesSent ?? 0;
      if (entry.kind === 'video') {
        sample.codecOut = codec(entry.codecId);
        sample.heightOut = entry.frameHeight ?? 0;
        sample.fpsOut = Math.round(entry.framesPerSecond ?? 0);
      }
    } else if (entry.type === 'remote-inbound-rtp') {
      // A report is good for one sample: sound has one in some seconds only.
      if (entry.timestamp <= (before?.reportAt ?? 0)) return;
      sample.reportAt = Math.max(sample.reportAt, entry.timestamp);
      sample.lossOut = Math.max(sample.lossOut ?? 0, entry.fractionLost ?? 0);
      if (typeof entry.roundTripTime === 'number') sample.rttOut = Math.max(sample.rttOut ?? 0, Math.round(entry.roundTripTime * 1000));
    } else if (entry.type === 'candidate-pair' && entry.nominated && (entry.bytesSent ?? 0) >= pairSent) {
      // Of several that were taken one after the other, the one in use has carried most. It may be
      // under a check at this moment, and carries all the same.
      pairSent = entry.bytesSent ?? 0;
      if (typeof entry.currentRoundTripTime === 'number') sample.rtt = Math.round(entry.currentRoundTripTime * 1000);
      sample.sentOut = (entry.bytesSent ?? 0) + UDP_BYTES * (entry.packetsSent ?? 0);
      if (typeof entry.availableOutgoingBitrate === 'number') sample.available = Math.round(entry.availableOutgoingBitrate / 1000);
      sample.path = report.get(entry.localCandidateId)?.candidateType ?? '';
    }
  });
  if (before && at > before.at) {
    const rate = (/** @type {number} */ bytes) => Math.max(0, Math.round((bytes * 8) / (at - before.at)));
    sample.kbpsIn = rate(sample.bytesIn - before.bytesIn);
    sample.kbpsOut = rate(sample.bytesOut - before.bytesOut);
    // While a path is checked again it has no figures, and a new one begins with none.
    const same = before.sentOut > 0 && sample.sentOut >= before.sentOut;
    sample.kbpsWire = same ? rate(sample.sentOut - before.sentOut) : before.kbpsWire;
  }
  return sample;
}

/**
 * Remembers when something last came, and says when that is too long ago.
 * @param {number} now
 */
function marks(now) {
  let packets = -1;
  let pictures = -1;
  let frames = -1;
  let lastPacket = now;
  let lastPicture = now;
  let lastFrame = now;
  /** @type {number | null} since when packets of the picture come of which no frame is made */
  let hungry = null;
  let begun = now;
  let fresh = FRESH_MS;
  let heard = false;
  let seen = false;
  return {
    /** When the picture was last given time to arrive. */
    picture: now,
    /**
     * @param {Sample} sample
     * @param {{ slept: boolean, media: { audio: boolean, video: boolean }, shown: boolean }} context
     * @returns {'silent' | 'dark' | null}
     */
    judge(sample, { slept, media, shown }) {
      const { at } = sample;
      // Silence counts from the moment that the other side says it sends, and that we look.
      // A device that is muted sends no sound at all, and no picture to a page that is hidden.
      const sees = media.video && shown;
      const hears = media.audio || sees;
      if (sample.packets !== packets || slept || hears !== heard) lastPacket = at;
      if (sees !== seen || slept) this.picture = at;
      if (this.picture !== begun) {
        begun = this.picture;
        lastFrame = begun;
        fresh = FRESH_MS;
        hungry = null;
      }
      if (pictures >= 0 && sample.pictures !== pictures) {
        lastPicture = at;
        hungry ??= at;
      }
      if (frames >= 0 && sample.frames !== frames) {
        lastFrame = at;
        fresh = 0;
        hungry = null;
      }
      packets = sample.packets;
      pictures = sample.pictures;
      frames = sample.frames;
      heard = hears;
      seen = sees;
      if (hears && at - lastPacket >= SILENT_MS) return 'silent';
      // Packets that make no picture are soon hopeless; those that come once only belong to the
      // last frame. Where none come, the sender may be short of breath, and a new link would only
      // take more of it. (As the devices judge it.)
      const flow = hungry !== null && lastPicture > hungry && at - lastPicture < DARK_MS;
      const hopeless = flow && hungry !== null && at - hungry >= DARK_MS + fresh;
      const missing = at - lastFrame >= SILENT_MS + fresh;
      if (sees && (hopeless || missing) && at - lastPacket < SILENT_MS) return 'dark';
      return null;
    },
  };
}
