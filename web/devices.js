// @ts-check
/**
 * Camera, microphone and speaker of this browser: opening them, saying why they do not open, and
 * how loud it is.
 *
 * @typedef {'audio' | 'video'} Kind
 * @typedef {import('./words.js').Want} Want
 * @typedef {{ id: string, label: string }} Choice
 */

const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const KINDS = /** @type {Kind[]} */ (['audio', 'video']);

export class Devices {
  /** @type {Record<Kind, MediaStreamTrack | null>} */
  tracks = { audio: null, video: null };
  /** Why there is no track. @type {Record<Kind, Want>} */
  wants = { audio: null, video: null };
  /** What may be chosen. @type {{ audio: Choice[], video: Choice[], speaker: Choice[] }} */
  choices = { audio: [], video: [], speaker: [] };
  /** What is chosen; empty: the browser's own choice. */
  chosen = { audio: '', video: '', speaker: '' };
  #changed;
  #remember;
  #opening = 0;

  /**
   * @param {object} options
   * @param {() => void} options.changed tracks, wants or choices are not what they were
   * @param {Pick<Storage, 'getItem' | 'setItem'>} options.remember
   */
  constructor({ changed, remember }) {
    this.#changed = changed;
    this.#remember = remember;
    for (const what of /** @type {const} */ (['audio', 'video', 'speaker'])) {
      this.chosen[what] = remember.getItem(`roomd.${what}`) ?? '';
    }
    navigator.mediaDevices?.addEventListener?.('devicechange', () => void this.#list());
  }

  /** Whether this browser lets a page choose where sound comes out. */
  get choosesSpeaker() {
    return 'setSinkId' in HTMLMediaElement.prototype && this.choices.speaker.length > 0;
  }

  /**
   * Opens these; those that do not open say why in `wants`, and never keep the others closed.
   * @param {Kind[]} kinds
   */
  async open(kinds = KINDS) {
    const turn = (this.#opening += 1);
    if (!navigator.mediaDevices?.getUserMedia) {
      for (const kind of kinds) this.wants[kind] = globalThis.isSecureContext ? 'failed' : 'insecure';
      this.#changed();
      return;
    }
    for (const kind of kinds) this.wants[kind] = 'asking';
    // Only a question that stays open is worth a sentence.
    const said = setTimeout(() => this.#changed(), 700);
    const results = await this.#ask(kinds);
    clearTimeout(said);
    if (turn !== this.#opening && kinds.length > 1) {
      for (const { track } of results) track?.stop();
      return;
    }
    for (const { kind, track, want } of results) this.#take(kind, track, want);
    await this.#list();
    this.#changed();
  }

  /** Closes one; a camera's light goes out. @param {Kind} kind */
  close(kind) {
    this.tracks[kind]?.stop();
    this.tracks[kind] = null;
    this.wants[kind] = null;
    this.#changed();
  }

  /** Chooses another device of a kind. @param {'audio' | 'video' | 'speaker'} what @param {string} id */
  async choose(what, id) {
    this.chosen[what] = id;
    this.#remember.setItem(`roomd.${what}`, id);
    if (what === 'speaker') this.#changed();
    else if (this.tracks[what] || this.wants[what]) await this.open([what]);
  }

  /** @param {Kind} kind @param {MediaStreamTrack | null} track @param {Want} want */
  #take(kind, track, want) {
    const before = this.tracks[kind];
    if (track && before) track.enabled = before.enabled;
    before?.stop();
    this.tracks[kind] = track;
    this.wants[kind] = want;
    if (!track) return;
    track.addEventListener('ended', () => {
      if (this.tracks[kind] !== track) return;
      this.tracks[kind] = null;
      this.wants[kind] = 'unplugged';
      void this.#list();
      this.#changed();
    });
  }

  /**
   * One question for all; where that fails, one for each, so that a missing camera does not
   * cost the microphone.
   * @param {Kind[]} kinds
   */
  async #ask(kinds) {
    if (kinds.length > 1) {
      const both = await this.#request(kinds);
      if (both.stream) {
        return kinds.map((kind) => ({ kind, track: trackOf(both.stream, kind), want: /** @type {Want} */ (null) }));
      }
      // A closed question is not asked twice more.
      if (both.want === 'dismissed') return kinds.map((kind) => ({ kind, track: null, want: both.want }));
    }
    const results = [];
    for (const kind of kinds) {
      const { stream, want } = await this.#request([kind]);
      results.push({ kind, track: stream && trackOf(stream, kind), want });
    }
    return results;
  }

  /**
   * @param {Kind[]} kinds
   * @returns {Promise<{ stream: MediaStream | null, want: Want }>}
   */
  async #request(kinds) {
    /** @type {MediaStreamConstraints} */
    const constraints = {};
    for (const kind of kinds) {
      const id = this.chosen[kind];
      // A wish and not a demand: a camera that stays at the office is no reason for a black picture at home.
      const device = id ? { deviceId: { ideal: id } } : {};
      constraints[kind] = kind === 'audio' ? { ...SOUND, ...device } : { ...PICTURE, ...device };
    }
    try {
      return { stream: await navigator.mediaDevices.getUserMedia(constraints), want: null };
    } catch (error) {
      return { stream: null, want: await reason(error, kinds) };
    }
  }

