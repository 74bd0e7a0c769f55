// @ts-check
/**
 * The shared screen: what the browser captures of it, and the member that shows it to the others,
 * which belongs to this page's own and has a session of its own. So it comes and goes without a
 * link changing its shape.
 *
 * The browser and the session are handed in; nothing here touches the document.
 *
 * @typedef {import('./signalling.js').Session} Session
 * @typedef {import('./signalling.js').Happening} Happening
 * @typedef {'denied' | 'system' | 'missing' | 'failed' | 'full' | 'replaced' | 'refused' | 'lost'} WhyNot
 *   Why nothing is shared, although somebody wanted to.
 */

/** A screen is worth its pixels rather than its frames: text stands still. */
const FRAMERATE = 10;
/** No wall shows more of it, and a small device has to decode it. */
const LARGEST = { width: 2_560, height: 1_440 };

/**
 * What the browser is asked for.
 * @param {boolean} here whether this page sits in the room of a device, which plays its sound
 */
export function wanted(here) {
  return {
    video: { frameRate: { ideal: FRAMERATE, max: FRAMERATE }, width: { max: LARGEST.width }, height: { max: LARGEST.height } },
    // Nothing of it comes from a microphone. Elsewhere, what the whole system plays has the room in
    // it, which is not to hear itself; in the room, the device's speaker is to be the only one.
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, suppressLocalAudioPlayback: here, restrictOwnAudio: true },
    systemAudio: here ? 'include' : 'exclude',
    selfBrowserSurface: 'exclude',
    surfaceSwitching: 'include',
  };
}

export class Sharing {
  /**
   * `asking` while the browser lets the person choose, `starting` until the room has taken what was
   * chosen, and `on` from then on: others see it.
   * @type {'off' | 'asking' | 'starting' | 'on'}
   */
  state = 'off';
  #owner;
  #begin;
  #capture;
  #changed;
  /** @type {Session | null} */
  #session = null;
  /** @type {MediaStream | null} */
  #stream = null;

  /**
   * @param {object} options
   * @param {Pick<Session, 'state' | 'proof' | 'self'>} options.owner this page's own session
   * @param {(tell: (happening: Happening) => void) => Session} options.begin makes another one
   * @param {((options: object) => Promise<MediaStream>) | null} options.capture `getDisplayMedia`,
   *   where the browser has it
   * @param {(why: WhyNot | null) => void} options.changed `why`: what it ended for, unless the
   *   person wanted so
   */
  constructor({ owner, begin, capture, changed }) {
    this.#owner = owner;
    this.#begin = begin;
    this.#capture = capture;
    this.#changed = changed;
  }

  /** Whether this browser can. Phones cannot. */
  get possible() {
    return this.#capture !== null;
  }

  /** Whether sound comes with it. */
  get sounds() {
    return (this.#stream?.getAudioTracks().length ?? 0) > 0;
  }

  /** How its session stands, for support; null where there is none. */
  snapshot() {
    return this.#session?.snapshot() ?? null;
  }

  /**
   * Lets the person choose, and shares what was chosen, as soon as this page is in a room. To be
   * called from a click or a key, or the browser refuses.
   * @param {boolean} here
   * @returns {Promise<boolean>} whether something was chosen
   */
  async start(here) {
    if (!this.#capture || this.state !== 'off') return false;
    this.#become('asking');
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await this.#capture(wanted(here));
    } catch (error) {
      if (this.#asks()) this.#become('off', reason(error));
      return false;
    }
    if (!this.#asks()) {
      // It was given up meanwhile.
      for (const track of stream.getTracks()) track.stop();
      return false;
    }
    this.#stream = stream;
    for (const track of stream.getVideoTracks()) {
      track.contentHint = 'text';
      // The browser has a button of its own that ends it.
      track.addEventListener('ended', () => {
        if (this.#stream === stream) this.stop();
      });
    }
    for (const track of stream.getAudioTracks()) {
      track.contentHint = 'music';
      track.addEventListener('ended', () => this.#send());
    }
    this.#become('starting');
    this.follow();
    return true;
  }

  /** Shares no longer. @param {WhyNot | null} [why] */
  stop(why = null) {
    if (this.state === 'off') return;
    const session = this.#session;
    this.#session = null;
    session?.leave();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#become('off', why);
  }

  /** The page's own session is in another state: the screen comes and goes with it. */
  follow() {
    if (this.state !== 'starting' && this.state !== 'on') return;
    switch (this.#owner.state) {
      case 'joined':
        this.#join();
        break;
      case 'ended': case 'refused':
        this.stop();
        break;
      default:
        // What is lost comes back by itself, and what dials is not there yet.
        break;
    }
  }

  #join() {
    this.#session ??= this.#begin((happening) => this.#happened(happening));
    this.#send();
    this.#session.join({
      name: this.#owner.self?.name ?? '',
      media: { audio: this.#sound !== null, video: true },
      role: 'sender',
      of: () => this.#owner.proof,
    });
  }

  /** What is heard of it at present. */
  get #sound() {
    return this.#stream?.getAudioTracks().find(({ readyState }) => readyState !== 'ended') ?? null;
  }

  #send() {
    const audio = this.#sound;
    this.#session?.setTracks({ audio, video: this.#stream?.getVideoTracks()[0] ?? null });
    this.#session?.setMedia({ audio: audio !== null, video: true });
  }

  /** @param {Happening} happening */
  #happened(happening) {
    if (happening.type === 'refused') {
      this.stop(happening.code === 'room_full' ? 'full' : this.state === 'on' ? 'lost' : 'refused');
    } else if (happening.type === 'state' && happening.state === 'joined') {
      if (this.state === 'starting') this.#become('on');
    } else if (happening.type === 'state' && happening.state === 'ended') {
      if (happening.why === 'replaced') this.stop('replaced');
      // The server has given this page up, which comes back by itself, and its screen with it.
      else if (this.#owner.state === 'joined') this.stop(this.state === 'on' ? 'lost' : 'refused');
      else if (this.state === 'on') this.#become('starting');
    }
  }

  #asks() {
    return this.state === 'asking';
  }

  /** @param {'off' | 'asking' | 'starting' | 'on'} state @param {WhyNot | null} [why] */
  #become(state, why = null) {
    this.state = state;
    this.#changed(why);
  }
}

/** @param {unknown} error @returns {WhyNot} */
function reason(error) {
  const { name, message } = error instanceof Error ? error : { name: '', message: '' };
  switch (name) {
    // Whoever closes the choice is told the same as one who may not.
    case 'NotAllowedError': return /system/i.test(message) ? 'system' : 'denied';
    case 'NotFoundError': return 'missing';
    default: return 'failed';
  }
}
