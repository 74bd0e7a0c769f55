// A server of `roomd.v1` in a few lines, for what a real one is not asked to do on purpose: to be
// full, to be of another version, to lose its memory at a given moment. It speaks HTTP on loopback,
// which browsers count as a secure context.

import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const WEB = fileURLToPath(new URL('../../web/', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const id = () => createHash('sha256').update(randomBytes(16)).digest('hex').slice(0, 26);

export class FakeServer {
  settings = { name: 'Atrium', room: 'atrium', pin: '123456', refuse: null, adoptMs: 30_000, graceMs: 30_000, offerer: 'first', ice: [] };
  /** Everything the members said, by type, for tests that look. */
  heard = [];
  /** Names that count as another kind than they say. */
  kindOf = {};
  #http;
  #sockets = new Set();
  #members = [];
  #links = new Map();
  #claims = new Map();
  #adoptUntil = 0;
  #wrong = 0;
  port = 0;

  constructor(settings = {}) {
    Object.assign(this.settings, settings);
  }

  async start(port = 0) {
    this.#http = createServer((request, response) => void this.#serve(request, response));
    const wss = new WebSocketServer({ noServer: true, handleProtocols: (offered) => (offered.has('roomd.v1') ? 'roomd.v1' : false) });
    this.#http.on('upgrade', (request, socket, head) => {
      wss.handleUpgrade(request, socket, head, (ws) => this.#open(ws));
    });
    await new Promise((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, '127.0.0.1', resolve);
    });
    this.port = this.#http.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** Ends as by SIGKILL: no goodbye, and everything forgotten. */
  async kill() {
    for (const ws of this.#sockets) ws.terminate();
    this.#sockets.clear();
    this.#members = [];
    this.#links.clear();
    this.#http.closeAllConnections?.();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  /** How many are in the room, or expected back. */
  get size() {
    return this.#members.length;
  }

  /** The same again on the same port; kept links may find each other. */
  async restart() {
    this.#adoptUntil = Date.now() + this.settings.adoptMs;
    this.#claims.clear();
    await this.start(this.port);
  }

  /** Says something to every connection. */
  say(message) {
    for (const ws of this.#sockets) ws.send(JSON.stringify(message));
  }

  /** Adds a member that is not there: it has a name and no media. */
  addGhost(member) {
    const ghost = { ws: null, media: { audio: true, video: true }, kind: 'browser', role: 'peer', caps: { send: ['vp8', 'opus'], recv: ['vp8', 'opus'] }, id: id(), ...member };
    this.#enter(ghost, { linked: member.linked ?? true });
    return ghost;
  }

  changeGhost(ghost, change) {
    Object.assign(ghost, change);
    this.#broadcast({ t: 'member', ev: 'changed', member: tell(ghost), owner: this.#owner }, ghost);
  }

  removeMember(ghost) {
    this.#gone(ghost);
  }

  async #serve(request, response) {
    const { pathname } = new URL(request.url, 'http://x');
    response.setHeader('content-security-policy', POLICY);
    response.setHeader('cache-control', 'no-store');
    if (pathname === '/about') {
      const { name, room, pin } = this.settings;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name, room, version: '0', needs_pin: pin !== null, authority: { name: 'Atrium authority', sha256: 'AB:CD' } }));
      return;
    }
    const file = normalize(pathname === '/' ? '/index.html' : pathname);
    try {
      const body = await readFile(join(WEB, file));
      response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  }

  #open(ws) {
    this.#sockets.add(ws);
    const member = { ws, joined: false };
    ws.on('message', (data) => this.#hear(member, JSON.parse(String(data))));
    ws.on('close', () => {
      this.#sockets.delete(ws);
      if (member.ws !== ws || !member.joined) return;
      member.ws = null;
      member.away = true;
      this.#broadcast({ t: 'member', ev: 'changed', member: tell(member), owner: this.#owner }, member);
      member.grace = setTimeout(() => this.#gone(member), this.settings.graceMs).unref();
    });
  }

  #hear(member, message) {
    this.heard.push(message);
    const send = (reply) => member.ws?.send(JSON.stringify(reply));
    switch (message.t) {
      case 'hello': {
        const welcome = {
          t: 'welcome', v: 1, grace_ms: this.settings.graceMs, ping_ms: 15_000, adopt_ms: Math.max(0, this.#adoptUntil - Date.now()),
          limits: { frame: 65_536, room: 8, rate: 50 }, ice: this.settings.ice, relay_only: false,
        };
        const before = this.#members.find((other) => other.session && other.session === message.resume?.session && other.secret === message.resume?.secret);
        if (before) {
          clearTimeout(before.grace);
          const { ws } = member;
          Object.assign(before, { ws, away: false, secret: id() });
          ws.removeAllListeners('message');
          ws.on('message', (data) => this.#hear(before, JSON.parse(String(data))));
          ws.removeAllListeners('close');
          ws.on('close', () => {
            this.#sockets.delete(ws);
            if (before.ws === ws) this.#gone(before);
          });
          ws.send(JSON.stringify({ ...welcome, session: before.session, secret: before.secret, member: before.id, resumed: true, adopt_ms: 0 }));
          this.#broadcast({ t: 'member', ev: 'changed', member: tell(before), owner: this.#owner }, before);
          const unfinished = [...this.#links.values()].filter((link) => (link.a === before || link.b === before) && !link.answered);
          ws.send(JSON.stringify(this.#snapshot(before)));
          for (const link of unfinished) this.#again(link, 'resumed');
          break;
        }
        const twin = this.#members.find(({ node }) => node === message.node);
        if (twin) {
          twin.ws?.send(JSON.stringify({ t: 'bye', why: 'replaced' }));
          twin.ws?.close(4409);
          this.#gone(twin);
        }
        Object.assign(member, {
          id: id(), session: id(), secret: id(), node: message.node, name: message.name, kind: this.kindOf[message.name] ?? message.kind, caps: message.caps, keep: message.keep ?? [], role: 'peer',
        });
        send({ ...welcome, session: member.session, secret: member.secret, member: member.id, resumed: false });
        break;
      }
      case 'join': {
        const { refuse, pin } = this.settings;
        if (refuse) {
          send({ t: 'error', re: 'join', text: 'no', ...refuse });
        } else if (pin !== null && message.pin === undefined) {
          send({ t: 'error', re: 'join', code: 'need_pin', text: 'a PIN is needed' });
        } else if (pin !== null && message.pin !== pin) {
          this.#wrong += 1;
          send(this.#wrong >= 5
            ? { t: 'error', re: 'join', code: 'pin_wait', text: 'wait', retry_ms: 42_000 }
            : { t: 'error', re: 'join', code: 'bad_pin', text: 'wrong' });
        } else {
          member.joined = true;
          member.media = message.media;
          member.here = message.here ?? false;
          this.#enter(member);
        }
        break;
      }
      case 'me':
        if (message.name) member.name = message.name;
        if (message.media) member.media = message.media;
        if (message.here !== undefined) member.here = message.here;
        this.#broadcast({ t: 'member', ev: 'changed', member: tell(member), owner: this.#owner }, member);
        break;
      case 'offer': case 'answer': case 'candidate': case 'show': {
        const link = this.#links.get(message.link);
        if (!link || (message.gen && message.gen !== link.gen)) break;
        if (message.t === 'answer') link.answered = true;
        const other = link.a === member ? link.b : link.a;
        other.ws?.send(JSON.stringify({ ...message, from: member.id }));
        break;
      }
      case 'again': {
        const link = this.#links.get(message.link);
        if (!link || message.gen !== link.gen) break;
        this.#again(link, message.why);
        break;
      }
      case 'ping': send({ t: 'pong' }); break;
      case 'bye': this.#gone(member); member.ws?.close(); break;
      default: break;
    }
  }

  get #owner() {
    return this.#members[0]?.id ?? 'nobody00';
  }

  #snapshot(member) {
    return {
      t: 'room', room: 'atrium', owner: this.#owner, members: this.#members.map(tell),
      links: [...this.#links.values()].filter(({ a, b, answered }) => answered && (a === member || b === member))
        .map((link) => ({ link: link.id, peer: (link.a === member ? link.b : link.a).id, gen: link.gen, offerer: link.offerer === member })),
    };
  }

  #enter(member, { linked = true } = {}) {
    const others = linked ? [...this.#members] : [];
    this.#members.push(member);
    this.#broadcast({ t: 'member', ev: 'joined', member: tell(member), owner: this.#owner }, member);
    const fresh = [];
    const adopted = [];
    for (const other of others) {
      const kept = (member.keep ?? []).find(({ link, gen, offerer }) => {
        const claim = (other.keep ?? []).find((their) => their.link === link);
        return claim && claim.gen === gen && claim.offerer !== offerer && Date.now() < this.#adoptUntil;
      });
      // The one who was there first offers; a device offers to pages.
      const offerer = kept ? (kept.offerer ? member : other) : member.kind === 'device' ? member : other;
      const link = { id: kept?.link ?? id(), gen: kept?.gen ?? 1, a: other, b: member, offerer, answered: Boolean(kept) };
      this.#links.set(link.id, link);
      (kept ? adopted : fresh).push(link);
    }
    member.ws?.send(JSON.stringify(this.#snapshot(member)));
    for (const link of adopted) this.#tellBoth(link, 'adopted');
    for (const link of fresh) this.#tellBoth(link, 'begin');
  }

  #again(link, why) {
    link.gen += 1;
    link.answered = false;
    this.#tellBoth(link, 'begin', why);
  }

  #tellBoth(link, ev, why) {
    this.#tellLink(link, ev, why, link.a);
    this.#tellLink(link, ev, why, link.b);
  }

  #tellLink(link, ev, why, to) {
    const peer = link.a === to ? link.b : link.a;
    to.ws?.send(JSON.stringify({ t: 'link', ev, link: link.id, peer: peer.id, gen: link.gen, offerer: link.offerer === to, ...(why && { why }) }));
  }

  #gone(member) {
    clearTimeout(member.grace);
    member.joined = false;
    if (!this.#members.includes(member)) return;
    this.#members = this.#members.filter((other) => other !== member);
    for (const link of [...this.#links.values()]) {
      if (link.a !== member && link.b !== member) continue;
      this.#links.delete(link.id);
      this.#tellLink(link, 'ended', undefined, link.a === member ? link.b : link.a);
    }
    this.#broadcast({ t: 'member', ev: 'left', member: tell(member), owner: this.#owner });
  }

  #broadcast(message, except) {
    for (const member of this.#members) if (member !== except) member.ws?.send(JSON.stringify(message));
  }
}

function tell({ id: member, name, kind, role, media, caps, here, away }) {
  return { member, name, kind, role, media, caps, ...(here && { here }), ...(away && { away }) };
}