  async #list() {
    const found = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    /** @param {MediaDeviceKind} kind @param {string} word */
    const of = (kind, word) =>
      found
        .filter((device) => device.kind === kind && device.deviceId !== '')
        .map((device, index) => ({ id: device.deviceId, label: device.label || `${word} ${index + 1}` }));
    this.choices = { audio: of('audioinput', 'Microphone'), video: of('videoinput', 'Camera'), speaker: of('audiooutput', 'Speaker') };
    this.#changed();
  }
}

/** @param {MediaStream | null} stream @param {Kind} kind */
function trackOf(stream, kind) {
  const tracks = kind === 'audio' ? stream?.getAudioTracks() : stream?.getVideoTracks();
  return tracks?.[0] ?? null;
}

/** @param {unknown} error @param {Kind[]} kinds @returns {Promise<Want>} */
async function reason(error, kinds) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return (await wasDismissed(error, kinds)) ? 'dismissed' : 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'failed';
  }
}

/** A question that was closed can be asked again; one that was refused has to be allowed first. @param {unknown} error @param {Kind[]} kinds */
async function wasDismissed(error, kinds) {
  if (/dismissed/i.test(String(/** @type {any} */ (error)?.message))) return true;
  try {
    const states = await Promise.all(
      kinds.map((kind) => navigator.permissions.query({ name: /** @type {any} */ (kind === 'audio' ? 'microphone' : 'camera') })),
    );
    return states.every(({ state }) => state === 'prompt');
  } catch {
    // A browser that does not know these permissions by name.
    return false;
  }
}

/** Nobody listens to what is measured, so it needs no output. A browser that does not know `sinkId` takes no notice of it. @type {AudioContextOptions & { sinkId: { type: 'none' } }} */
const UNHEARD = { latencyHint: 'playback', sinkId: { type: 'none' } };

/** How loud tracks are, in one audio context for the whole page. */
export class Loudness {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Map<string, { track: MediaStreamTrack, source: MediaStreamAudioSourceNode, analyser: AnalyserNode, samples: Float32Array<ArrayBuffer> }>} */
  #meters = new Map();

  /** A browser starts a context only after a touch or a key. */
  wake() {
    if (this.#context?.state === 'suspended') void this.#context.resume().catch(() => {});
  }

  /** Measures this track under this name; null stops. @param {string} name @param {MediaStreamTrack | null} track */
  follow(name, track) {
    const meter = this.#meters.get(name);
    if (meter?.track === track) return;
    meter?.source.disconnect();
    this.#meters.delete(name);
    if (!track || track.readyState === 'ended' || typeof AudioContext === 'undefined') return;
    this.#context ??= new AudioContext(UNHEARD);
    const source = this.#context.createMediaStreamSource(new MediaStream([track]));
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    source.connect(analyser);
    this.#meters.set(name, { track, source, analyser, samples: new Float32Array(analyser.fftSize) });
  }

  /** From 0, silence, to 1, as loud as it gets. @param {string} name */
  of(name) {
    const meter = this.#meters.get(name);
    if (!meter) return 0;
    meter.analyser.getFloatTimeDomainData(meter.samples);
    let power = 0;
    for (const sample of meter.samples) power += sample * sample;
    const decibels = 10 * Math.log10(power / meter.samples.length + 1e-10);
    // Speech lives between -60 and -10 dB of full scale.
    return Math.min(1, Math.max(0, (decibels + 60) / 50));
  }
}
