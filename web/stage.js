// @ts-check
/**
 * The room as it is seen: a tile for everybody, and where each stands.
 *
 * Tiles are made once, stay where they are in the document, and are moved by transforms, so that
 * neither focus nor a picture is lost when somebody comes or goes.
 *
 * @typedef {object} Seen What a tile shows.
 * @property {string} key
 * @property {string} member
 * @property {string} name
 * @property {boolean} self
 * @property {boolean} device
 * @property {boolean} away
 * @property {boolean} here it sits in the room of a device, which speaks and hears for it
 * @property {boolean} recording
 * @property {boolean} sharing its screen is a picture of its own
 * @property {boolean} screen it is somebody's screen, and no person
 * @property {{ audio: boolean, video: boolean, no_microphone?: boolean, no_camera?: boolean, hold?: string, tries?: number }} media
 * @property {'connecting' | 'live' | 'broken' | 'none'} state
 * @property {string | null} why
 * @property {string | null} paused why the picture is not sent at present, although the camera is on
 * @property {number} failures
 * @property {number} since
 * @property {MediaStreamTrack | null} audio
 * @property {MediaStreamTrack | null} video
 * @property {string} stats
 */

import { ASPECT, fitting, grid, spotlight, wanted } from './layout.js';
import { hue, initials, ofClosed, ofPerson, ofPause, ofTile } from './words.js';

/** Below this, in either direction, a screen is a phone's. */
const PHONE = 500;
/** What the bar takes of an upright phone, where thumbs are. */
const BAR = 84;
/** A speaker's pause for breath; after it somebody else may become large. */
const HOLD_MS = 1_500;

export class Stage {
  /** Whose tile is large because somebody said so. @type {string | null} */
  pinned = null;
  /** Screens that are as large as everybody because somebody said so. @type {Set<string>} */
  #putBack = new Set();
  #list;
  #template;
  #bar;
  #on;
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #speaker = '';
  /** When the speaker was last heard. */
  #spokeAt = 0;
  #sink = '';
  #asking = 0;

  /**
   * @param {object} options
   * @param {HTMLElement} options.list
   * @param {HTMLTemplateElement} options.template
   * @param {HTMLElement} options.bar
   * @param {{ details: (key: string) => void, show: (key: string, height: number) => void, blocked: () => void, pinned: (name: string | null) => void }} options.on
   */
  constructor({ list, template, bar, on }) {
    this.#list = list;
    this.#template = template;
    this.#bar = bar;
    this.#on = on;
    new ResizeObserver(() => this.arrange()).observe(list);
  }

