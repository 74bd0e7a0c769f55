// @ts-check
/**
 * The page's half of `roomd.v1`: one session with a server, one room, and a link to each member.
 *
 * Everything that touches the world is handed in as {@link World}, so that the tests under Node
 * bring their own sockets, peer connections, clock and chance. What happens is told through one
 * callback, as {@link Happening}s.
 *
 * Invariants: this file never touches the document; a socket that is lost closes no link.
 *
 * @typedef {object} World What the page has from its browser, and the tests from their fakes.
 * @property {new (url: string, protocols: string[]) => WebSocket} WebSocket
 * @property {new (configuration: RTCConfiguration) => RTCPeerConnection} RTCPeerConnection
 * @property {(new () => MediaStream)} [MediaStream]
 * @property {import('./codecs.js').Capable} [RTCRtpSender]
 * @property {import('./codecs.js').Capable} [RTCRtpReceiver]
 * @property {() => number} now milliseconds that never go back
 * @property {(run: () => void, ms: number) => number} setTimeout
 * @property {(id: number) => void} clearTimeout
 * @property {() => number} random from 0 to 1
 * @property {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} storage of this tab
 * @property {() => boolean} [visible] whether the page is on a screen
 * @property {(what: string, detail: unknown) => void} [log]
 *
 * @typedef {{ audio: boolean, video: boolean, no_microphone?: boolean, no_camera?: boolean, hold?: string, tries?: number }} Media
 * @typedef {object} Member As the server tells it.
 * @property {string} member
 * @property {string} name
 * @property {'device' | 'browser' | 'bridge'} kind
 * @property {'peer' | 'sender' | 'viewer'} role
 * @property {Media} media
 * @property {import('./codecs.js').Caps} caps
 * @property {boolean} [here] it sits in the room of a device, which speaks and hears for it
 * @property {boolean} [recording] it records what it shows and plays of everybody
 * @property {boolean} [away]
 * @property {string} [of] the member whose screen it is
 *
 * @typedef {object} Person One of the others, for as long as the page shows it. A person outlives
 *   a restart of the server, although the member's id does not.
 * @property {number} key the same for as long as the person is shown
 * @property {Member} member
 * @property {Link | null} link
 * @property {number | null} height at which it is displayed; null: not said yet
 * @property {boolean} called a room that waits for its code, and at whose door we have been meanwhile
 *   without sitting in it: it hears no code from us
 *
 * @typedef {'idle' | 'connecting' | 'joined' | 'reconnecting' | 'refused' | 'ended'} State
 *
 * @typedef {(
 *   | { type: 'state', state: State, why: string | null }
 *   | { type: 'refused', code: string, text: string, retryMs: number | null }
 *   | { type: 'back', after: number }
 *   | { type: 'came', person: Person }
 *   | { type: 'went', person: Person }
 *   | { type: 'changed', person: Person, before: Member }
 *   | { type: 'link', person: Person | null, link: Link }
 *   | { type: 'track', person: Person | null, link: Link }
 *   | { type: 'people' }
 *   | { type: 'asked', person: Person, what: string }
 *   | { type: 'uplink', paused: string | null }
 *   | { type: 'covered', covered: boolean }
 *   | { type: 'problem', code: string, text: string }
 * )} Happening
 *
 * @typedef {object} Wish What to join, and as whom.
 * @property {string} [room]
 * @property {string} [pin]
 * @property {string} [token]
 * @property {string} name
 * @property {Media} media
 * @property {boolean} [here] a device in this page's room speaks and hears for it
 * @property {string | null} [place] that device's name, where it is known
 * @property {'peer' | 'sender'} [role] `sender`: what it sends is a screen, and nothing is sent to it
 * @property {() => Proof | null} [of] proves whose screen it is; null while that one is in no room,
 *   and then it waits
 *
 * @typedef {{ session: string, secret: string }} Proof What resumes a session, and so proves whose it is.
 */

import { capabilities, chooseVideo } from './codecs.js';
import { Link } from './link.js';
import { Uplink } from './uplink.js';

export { Link };

/** The WebSocket sub-protocol that both ends name. */
export const SUBPROTOCOL = 'roomd.v1';
const VERSION = 1;

