// @ts-check
/**
 * What this browser can encode and decode, and which codec a link uses.
 *
 * Names are those of the protocol: `vp8`, `h264` (constrained baseline, packetization mode 1) and
 * `opus`. Everything else that a browser knows is left out on purpose: a device encodes each codec
 * once for everybody, so every further codec in a room costs it an encoder.
 *
 * @typedef {'vp8' | 'h264' | 'opus'} Codec
 * @typedef {{ send: string[], recv: string[] }} Caps
 * @typedef {{ mimeType: string, clockRate?: number, channels?: number, sdpFmtpLine?: string }} Capability
 * @typedef {{ getCapabilities?: (kind: string) => ({ codecs: Capability[] } | null) }} Capable
 */

/** Video codecs of the protocol, in this page's order of preference. */
const VIDEO = ['vp8', 'h264'];

/**
 * The protocol's name for one of the browser's codecs, or null for those that are not used.
 * @param {Capability} capability
 * @returns {Codec | null}
 */
export function nameOf(capability) {
  switch (capability.mimeType.toLowerCase()) {
    case 'video/vp8':
      return 'vp8';
    case 'audio/opus':
      return 'opus';
    case 'video/h264':
      return isConstrainedBaseline(capability.sdpFmtpLine ?? '') ? 'h264' : null;
    default:
      return null;
  }
}

/**
 * RFC 6184 §8.1: profile_idc 66 (hex 42) with constraint_set1_flag says constrained baseline.
 * @param {string} fmtp
 */
function isConstrainedBaseline(fmtp) {
  const parameters = new Map(
    fmtp.split(';').map((pair) => {
      const [name, value = ''] = pair.split('=');
      return [name.trim().toLowerCase(), value.trim().toLowerCase()];
    }),
  );
  const profile = parameters.get('profile-level-id') ?? '';
  const flags = Number.parseInt(profile.slice(2, 4), 16);
  return (
    parameters.get('packetization-mode') === '1' &&
    profile.startsWith('42') &&
    (flags & 0x40) !== 0
  );
}

/**
 * What `hello` says.
 * @param {Capable | undefined} sender `RTCRtpSender`
 * @param {Capable | undefined} receiver `RTCRtpReceiver`
 * @returns {Caps}
 */
export function capabilities(sender, receiver) {
  return { send: known(sender), recv: known(receiver) };
}

/** @param {Capable | undefined} side */
function known(side) {
  const names = new Set();
  for (const kind of ['video', 'audio']) {
    for (const codec of side?.getCapabilities?.(kind)?.codecs ?? []) {
      const name = nameOf(codec);
      if (name) names.add(name);
    }
  }
  return [...VIDEO, 'opus'].filter((name) => names.has(name));
}

/**
 * The one video codec of a link: the first of our order that both sides can send and receive.
 * Where there is none, the first that at least one direction can use; else null.
 * @param {Caps} ours
 * @param {Caps} theirs
 * @returns {string | null}
 */
export function chooseVideo(ours, theirs) {
  const there = (/** @type {string} */ codec) => ours.send.includes(codec) && theirs.recv.includes(codec);
  const back = (/** @type {string} */ codec) => theirs.send.includes(codec) && ours.recv.includes(codec);
  return (
    VIDEO.find((codec) => there(codec) && back(codec)) ??
    VIDEO.find((codec) => there(codec) || back(codec)) ??
    null
  );
}

/**
 * The browser's entries for one codec, in the form that `setCodecPreferences` takes: the codec
 * itself, and for video the retransmission that NACK needs.
 * @param {Capable | undefined} receiver `RTCRtpReceiver`
 * @param {'audio' | 'video'} kind
 * @param {string} name
 * @returns {Capability[]} empty when the browser does not know the codec
 */
export function preference(receiver, kind, name) {
  const all = receiver?.getCapabilities?.(kind)?.codecs ?? [];
  const wanted = all.filter((codec) => nameOf(codec) === name);
  if (wanted.length === 0) return [];
  const repair = all.filter((codec) => codec.mimeType.toLowerCase() === 'video/rtx');
  return [wanted[0], ...repair];
}

/**
 * The most that a picture may be, whoever it is for.
 * @typedef {object} Most
 * @property {number} height in pixels; 0: no picture at all
 * @property {number} kbps
 * @property {number} framerate
 */

/** @type {Most} */
export const UNLIMITED = { height: 720, kbps: Infinity, framerate: 30 };

/**
 * How to encode for a peer that displays us at `shown` pixels of height.
 * @param {number | null} shown 0: not at all; null: it has not said
 * @param {number} height of our own picture, 0 when unknown
 * @param {Most} most
 */
export function encodingFor(shown, height, most = UNLIMITED) {
  const wanted = Math.min(shown ?? UNLIMITED.height, most.height);
  if (wanted === 0) return { active: false, scaleResolutionDownBy: 1, maxBitrate: 100_000, maxFramerate: 30 };
  // Only whole steps, so that a tile that grows by a pixel does not change the picture's size.
  const scale = [8, 6, 4, 3, 2, 1.5].find((step) => height / step >= wanted) ?? 1;
  const sent = height > 0 ? height / scale : wanted;
  const maxBitrate = Math.min(most.kbps * 1_000, bitrateOf(sent));
  return { active: true, scaleResolutionDownBy: scale, maxBitrate, maxFramerate: most.framerate };
}

/** From this height on, what is shown of a screen is there to be read. */
const READABLE = 270;
/** What a screen takes: letters have sharp edges, and few of them move. */
const SCREEN = { maxBitrate: 2_500_000, maxFramerate: 10 };

/**
 * The same for a screen, which is never made smaller to fit: half the pixels of a text are no text.
 * Where it is shown so small that nobody reads it, it is sent small.
 * @param {number | null} shown 0: not at all; null: it has not said
 * @param {number} height of the screen's picture, 0 when unknown
 * @param {Most} most of which the height does not matter, unless it is 0
 */
export function encodingForScreen(shown, height, most = UNLIMITED) {
  if (shown !== null && shown < READABLE) return encodingFor(shown, height, { ...most, framerate: Math.min(most.framerate, SCREEN.maxFramerate) });
  if (most.height === 0) return encodingFor(0, height);
  return {
    active: true,
    scaleResolutionDownBy: 1,
    maxBitrate: Math.min(most.kbps * 1_000, SCREEN.maxBitrate),
    maxFramerate: Math.min(most.framerate, SCREEN.maxFramerate),
  };
}

/** Bits a second that a picture of this height takes at 30 frames a second. @param {number} height */
function bitrateOf(height) {
  if (height >= 700) return 1_700_000;
  if (height >= 450) return 1_000_000;
  if (height >= 300) return 600_000;
  return height >= 150 ? 250_000 : 120_000;
}