  /** Shows exactly these, in this order. @param {Seen[]} all @param {number} now */
  render(all, now) {
    const keys = new Set(all.map(({ key }) => key));
    const before = this.#screen?.[0];
    let changed = false;
    for (const [key, tile] of this.#tiles) {
      if (keys.has(key)) continue;
      this.#remove(key, tile);
      changed = true;
    }
    for (const seen of all) {
      let tile = this.#tiles.get(seen.key);
      if (!tile) {
        tile = this.#add(seen);
        changed = true;
      }
      tile.show(seen, now);
    }
    if (changed || this.#screen?.[0] !== before) this.arrange();
  }

  /** Nobody is here any more. */
  clear() {
    for (const [key, tile] of this.#tiles) this.#remove(key, tile);
    this.pinned = null;
    this.#putBack.clear();
  }

  /** @param {string} key @param {boolean} speaks @param {number} now */
  speaking(key, speaks, now) {
    const tile = this.#tiles.get(key);
    if (!tile) return;
    tile.element.classList.toggle('speaking', speaks);
    if (!speaks || tile.seen?.self) return;
    // Whoever speaks stays large until it has been quiet for a while, whoever else speaks too.
    const stays = key !== this.#speaker && this.#tiles.has(this.#speaker) && now - this.#spokeAt < HOLD_MS;
    if (stays) return;
    this.#spokeAt = now;
    if (key === this.#speaker) return;
    this.#speaker = key;
    if (this.#phone && !this.pinned) this.arrange();
  }

  /** Makes one large, or no longer. @param {string} key */
  pin(key) {
    const isLarge = this.pinned === key || (!this.pinned && this.#screen?.[0] === key);
    this.pinned = isLarge ? null : key;
    if (isLarge) this.#putBack.add(key);
    else this.#putBack.delete(key);
    this.#on.pinned(this.pinned ? (this.#tiles.get(this.pinned)?.seen?.name ?? null) : null);
    this.arrange();
  }

  /** Plays everybody; some browsers want a touch first. */
  play() {
    for (const tile of this.#tiles.values()) tile.play();
  }

  /** @param {string} id of the speaker that everybody comes out of */
  sink(id) {
    this.#sink = id;
    for (const tile of this.#tiles.values()) tile.sink(id);
  }

  /** Puts every tile where it belongs. */
  arrange() {
    const width = this.#list.clientWidth;
    const upright = this.#phone && this.#list.clientHeight > width;
    const height = this.#list.clientHeight - (upright ? BAR : 0);
    const tiles = [...this.#tiles.values()];
    if (tiles.length === 0 || width === 0 || height <= 0) return;
    const large = this.#large(tiles);
    if (large) {
      const others = tiles.filter((tile) => tile !== large);
      const places = spotlight(others.length, { width, height, aspect: large.aspect });
      large.place(places.large, true);
      others.forEach((tile, index) => tile.place(places.strip[index], false));
    } else {
      grid(tiles.length, { width, height }).forEach((rect, index) => tiles[index].place(rect, false));
    }
    const bar = this.#bar.getBoundingClientRect();
    const origin = this.#list.getBoundingClientRect();
    for (const tile of tiles) tile.under(bar, origin, !upright);
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => this.#ask(), 250);
  }

  /** Asks everybody for the size at which they are shown. */
  #ask() {
    const scale = Math.min(2, devicePixelRatio || 1);
    for (const [key, tile] of this.#tiles) {
      if (!tile.seen?.self) this.#on.show(key, wanted(tile.height * scale));
    }
  }

  get #phone() {
    return Math.min(innerWidth, innerHeight) < PHONE;
  }

  /** The screen that is large by itself: the one that came last, unless it is lost. */
  get #screen() {
    const screens = [...this.#tiles].filter(([key, { seen }]) => seen?.screen && seen.state !== 'broken' && !this.#putBack.has(key));
    return screens.pop() ?? null;
  }

  /** Who is large: the one that was chosen; else a screen; on a phone else who spoke last, else the first. @param {Tile[]} tiles */
  #large(tiles) {
    const pinned = this.pinned && this.#tiles.get(this.pinned);
    if (pinned) return pinned;
    const screen = this.#screen?.[1];
    if (screen) return screen;
    if (!this.#phone) return null;
    return this.#tiles.get(this.#speaker) ?? tiles.find(({ seen }) => seen?.device) ?? tiles[0];
  }

  /** @param {Seen} seen */
  #add(seen) {
    const fragment = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const element = /** @type {HTMLElement} */ (fragment.firstElementChild);
    const tile = new Tile(element, {
      enlarge: () => this.pin(seen.key),
      details: () => this.#on.details(seen.key),
      reshaped: () => this.arrange(),
      blocked: () => this.#on.blocked(),
    });
    if (this.#sink) tile.sink(this.#sink);
    // Our own tile stays last, in the document as on the screen, and nobody else's is moved.
    const self = [...this.#tiles.values()].find((other) => other.seen?.self);
    this.#list.insertBefore(element, self?.element ?? null);
    const before = [...this.#tiles];
    this.#tiles.set(seen.key, tile);
    if (self && !seen.self) {
      this.#tiles = new Map([...before.filter(([, other]) => other !== self), [seen.key, tile], ...before.filter(([, other]) => other === self)]);
    }
    return tile;
  }

  /** @param {string} key @param {Tile} tile */
  #remove(key, tile) {
    const focused = tile.element.contains(document.activeElement);
    const next = tile.element.nextElementSibling ?? tile.element.previousElementSibling;
    tile.end();
    this.#tiles.delete(key);
    if (this.pinned === key) this.pinned = null;
    this.#putBack.delete(key);
    // Focus goes to a neighbour, not back to the top of the page.
    if (focused) /** @type {HTMLElement | null} */ (next?.querySelector('.enlarge'))?.focus();
  }
}

/** One person's tile. */
class Tile {
  /** @type {Seen | null} */
  seen = null;
  /** Of the picture that comes. */
  aspect = ASPECT;
  height = 0;
  #rect = { x: 0, y: 0, width: 0, height: 0 };
  #on;
  #video;
  #audio;
  #canvas;
  /** A frame of the present picture has been drawn. */
  #drawn = false;
  /** The canvas holds the last frame of a picture that was lost. */
  #kept = false;

  /**
   * @param {HTMLElement} element
   * @param {{ enlarge: () => void, details: () => void, reshaped: () => void, blocked: () => void }} on
   */
  constructor(element, on) {
    this.element = element;
    this.#on = on;
    this.#video = /** @type {HTMLVideoElement} */ (element.querySelector('.picture'));
    this.#audio = /** @type {HTMLAudioElement} */ (element.querySelector('audio'));
    this.#canvas = /** @type {HTMLCanvasElement} */ (element.querySelector('.last'));
    const enlarge = this.#part('.enlarge');
    // A click of the mouse takes two, so that nobody makes a tile large by clearing the screen;
    // a finger or a key takes one.
    enlarge.addEventListener('click', (event) => {
      const mouse = /** @type {PointerEvent} */ (event).pointerType === 'mouse';
      if (!mouse) on.enlarge();
    });
    enlarge.addEventListener('dblclick', (event) => {
      if (/** @type {PointerEvent} */ (event).pointerType !== 'touch') on.enlarge();
    });
    this.#part('.trouble button').addEventListener('click', () => on.details());
    this.#video.addEventListener('resize', () => this.#reshape());
    element.classList.add('new');
  }

  /** @param {Seen} seen @param {number} now */
  show(seen, now) {
    const before = this.seen;
    this.seen = seen;
    const { element } = this;
    element.dataset.key = seen.key;
    element.dataset.member = seen.member;
    element.classList.toggle('self', seen.self);
    element.classList.toggle('screen', seen.screen);
    if (before?.member !== seen.member || before?.name !== seen.name) {
      const circle = this.#part('.initials');
      circle.className = `initials hue-${hue(seen.member)}`;
      circle.textContent = initials(seen.name);
      this.#part('.name').textContent = seen.self ? `${seen.name} (you)` : seen.name;
    }
    this.#part('.mark.room').hidden = !seen.device;
    this.#part('.mark.here').hidden = !seen.here;
    // Of a room that is not open yet nothing is switched off.
    const closed = seen.device ? ofClosed(seen.media.hold) : null;
    this.#part('.mark.mic').hidden = seen.media.audio || seen.here || seen.screen || closed !== null;
    this.#part('.mark.cam').hidden = seen.media.video || closed !== null;

    this.#follow(seen);
    const muted = !seen.media.audio || seen.here;
    const paused = seen.media.video ? seen.paused : null;
    const trouble = seen.self
      ? (paused === null ? null : ofPause(muted, paused))
      : ofTile({ name: seen.name, state: seen.state, why: seen.why, failures: seen.failures, seconds: (now - seen.since) / 1000, away: seen.away, paused, muted })
        ?? closed;
    this.#tell(trouble);
    if (!seen.self && paused === null && before?.paused && this.#drawn) {
      // The picture that was paused stands still until the next comes.
      this.#drawn = false;
      this.#await();
    }
    const lost = !seen.self && (seen.state === 'broken' || (seen.state === 'connecting' && this.#kept) || paused !== null);
    if (lost && !this.#kept) this.#keep();
    if (!lost && this.#drawn) this.#kept = false;
    element.classList.toggle('lost', lost && this.#kept && seen.media.video);
    element.classList.toggle('seen', this.#drawn && seen.media.video && !lost);
    element.classList.toggle('troubled', trouble !== null);

    const stats = this.#part('.stats');
    stats.hidden = !seen.stats;
    if (stats.textContent !== seen.stats) stats.textContent = seen.stats;
    this.#label(trouble?.text ?? null);
  }

  /** @param {import('./layout.js').Rect} rect @param {boolean} large */
  place(rect, large) {
    const { style, classList } = this.element;
    this.#rect = rect;
    this.height = rect.height;
    style.transform = `translate(${rect.x}px, ${rect.y}px)`;
    style.width = `${rect.width}px`;
    style.height = `${rect.height}px`;
    this.#part('.enlarge').setAttribute('aria-pressed', String(large));
    this.#fit();
    if (classList.contains('new')) {
      // It appears where it belongs, and only then fades in.
      void this.element.offsetWidth;
      classList.remove('new');
    }
  }

  /** The bar covers the lower edge of some tiles: their names step up. @param {DOMRect} bar @param {DOMRect} origin @param {boolean} floats */
  under(bar, origin, floats) {
    const { x, y, width, height } = this.#rect;
    const left = origin.left + x;
    const right = left + width;
    const covers = (/** @type {number} */ from, /** @type {number} */ to) => from < bar.right && to > bar.left;
    const covered =
      floats && height > 140 && origin.top + y + height > bar.top &&
      (covers(left, left + this.#part('.label').offsetWidth + 16) || covers(right - this.#part('.marks').offsetWidth - 16, right));
    this.element.classList.toggle('under-bar', covered);
  }

  play() {
    if (this.#audio.srcObject) {
      this.#audio.play().catch((error) => {
        if (error?.name === 'NotAllowedError') this.#on.blocked();
      });
    }
    if (this.#video.srcObject) this.#video.play().catch(() => {});
  }

  /** @param {string} id */
  sink(id) {
    const audio = /** @type {any} */ (this.#audio);
    // A speaker that is gone leaves the sound where it was.
    audio.setSinkId?.(id)?.catch(() => {});
  }

  end() {
    this.#video.srcObject = null;
    this.#audio.srcObject = null;
    this.element.remove();
  }

  /** @param {Seen} seen */
  #follow(seen) {
    const video = seen.video && (seen.media.video || !seen.self) ? seen.video : null;
    if (trackOf(this.#video) !== video) {
      if (this.#drawn && !seen.self && !this.#kept && seen.media.video) this.#keep();
      this.#drawn = false;
      this.#video.srcObject = video && new MediaStream([video]);
      if (video) {
        this.#video.play().catch(() => {});
        this.#await();
      }
    } else if (!seen.media.video && this.#drawn) {
      // When the camera is on again, its old picture is not shown first.
      this.#drawn = false;
      this.#await();
    }
    if (!seen.self && trackOf(this.#audio) !== seen.audio) {
      this.#audio.srcObject = seen.audio && new MediaStream([seen.audio]);
      this.play();
    }
  }

  /** Waits for the next frame, and shows the picture from then on. */
  #await() {
    const video = this.#video;
    const source = video.srcObject;
    const drawn = () => {
      if (video.srcObject !== source) return;
      if (this.seen && !this.seen.media.video) {
        this.#next(drawn);
        return;
      }
      this.#drawn = true;
      this.#reshape();
      const lost = this.seen?.state === 'broken' || (!this.seen?.self && this.seen?.paused !== null);
      this.element.classList.toggle('seen', !lost);
      if (!lost) {
        this.#kept = false;
        this.element.classList.remove('lost');
      }
    };
    this.#next(drawn);
  }

  /** @param {() => void} then */
  #next(then) {
    const video = this.#video;
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(then);
    else /** @type {HTMLVideoElement} */ (video).addEventListener('timeupdate', then, { once: true });
  }

  /** Keeps the last frame, to be blurred while the picture is away. */
  #keep() {
    const { videoWidth, videoHeight } = this.#video;
    if (!this.#drawn || !videoWidth) return;
    // It is blurred anyway, so a few pixels are enough.
    this.#canvas.width = 160;
    this.#canvas.height = Math.max(1, Math.round((160 * videoHeight) / videoWidth));
    this.#canvas.getContext('2d')?.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    this.#kept = true;
  }

  #reshape() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !videoHeight) return;
    const aspect = videoWidth / videoHeight;
    if (Math.abs(aspect - this.aspect) < 0.01) return;
    this.aspect = aspect;
    this.#fit();
    this.#on.reshaped();
  }

  #fit() {
    if (this.#rect.height === 0) return;
    // Of a screen nothing is cut off.
    const how = this.seen?.screen ? 'contain' : fitting(this.aspect, this.#rect.width / this.#rect.height);
    this.element.classList.toggle('contain', how === 'contain');
  }

  /** @param {{ text: string, short: string, details: boolean } | null} trouble */
  #tell(trouble) {
    const box = this.#part('.trouble');
    box.hidden = trouble === null;
    if (!trouble) return;
    for (const [part, text] of [['.long', trouble.text], ['.short', trouble.short]]) {
      const line = this.#part(part);
      if (line.textContent !== text) line.textContent = text;
    }
    const button = /** @type {HTMLElement} */ (box.querySelector('button'));
    button.hidden = !trouble.details;
    button.setAttribute('aria-label', `Details of the connection to ${this.seen?.name ?? ''}`);
  }

  /** @param {string | null} trouble */
  #label(trouble) {
    const seen = this.seen;
    if (!seen) return;
    const state = ofPerson(seen.media, seen);
    // Without its count, which would be read out every second.
    const words = trouble?.replace(/….*$/, '');
    const label = `${seen.name}, ${state}${words ? `. ${words}` : ''}. Large picture`;
    const button = this.#part('.enlarge');
    if (button.getAttribute('aria-label') !== label) button.setAttribute('aria-label', label);
  }

  /** @param {string} selector @returns {HTMLElement} */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }
}

/** @param {HTMLMediaElement} element */
function trackOf(element) {
  const stream = /** @type {MediaStream | null} */ (element.srcObject);
  return stream?.getTracks()[0] ?? null;
}