/** Waiting time before the first, and before every late, attempt to reach the server again. */
export const BACKOFF_MS = { first: 500, most: 5_000 };
/** Each waiting time is longer or shorter by up to this part, so that a full room does not come back in step. */
const JITTER = 0.3;
/** From dialling until the server's welcome. */
export const DIAL_MS = 10_000;
/** From a `ping` until the socket counts as dead. */
export const PONG_MS = 8_000;
/** Between two looks at the statistics. */
export const WATCH_MS = 1_000;
/** WebSocket close codes of the protocol that end a session for good. */
const CLOSED_REPLACED = 4409;

/** Errors that answer `hello` or `join`: the person at the page has to do something. */
const REFUSALS = new Set([
  'need_pin', 'bad_pin', 'pin_wait', 'no_room', 'room_full', 'no_owner', 'server_full', 'bad_token', 'version',
]);

/** Of these, those that pass by themselves for one who has been in before. */
const PASSING = new Set(['server_full', 'pin_wait', 'no_owner']);

/** Whether this is a room that waits for the code on its screen. @param {Member} member */
function asksForCode({ kind, media }) {
  return kind === 'device' && media.hold !== undefined && media.tries !== undefined;
}

export class Session {
  /** @type {State} */
  state = 'idle';
  /** Why no picture of ours is sent to anybody, although they hear us; null where one may be. */
  get paused() {
    return this.#uplink.paused ? 'network' : null;
  }

  /**
   * Whether we send nobody a picture, because we sit in front of a screen that shows a code, and our
   * camera may show it to those who wait. Likewise when they were turned away: somebody else who
   * comes makes the screen show one.
   */
  get covered() {
    const wish = this.#wish;
    if (!wish?.here || this.#isScreen) return false;
    const rooms = this.people.filter(({ member }) => member.kind === 'device');
    const own = rooms.filter(({ member }) => member.name === wish.place);
    return (own.length > 0 ? own : rooms).some(({ member }) => asksForCode(member) || member.media.hold === 'turned_away');
  }

  /** What the state does not say: why it ended, or whether it is reconnecting after a loss, a restart or in vain so far. @type {string | null} */
  why = null;
  /** Since when the server is out of reach, on the world's clock. @type {number | null} */
  lostSince = null;
  /** The others, in the order in which they came. @type {Person[]} */
  people = [];
  /** This page as the server knows it. @type {Member | null} */
  self = null;
  /** @type {string | null} */
  room = null;
  /** @type {string | null} */
  owner = null;

  #url;
  #node;
  #world;
  #tell;
  #caps;
  /** @type {Wish | null} what we want to be a member of; null when we do not */
  #wish = null;
  /** @type {WebSocket | null} */
  #socket = null;
  /** The present socket has had its `welcome`. */
  #welcomed = false;
  /** The present socket's session is a member of the room. */
  #joined = false;
  /** @type {Proof | null} */
  #resume = null;
  #memberId = '';
  /** @type {Map<string, Link>} */
  #links = new Map();
  /** @type {RTCIceServer[]} */
  #ice = [];
  #relayOnly = false;
  #uplink = new Uplink();
  #covered = false;
  /** @type {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} */
  #tracks = { audio: null, video: null };
  /** This wish has been granted before, so that what comes next is a return. */
  #been = false;
  #attempts = 0;
  #keys = 0;
  #pingMs = 15_000;
  #heardAt = 0;
  /** Until when kept links may still be adopted. */
  #adoptUntil = 0;
  #timers = { dial: 0, ping: 0, pong: 0, adopt: 0, watch: 0 };

  /**
   * @param {object} options
   * @param {string} options.url of the server's `/ws`
   * @param {string} options.node this tab's id
   * @param {World} options.world
   * @param {(happening: Happening) => void} options.tell
   */
  constructor({ url, node, world, tell }) {
    this.#url = url;
    this.#node = node;
    this.#world = world;
    this.#tell = tell;
    this.#caps = capabilities(world.RTCRtpSender, world.RTCRtpReceiver);
  }

  /** What proves to the server that a screen is this member's; null while it is in no room. */
  get proof() {
    return this.#joined ? this.#resume : null;
  }

  /** Joins, and from then on comes back by itself after everything. @param {Wish} wish */
  join(wish) {
    if (this.#joined) return;
    this.#wish = wish;
    if (this.state !== 'reconnecting') this.#become('connecting', null);
    if (this.#welcomed) this.#sayJoin();
    else if (!this.#socket) this.#dial();
  }

  /** Leaves the room, at once for everybody. @param {'left' | 'turned_away'} [why] */
  leave(why = 'left') {
    this.#end(why);
  }

  /** Changes the name that the others see. @param {string} name */
  setName(name) {
    if (!this.#wish || this.#wish.name === name) return;
    this.#wish = { ...this.#wish, name };
    // The server tells the others only.
    if (this.self) this.self = { ...this.self, name };
    this.#say({ t: 'me', name });
  }

  /** Says what is sent from here on. @param {Media} media */
  setMedia(media) {
    if (!this.#wish) return;
    this.#wish = { ...this.#wish, media };
    this.#sayMedia();
  }

  /** Says what is sent, if the others know something else. */
  #sayMedia() {
    const { self } = this;
    const media = this.#media;
    if (!self || !media || (self.media.audio === media.audio && self.media.video === media.video)) return;
    this.self = { ...self, media };
    this.#say({ t: 'me', media });
  }

  /** What is sent of what the person wishes. */
  get #media() {
    const media = this.#wish?.media;
    return media && this.covered ? { ...media, video: false } : media;
  }

  /**
   * Says whether a device in this page's room speaks and hears for it: then no sound passes on any
   * of its links, either way.
   * @param {boolean} here
   */
  setHere(here) {
    if (!this.#wish || (this.#wish.here ?? false) === here) return;
    this.#wish = { ...this.#wish, here };
    if (this.self) this.self = { ...this.self, here };
    this.#say({ t: 'me', here });
    this.#heed();
  }

  /** Does what follows from a room's waiting for its code, or no longer. */
  #heed() {
    for (const person of this.people) {
      if (!asksForCode(person.member)) person.called = false;
      else if (this.#joined && !this.#wish?.here) person.called = true;
    }
    const { covered } = this;
    if (covered === this.#covered) return;
    this.#covered = covered;
    for (const link of this.#links.values()) void link.connection?.replace();
    this.#sayMedia();
    this.#tell({ type: 'covered', covered });
  }

  /**
   * Sends these tracks on every link, now and later. Null sends nothing.
   * @param {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} tracks
   */
  setTracks(tracks) {
    this.#tracks = tracks;
    for (const link of this.#links.values()) void link.connection?.replace();
  }

  /**
   * Says at what height someone's picture is displayed.
   * @param {number} key a person's
   * @param {number} height in device pixels; 0: not at all
   */
  show(key, height) {
    const person = this.people.find((other) => other.key === key);
    if (!person) return;
    person.height = height;
    this.#show(person);
  }

  /**
   * Asks somebody to send less, or a room to show or play the others otherwise. There is no word for
   * more: nobody opens the microphone of another.
   * @param {number} key a person's
   * @param {import('./words.js').Asking} what
   */
  ask(key, what) {
    const link = this.people.find((other) => other.key === key)?.link;
    if (link && !link.kept) this.#say({ t: 'ask', link: link.id, what });
  }

  /**
   * Says the code that the room's screen shows, and what shall become of those who wait there.
   * @param {number} key of the room
   * @param {string} code
   * @param {boolean} letIn or else they are turned away
   * @returns {boolean} whether it could be said
   */
  admit(key, code, letIn) {
    const link = this.people.find((other) => other.key === key)?.link;
    if (!link || link.kept || !this.#joined) return false;
    this.#say({ t: 'admit', link: link.id, code, let_in: letIn });
    return true;
  }

  /** The page has come onto a screen, or has left it: then nobody needs to send it a picture. */
  appear() {
    for (const person of this.people) this.#show(person);
  }

  /** A link may begin long after its person was given a place, and the page be hidden before either. @param {Person} person */
  #show({ link, height }) {
    const shown = this.#visible ? height : 0;
    if (shown !== null) link?.show(shown);
  }

  get #visible() {
    return this.#world.visible?.() ?? true;
  }

  /** Something changed outside: tries at once what would have been tried later. */
  nudge() {
    if (this.state === 'reconnecting' && !this.#socket) this.#dial();
    else if (this.#welcomed) this.#ping();
  }

  /** The PIN that this tab has joined with before. @param {Pick<Storage, 'getItem'>} storage */
  static rememberedPin(storage) {
    return storage.getItem('roomd.pin') ?? '';
  }

  /** Everything that is known, for support; nothing secret. */
  snapshot() {
    return {
      state: this.state,
      why: this.why,
      room: this.room,
      uplink: { paused: this.paused, ...(this.#uplink.most.kbps < Infinity && this.#uplink.most) },
      self: this.self && { member: this.self.member, name: this.self.name, media: this.self.media, here: this.self.here ?? false },
      people: this.people.map(({ key, member, link }) => ({
        key,
        member: member.member,
        name: member.name,
        kind: member.kind,
        of: member.of ?? null,
        media: member.media,
        here: member.here ?? false,
        recording: member.recording ?? false,
        away: member.away ?? false,
        link: link && {
          id: link.id,
          generation: link.generation,
          offerer: link.offerer,
          state: link.state,
          why: link.why,
          failures: link.failures,
          kept: link.kept,
          showing: link.showing,
          shown: link.shown,
          paused: link.paused,
          stats: link.connection?.sample ?? null,
        },
      })),
    };
  }

  // The socket.

  #dial() {
    const world = this.#world;
    this.#clear('dial', 'ping', 'pong');
    this.#welcomed = false;
    this.#joined = false;
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new world.WebSocket(this.#url, [SUBPROTOCOL]);
    } catch (error) {
      world.log?.('dial', error);
      this.#lost();
      return;
    }
    this.#socket = socket;
    socket.onopen = () => this.#sayHello();
    socket.onmessage = (event) => {
      this.#heard(event.data);
      this.#heed();
    };
    socket.onclose = (event) => {
      if (event.code === CLOSED_REPLACED) this.#end('replaced');
      else this.#lost();
    };
    this.#timers.dial = world.setTimeout(() => this.#lost(), DIAL_MS);
  }

  /** Lets go of the socket, whether or not it has noticed its own end. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#welcomed = false;
    this.#joined = false;
    this.#clear('dial', 'ping', 'pong');
    if (!socket) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  /** The socket is gone. Media goes on; the server is tried again. @param {number} [retryMs] */
  #lost(retryMs) {
    this.#drop();
    if (!this.#wish) return;
    this.lostSince ??= this.#world.now();
    this.#become('reconnecting', !this.#been ? 'unreachable' : this.why === 'restart' ? 'restart' : 'lost');
    const plain = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** this.#attempts);
    const wait = Math.max(plain, retryMs ?? 0) * (1 + JITTER * (2 * this.#world.random() - 1));
    this.#attempts += 1;
    this.#timers.dial = this.#world.setTimeout(() => this.#dial(), Math.min(wait, Math.max(BACKOFF_MS.most, retryMs ?? 0)));
  }

  /** @param {'left' | 'turned_away' | 'replaced' | 'removed' | 'version'} why */
  #end(why) {
    this.#wish = null;
    this.#been = false;
    this.#resume = null;
    if ((why === 'left' || why === 'turned_away') && this.#welcomed) this.#write({ t: 'bye', why: 'left' });
    this.#drop();
    this.#clear('adopt', 'watch');
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.people = [];
    this.lostSince = null;
    this.#attempts = 0;
    this.#become('ended', why);
    this.#tell({ type: 'people' });
  }

  /** Says something as a member. @param {object} message @returns {boolean} */
  #say(message) {
    return this.#joined && this.#write(message);
  }

  /** @param {object} message @returns {boolean} */
  #write(message) {
    // 1 is WebSocket.OPEN; a fake need not have the constants.
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #ping() {
    const world = this.#world;
    this.#clear('ping', 'pong');
    const asked = world.now();
    this.#write({ t: 'ping' });
    this.#timers.pong = world.setTimeout(() => {
      if (this.#heardAt < asked) this.#lost();
    }, PONG_MS);
    this.#timers.ping = world.setTimeout(() => this.#ping(), Math.max(this.#pingMs, PONG_MS));
  }

  /** @param {unknown} data */
  #heard(data) {
    this.#heardAt = this.#world.now();
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      this.#tell({ type: 'problem', code: 'bad_json', text: 'The server said something that is not JSON.' });
      return;
    }
    switch (message?.t) {
      case 'welcome': return this.#onWelcome(message);
      case 'room': return this.#onRoom(message);
      case 'member': return this.#onMember(message);
      case 'link': return this.#onLink(message);
      case 'offer': return this.#links.get(message.link)?.offer(message);
      case 'answer': return this.#links.get(message.link)?.answer(message);
      case 'candidate': return this.#links.get(message.link)?.candidate(message);
      case 'show': return this.#links.get(message.link)?.shownAt(message.height);
      case 'sending': return this.#links.get(message.link)?.pausedBy(message.paused ?? null);
      case 'ask': return this.#onAsk(message);
      case 'ice': this.#ice = message.servers; return undefined;
      case 'error': return this.#onError(message);
      case 'bye': return this.#onBye(message);
      // `pong` has done its work by being heard; what a later server may say is not for us.
      default: return undefined;
    }
  }

  // The session.

  #sayHello() {
    const wish = this.#wish;
    /** @type {Record<string, unknown>} */
    const hello = { t: 'hello', v: [VERSION], node: this.#node, name: wish?.name ?? '', kind: 'browser', caps: this.#caps };
    if (wish?.token) hello.token = wish.token;
    if (this.#resume) hello.resume = this.#resume;
    const keep = [...this.#links.values()].map((link) => link.claim()).filter((claim) => claim !== null);
    if (keep.length > 0) hello.keep = keep;
    this.#write(hello);
  }

  /** @param {any} message */
  #onWelcome(message) {
    const world = this.#world;
    this.#clear('dial');
    this.#welcomed = true;
    this.#memberId = message.member;
    this.#ice = message.ice ?? [];
    this.#relayOnly = message.relay_only ?? false;
    this.#pingMs = message.ping_ms;
    this.#timers.ping = world.setTimeout(() => this.#ping(), this.#pingMs);
    const earlier = this.#resume;
    this.#resume = { session: message.session, secret: message.secret };
    // A session that goes on is a member already, and its snapshot follows by itself.
    if (message.resumed && earlier) return;
    this.#clear('adopt');
    // Another session is another member, whom nobody has seen at a door.
    for (const person of this.people) person.called = false;
    const adoptMs = message.adopt_ms ?? 0;
    this.#adoptUntil = world.now() + adoptMs;
    for (const link of [...this.#links.values()]) {
      link.kept = adoptMs > 0 && link.claim() !== null;
      if (!link.kept) this.#unlink(link);
    }
    if (this.#links.size > 0) this.#timers.adopt = world.setTimeout(() => this.#adoptionEnds(), adoptMs);
    this.#sayJoin();
  }

  #sayJoin() {
    const wish = this.#wish;
    if (!wish) return;
    /** @type {Record<string, unknown>} */
    const join = { t: 'join', role: wish.role ?? 'peer', media: wish.media };
    if (wish.of) {
      const proof = wish.of();
      // It is said again when whoever it belongs to is in the room.
      if (!proof) return;
      join.of = proof;
    }
    if (wish.room) join.room = wish.room;
    if (wish.pin) join.pin = wish.pin;
    if (wish.here) join.here = true;
    this.#write(join);
  }

  /** @param {any} message */
  #onRoom(message) {
    if (!this.#wish) return;
    const first = !this.#been;
    this.#been = true;
    this.#joined = true;
    this.#attempts = 0;
    this.room = message.room;
    this.owner = message.owner;
    if (this.#wish.pin) this.#world.storage.setItem('roomd.pin', this.#wish.pin);

    /** @type {Member[]} */
    const members = message.members;
    const others = members.filter((member) => member.member !== this.#memberId && !this.#isOurs(member));
    this.self = members.find((member) => member.member === this.#memberId) ?? null;
    for (const person of [...this.people]) {
      const still = others.some((member) => member.member === person.member.member);
      if (!still && !person.link?.kept) this.#forget(person, !first);
    }
    // Links first: one that was kept brings its person with it, who is then not a newcomer.
    const listed = new Set();
    for (const entry of message.links) {
      listed.add(entry.link);
      const member = others.find((other) => other.member === entry.peer);
      const link = this.#links.get(entry.link);
      if (member && link) this.#adopt(link, member);
    }
    for (const member of others) this.#meet(member, !first);
    for (const link of [...this.#links.values()]) {
      if (!listed.has(link.id) && !link.kept) this.#unlink(link);
    }
    for (const entry of message.links) this.#present(entry)?.resume();
    this.#correctMe();

    const since = this.lostSince;
    this.lostSince = null;
    this.#become('joined', null);
    if (since !== null && !first) this.#tell({ type: 'back', after: this.#world.now() - since });
    this.#tell({ type: 'people' });
    if (first) {
      this.#uplink = new Uplink();
      this.#uplink.begin(this.people.filter(({ member }) => member.role !== 'sender' && member.member !== this.self?.of).length);
    }
    this.#clear('watch');
    this.#watch();
  }

  /** A resumed session may remember what we said before we changed our mind. */
  #correctMe() {
    const wish = this.#wish;
    const self = this.self;
    if (!wish || !self) return;
    /** @type {{ name?: string, media?: Media, here?: boolean }} */
    const me = {};
    if (wish.name && !wish.of && self.name !== wish.name) me.name = wish.name;
    const media = this.#media;
    if (self.media.audio !== media?.audio || self.media.video !== media?.video) me.media = media;
    if ((self.here ?? false) !== (wish.here ?? false)) me.here = wish.here ?? false;
    if (Object.keys(me).length === 0) return;
    this.self = { ...self, ...me };
    this.#say({ t: 'me', ...me });
  }

  /** @param {any} message */
  #onError(message) {
    if (REFUSALS.has(message.code) && !this.#joined) {
      // On the way back, what passes by itself is waited for.
      if (this.#been && PASSING.has(message.code)) {
        this.#lost(message.retry_ms);
        return;
      }
      for (const person of [...this.people]) this.#forget(person, false);
      if (message.code === 'bad_pin' || message.code === 'need_pin') this.#world.storage.removeItem('roomd.pin');
      this.#wish = null;
      this.#been = false;
      this.lostSince = null;
      this.#attempts = 0;
      if (message.fatal) {
        this.#resume = null;
        this.#drop();
      }
      this.#become('refused', message.code);
      this.#tell({ type: 'refused', code: message.code, text: message.text, retryMs: message.retry_ms ?? null });
      return;
    }
    const link = this.#links.get(message.link);
    if (message.code === 'no_link' && link && !link.kept) {
      this.#unlink(link);
      this.#tell({ type: 'people' });
    }
    this.#tell({ type: 'problem', code: message.code, text: message.text });
    if (message.fatal) this.#lost(message.retry_ms);
  }

  /** Somebody asks us to send less; it is for the person at the page to say. @param {any} message */
  #onAsk(message) {
    const person = this.#personOf(message.from);
    if (person && person.link?.id === message.link) this.#tell({ type: 'asked', person, what: message.what });
  }

  /** @param {any} message */
  #onBye(message) {
    if (message.why === 'replaced' || message.why === 'removed') {
      this.#end(message.why);
      return;
    }
    if (message.why === 'restart') this.why = 'restart';
    this.#lost(message.retry_ms);
  }

  // The people.

  /** @param {any} message */
  #onMember(message) {
    this.owner = message.owner;
    /** @type {Member} */
    const member = message.member;
    if (member.member === this.#memberId) {
      if (message.ev !== 'left') this.self = member;
      this.#tell({ type: 'people' });
      return;
    }
    if (this.#isOurs(member)) return;
    const person = this.#personOf(member.member);
    if (message.ev === 'left') {
      if (person) this.#forget(person, true);
    } else {
      this.#meet(member, true);
    }
    this.#tell({ type: 'people' });
  }

  /** Our own screen is not shown to us. @param {Member} member */
  #isOurs({ of }) {
    return of !== undefined && of === this.#memberId;
  }

  /** A screen is all that we send, and nothing is sent to it. */
  get #isScreen() {
    return this.#wish?.role === 'sender';
  }

  /** @param {string} member */
  #personOf(member) {
    return this.people.find((person) => person.member.member === member) ?? null;
  }

  /** Knows this member, from now on or as it has become. @param {Member} member @param {boolean} aloud */
  #meet(member, aloud) {
    const person = this.#personOf(member.member);
    if (!person) {
      const link = [...this.#links.values()].find(({ peer }) => peer === member.member) ?? null;
      const met = { key: ++this.#keys, member, link, height: this.#isScreen ? 0 : null, called: false };
      this.people.push(met);
      this.#show(met);
      if (aloud) this.#tell({ type: 'came', person: met });
      return;
    }
    const before = person.member;
    person.member = member;
    // Whoever sits in a room does not need our sound, and who has left it does.
    if ((before.here ?? false) !== (member.here ?? false)) void person.link?.connection?.replace();
    this.#tell({ type: 'changed', person, before });
  }

  /** @param {Person} person @param {boolean} aloud */
  #forget(person, aloud) {
    this.people = this.people.filter((other) => other !== person);
    if (person.link) {
      person.link.close();
      this.#links.delete(person.link.id);
      person.link = null;
    }
    if (aloud) this.#tell({ type: 'went', person });
  }

  // The links.

  /** @param {any} message */
  #onLink(message) {
    const link = this.#links.get(message.link);
    switch (message.ev) {
      case 'begin':
        this.#present(message);
        break;
      case 'adopted': {
        const member = this.#personOf(message.peer)?.member;
        if (link && member) this.#adopt(link, member);
        if (link) this.#present(message)?.resume();
        else this.#present(message, 'adopted');
        break;
      }
      case 'ended':
        if (link && message.gen >= link.generation) this.#unlink(link);
        break;
      default:
        break;
    }
    this.#tell({ type: 'people' });
  }

  /**
   * The server has this link in this generation: begins it, unless it is ours already.
   * @param {{ link: string, peer: string, gen: number, offerer: boolean, why?: string }} entry
   * @param {'begun' | 'adopted'} how an adopted one should be ours, and is rebuilt if it is not
   * @returns {Link | null} the link, where we had this generation
   */
  #present(entry, how = 'begun') {
    let link = this.#links.get(entry.link);
    if (link?.generation === entry.gen) return link;
    if (!link) {
      link = new Link(this.#host(entry.link), entry.link, entry.peer);
      this.#links.set(entry.link, link);
      const person = this.#succeed(this.#personOf(entry.peer));
      if (person) {
        if (person.link) this.#unlink(person.link);
        person.link = link;
      }
    }
    if (how === 'begun') link.begin(entry.gen, entry.offerer, entry.why);
    else link.miss(entry.gen, entry.offerer);
    const person = this.people.find((other) => other.link === link);
    if (person) this.#show(person);
    link.pause(this.paused);
    return null;
  }

  /**
   * A device that restarted together with its server comes back as another member and claims
   * nothing. It takes the place of the one we remember, so that it is not seen twice.
   * @param {Person | null} person
   */
  #succeed(person) {
    if (person?.member.kind !== 'device') return person;
    const { name } = person.member;
    const earlier = this.people.find(
      (other) => other !== person && other.link?.kept && other.member.kind === 'device' && other.member.name === name,
    );
    if (!earlier) return person;
    this.people = this.people.filter((other) => other !== person);
    earlier.member = person.member;
    return earlier;
  }

  /**
   * A kept link has found its other side, which is a member of another id since the restart.
   * The person stays the same, so that no picture moves.
   * @param {Link} link
   * @param {Member} member
   */
  #adopt(link, member) {
    if (link.peer === member.member) return;
    const kept = this.#personOf(link.peer);
    link.peer = member.member;
    const met = this.#personOf(member.member);
    if (!kept) {
      if (met) met.link = link;
      return;
    }
    if (met && met !== kept) this.people = this.people.filter((person) => person !== met);
    const before = kept.member;
    kept.member = member;
    kept.link = link;
    this.#tell({ type: 'changed', person: kept, before });
  }

  #adoptionEnds() {
    for (const link of [...this.#links.values()]) if (link.kept) this.#orphaned(link);
    this.#tell({ type: 'people' });
  }

  /** Nobody has adopted this link, or it died before: its person goes with it. @param {Link} link */
  #orphaned(link) {
    const person = this.#personOf(link.peer);
    this.#unlink(link);
    if (person) this.#forget(person, true);
  }

  /** @param {Link} link */
  #unlink(link) {
    link.close();
    this.#links.delete(link.id);
    for (const person of this.people) if (person.link === link) person.link = null;
  }

  /** @param {string} id @returns {import('./link.js').Host} */
  #host(id) {
    const person = () => this.people.find(({ link }) => link?.id === id) ?? null;
    return {
      world: this.#world,
      send: (message) => {
        const link = this.#links.get(id);
        // A kept link is not the new server's yet, so nothing can be said on it.
        return link !== undefined && !link.kept && this.#say(message);
      },
      ice: () => ({ iceServers: this.#ice, relayOnly: this.#relayOnly }),
      tracks: () => this.#tracksFor(person()?.member),
      screen: this.#isScreen,
      videoCodec: () => {
        const theirs = person()?.member.caps;
        return theirs ? chooseVideo(this.#caps, theirs) : null;
      },
      theirMedia: () => {
        const theirs = person()?.member.media;
        if (!theirs || this.#isScreen) return { audio: false, video: false };
        // Sound that is not sent to one who sits in the room is not missing.
        return this.#wish?.here ? { ...theirs, audio: false } : theirs;
      },
      visible: () => this.#visible,
      most: () => this.#uplink.most,
      changed: (what) => {
        const link = this.#links.get(id);
        if (!link) return;
        if (what === 'state' && link.kept && link.claim() === null) {
          this.#orphaned(link);
          this.#tell({ type: 'people' });
          return;
        }
        this.#tell({ type: what === 'track' ? 'track' : 'link', person: person(), link });
      },
    };
  }

  /** What this member is sent of ours. @param {Member | undefined} member */
  #tracksFor(member) {
    // Who only sends, as a screen does, would look at nothing.
    if (member?.role === 'sender') return { audio: null, video: null };
    const { audio, video } = this.#tracks;
    return { audio: member?.here ? null : audio, video: this.covered ? null : video };
  }

  /** Looks after all links, about once a second. There is one such round at a time. */
  #watch() {
    const timer = this.#world.setTimeout(async () => {
      await Promise.allSettled([...this.#links.values()].map((link) => link.connection?.watch()));
      this.#budget();
      // It may have been ended, or begun anew, meanwhile.
      const goesOn = this.state === 'joined' || this.state === 'reconnecting';
      if (goesOn && this.#timers.watch === timer) this.#watch();
    }, WATCH_MS);
    this.#timers.watch = timer;
  }

  /** Divides what the uplink carries. */
  #budget() {
    const flows = [...this.#links.values()].map((link) => link.connection?.flow ?? null).filter((flow) => flow !== null);
    const { paused } = this.#uplink;
    if (!this.#uplink.judge(this.#world.now(), flows, this.#visible)) return;
    for (const link of this.#links.values()) {
      void link.connection?.tune();
      link.pause(this.paused);
    }
    if (paused !== this.#uplink.paused) this.#tell({ type: 'uplink', paused: this.paused });
  }

  /** @param {State} state @param {string | null} why */
  #become(state, why) {
    if (this.state === state && this.why === why) return;
    this.state = state;
    this.why = why;
    this.#tell({ type: 'state', state, why });
  }

  /** @param {('dial' | 'ping' | 'pong' | 'adopt' | 'watch')[]} names */
  #clear(...names) {
    for (const name of names) {
      this.#world.clearTimeout(this.#timers[name]);
      this.#timers[name] = 0;
    }
  }
}
