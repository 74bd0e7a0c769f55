// @ts-check
/**
 * Every sentence that tells a state, in one place, so that they speak with one voice: what is the
 * matter, and at most one thing to do about it. No jargon, no blame.
 *
 * @typedef {object} Words
 * @property {string} text
 * @property {string} [action] what the one button says
 * @property {string} [does] what it does: `devices`, `join`, `reload`, `secure`, `sound`, `link`
 * @property {'plain' | 'wait' | 'stop'} tone
 *
 * @typedef {null | 'asking' | 'denied' | 'dismissed' | 'missing' | 'busy' | 'failed' | 'insecure' | 'unplugged'} Want
 *   Why there is no track, or null when there is one or none is wanted.
 */

const ALLOW = 'Open the sign beside the address, allow it, then try again.';

/**
 * What the door says about camera and microphone.
 * @param {Want} camera
 * @param {Want} microphone
 * @returns {Words | null}
 */
export function ofDevices(camera, microphone) {
  if (camera === 'insecure' || microphone === 'insecure') {
    return {
      text: 'This page was opened without a secure connection, so the browser keeps camera and microphone closed.',
      action: 'Open the secure page', does: 'secure', tone: 'stop',
    };
  }
  if (camera === 'asking' || microphone === 'asking') {
    const what = camera === 'asking' ? (microphone === 'asking' ? 'camera and microphone' : 'camera') : 'microphone';
    return { text: `Your browser asks whether this page may use your ${what}. Choose “Allow”.`, tone: 'wait' };
  }
  const retry = { action: 'Try again', does: 'devices' };
  if (camera === microphone) {
    switch (camera) {
      case 'denied':
        return { text: `Your browser does not let this page use your camera and microphone. ${ALLOW} You can also join without.`, ...retry, tone: 'stop' };
      case 'dismissed':
        return { text: 'Your browser’s question about camera and microphone was closed. Try again and choose “Allow”, or join without.', ...retry, tone: 'stop' };
      case 'missing':
        return { text: 'No camera and no microphone found. You can join, watch and listen.', tone: 'plain' };
      case 'busy':
        return { text: 'Camera and microphone are used by another program. Close it there, then try again.', ...retry, tone: 'stop' };
      case 'failed':
        return { text: 'Camera and microphone do not start. Unplug them, plug them in again, then try again.', ...retry, tone: 'stop' };
      case 'unplugged':
        return { text: 'Camera and microphone were unplugged. Plug them in again, or go on without.', ...retry, tone: 'stop' };
      default:
        break;
    }
  }
  // One sentence at a time: being heard matters more than being seen.
  if (microphone && microphone !== 'missing') return ofOne('microphone', microphone);
  if (camera && camera !== 'missing') return ofOne('camera', camera);
  if (microphone === 'missing') return { text: 'No microphone found. You can join and listen.', tone: 'plain' };
  if (camera === 'missing') return { text: 'No camera found. You can join without: the others see your name.', tone: 'plain' };
  return null;
}

/** @param {'camera' | 'microphone'} what @param {Want} want @returns {Words} */
function ofOne(what, want) {
  const retry = /** @type {const} */ ({ action: 'Try again', does: 'devices', tone: 'stop' });
  switch (want) {
    case 'denied':
      return { text: `Your browser does not let this page use your ${what}. ${ALLOW} You can also join without.`, ...retry };
    case 'dismissed':
      return { text: `Your browser’s question about the ${what} was closed. Try again and choose “Allow”, or join without.`, ...retry };
    case 'busy':
      return { text: `The ${what} is used by another program. Close it there, then try again.`, ...retry };
    case 'unplugged':
      return { text: `The ${what} was unplugged. Plug it in again, or go on without.`, ...retry };
    default:
      return { text: `The ${what} does not start. Unplug it, plug it in again, then try again.`, ...retry };
  }
}

/** What a browser says that cannot do what is needed. @returns {Words} */
export function ofOldBrowser() {
  return { text: 'This browser cannot make video calls. Open this page in a current Chrome, Edge, Firefox or Safari.', tone: 'stop' };
}

/**
 * Why the server did not let us in.
 * @param {string} code
 * @param {{ room?: string | null, seconds?: number, typed?: boolean }} about
 * @returns {Words}
 */
export function ofRefusal(code, { room = null, seconds = 0, typed = false } = {}) {
  switch (code) {
    case 'need_pin':
      return { text: 'This room has a PIN. It is on the screen in the room, or ask whoever invited you.', tone: 'wait' };
    case 'bad_pin':
      return typed
        ? { text: 'That is not the room’s PIN. Look at the screen in the room, or ask, and type it again.', tone: 'stop' }
        : { text: 'The room has a new PIN. It is on the screen in the room, or ask whoever invited you.', tone: 'stop' };
    case 'pin_wait':
      return seconds > 0
        ? { text: `Too many wrong PINs. You can try again in ${duration(seconds)}.`, tone: 'wait' }
        : { text: 'You can try again now. The PIN is on the screen in the room, or ask whoever invited you.', tone: 'plain' };
    case 'room_full':
      return { text: 'The room is full. Try again when somebody has left.', action: 'Try again', does: 'join', tone: 'wait' };
    case 'server_full':
      return { text: 'Too many people use this server at the moment. Try again a little later.', action: 'Try again', does: 'join', tone: 'wait' };
    case 'no_room':
      if (!room) return { text: 'Which room? Its name is part of the link that you were given.', tone: 'wait' };
      return { text: `There is no room “${room ?? ''}” here. Check the link that you were given.`, tone: 'stop' };
    case 'version':
      return { text: 'The room was updated, and this page was not. Load it again.', action: 'Reload', does: 'reload', tone: 'wait' };
    default:
      return { text: 'The room did not let you in. Ask for a new link.', tone: 'stop' };
  }
}

/**
 * What the door says while the room is being reached.
 * @param {'connecting' | 'reconnecting'} state
 * @param {number} seconds since it was first tried
 * @returns {Words}
 */
export function ofDialling(state, seconds) {
  if (state === 'connecting') return { text: 'Joining…', tone: 'plain' };
  if (seconds < 15) return { text: 'The room does not answer. Trying again…', tone: 'wait' };
  return {
    text: 'The room still does not answer. Is the device switched on, and are you in its network? This page keeps trying.',
    action: 'Reload', does: 'reload', tone: 'wait',
  };
}

/**
 * How a visit ended.
 * @param {string | null} why
 * @returns {Words}
 */
export function ofEnd(why) {
  switch (why) {
    case 'replaced':
      return { text: 'You joined this room in another window, so this one has stopped.', action: 'Join here instead', does: 'join', tone: 'wait' };
    case 'turned_away':
      return { text: 'The room cannot have you in just now. You can try again later.', tone: 'wait' };
    case 'removed':
      return { text: 'You were removed from the room.', tone: 'stop' };
    default:
      return { text: 'You left the room.', tone: 'plain' };
  }
}

/**
 * What the room says while its server is out of reach.
 * @param {string | null} why
 * @param {number} seconds
 * @returns {Words}
 */
export function ofReconnecting(why, seconds) {
  const counted = seconds >= 3 ? ` ${duration(seconds)}` : '';
  if (seconds >= 60) {
    return {
      text: `The room has not answered for ${duration(seconds)}. This page keeps trying.`,
      action: 'Reload', does: 'reload', tone: 'wait',
    };
  }
  const waiting = counted && ` Waiting for${counted}.`;
  return why === 'restart'
    ? { text: `The room has stopped or is restarting. You will be back by yourself when it is there.${waiting}`, tone: 'wait' }
    : { text: `Connection to the room lost. Trying again…${counted}`, tone: 'wait' };
}

/** @returns {Words} */
export function ofReturn() {
  return { text: 'You’re back.', tone: 'plain' };
}

/** What one reads who sits in the room of a device. @returns {Words} */
export function ofHere() {
  return { text: 'You are in this room; the room hears for you', action: 'I am somewhere else', does: 'elsewhere', tone: 'plain' };
}

/** What one is told whose microphone stays off for that reason. @returns {Words} */
export function ofMutedHere() {
  return { text: 'Your microphone stays off, because the room hears for you.', tone: 'wait' };
}

/**
 * What others hear of somebody who has come into the room of a device, or has left it.
 * @param {string} name
 * @param {boolean} here
 */
export function ofPlace(name, here) {
  return here ? `${name} is in the room, which hears for them.` : `${name} is not in the room any more.`;
}

/**
 * What everybody reads while somebody records, at all times.
 * @param {string[]} names of those who do
 */
export function ofRecording(names) {
  return names.length === 1 ? `Recording: ${names[0]} keeps what is seen and heard here` : `Recording: ${names.length} members keep what is seen and heard here`;
}

/**
 * What those hear of it who hear the page.
 * @param {string} name
 * @param {boolean} on
 */
export function ofRecordingChange(name, on) {
  return on ? `${name} records from now on.` : `${name} does not record any more.`;
}

/**
 * Why a room sends nothing of itself, or soon will not. Nobody but the people in it can do anything.
 * @param {string} name of the room
 * @param {string | null | undefined} hold what it says of it
 * @returns {Words | null} null where it is simply open
 */
export function ofHold(name, hold) {
  const waits = 'Its camera and microphone stay closed until somebody in the room lets you in.';
  switch (hold) {
    case null: case undefined: return null;
    case 'announcing': return { text: `${name} is being told that you are here. Its camera and microphone open within a few seconds.`, tone: 'wait' };
    case 'asking': return { text: `You are at the door of ${name}. ${waits}`, tone: 'wait' };
    case 'quiet_hours': return { text: `${name} has its quiet hours. ${waits}`, tone: 'wait' };
    case 'do_not_disturb': return { text: `${name} is not to be disturbed. ${waits}`, tone: 'wait' };
    case 'idle': return { text: `Is anybody here? Nobody has spoken or moved for half an hour. Say a word, or ${name} closes its camera and microphone in a minute.`, tone: 'wait' };
    case 'left': return { text: `${name} has closed its camera and microphone, because nobody spoke or moved for half an hour. Somebody in the room can open them again.`, tone: 'wait' };
    case 'turned_away': return { text: `${name} does not let anybody in just now. Its camera and microphone stay closed.`, tone: 'wait' };
    default: return { text: `${name} keeps its camera and microphone closed for now.`, tone: 'wait' };
  }
}

/**
 * What those who sit in the room are asked, and what they do: with the code that its screen shows.
 * @param {object} about
 * @param {string} about.room
 * @param {string} about.hold why the room is closed
 * @param {number} about.tries how many codes may yet be tried
 * @param {string[]} about.names of those who are at the door and do not sit in the room
 * @param {boolean} [about.called] one has been at the door oneself without sitting in the room
 * @returns {{ title: string, text: string, admit: string, away: string | null }} `admit`: what lets them
 *   in; `away`: what turns them away
 */
export function ofBell({ room, hold, tries, names, called = false }) {
  const who = several(names);
  const left = hold === 'left';
  const title = left ? 'The meeting is paused' : who ? `${who} at the door` : `You are at the door of ${room}`;
  const admit = left ? 'Go on' : who ? 'Let in' : 'Let me in';
  const opens = left ? 'opens camera and microphone again' : who ? 'lets them in' : 'lets you in';
  const because = hold === 'quiet_hours' ? 'These are quiet hours. ' : hold === 'do_not_disturb' ? 'Do not disturb is on. ' : '';
  const text = tries > 0
    ? called ? 'You were at the door before you sat down, so the room takes no code from you. Leave, and join again by scanning its screen.'
      : `${because}The code on the room’s screen ${opens}.`
    : `There were too many wrong codes. Now only somebody at the device itself ${opens}.`;
  return { title, text, admit, away: who && !left && !called ? 'Turn away' : null };
}

/** Whom a list names, and that they are. @param {string[]} names */
function several(names) {
  if (names.length === 0) return '';
  if (names.length === 1) return `${names[0]} is`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are`;
  return `${names[0]}, ${names[1]} and ${names.length - 2 === 1 ? 'one other' : `${names.length - 2} others`} are`;
}

/**
 * What becomes of a code that was typed.
 * @param {'missing' | 'asking' | 'wrong' | 'old' | 'lost'} what
 * @param {number} tries how many codes may yet be tried
 */
export function ofCode(what, tries) {
  switch (what) {
    case 'missing': return 'Type the four digits on the room’s screen.';
    case 'asking': return 'Asking the room…';
    case 'wrong': return tries === 1 ? 'That is not the code. One try is left.' : `That is not the code. ${tries === 2 ? 'Two' : tries} tries are left.`;
    case 'old': return 'The room’s screen shows another code by now. Type that one.';
    default: return 'The room does not answer. Try again in a moment.';
  }
}

/** What those in the room read once somebody was turned away. @returns {Words} */
export function ofTurnedAway() {
  return { text: 'They were turned away. Camera and microphone of the room stay closed.', tone: 'plain' };
}

/**
 * What the tile of such a room says.
 * @param {string | null | undefined} hold
 * @returns {{ text: string, short: string, details: boolean } | null}
 */
export function ofClosed(hold) {
  if (!hold || hold === 'idle') return null;
  const short = hold === 'announcing' ? 'Opens in a few seconds' : hold === 'left' || hold === 'turned_away' ? 'Closed' : 'Not open yet';
  return { text: `${short}.`, short, details: false };
}

/**
 * What somebody's screen is called, here and on the wall.
 * @param {string} name
 */
export function ofScreen(name) {
  return `${name}’s screen`;
}

/**
 * What those hear of it who hear the page.
 * @param {string} name
 * @param {boolean} on
 */
export function ofScreenChange(name, on) {
  return on ? `${name} shares their screen.` : `${name} shares their screen no longer.`;
}

/**
 * What one reads of one's own screen, for as long as it was chosen.
 * @param {'starting' | 'on'} state
 * @param {number} seconds since it was chosen
 */
export function ofOwnScreen(state, seconds) {
  if (state === 'on') return 'You are sharing your screen';
  return seconds < 8 ? 'Starting… nobody sees your screen yet' : 'Still starting: the room does not answer, so nobody sees your screen yet';
}

/**
 * Why nothing is shared, or nothing more.
 * @param {import('./share.js').WhyNot} why
 * @returns {Words}
 */
export function ofNoScreen(why) {
  switch (why) {
    case 'denied': return { text: 'Nothing is shared, because no screen was chosen.', tone: 'wait' };
    case 'system': return { text: 'Your system keeps the screen from this browser. Its settings say which programs may record it.', tone: 'stop' };
    case 'missing': return { text: 'Your browser found no screen to share.', tone: 'stop' };
    case 'full': return { text: 'Four screens are shared here already. Try again when one of them has ended.', tone: 'wait' };
    case 'replaced': return { text: 'Your screen is not shared from this page any more.', tone: 'wait' };
    case 'refused': return { text: 'The room did not take your screen, so nobody sees it. Try again.', tone: 'stop' };
    case 'lost': return { text: 'Your screen is not shared any more, because the room lost it. You can share it again.', tone: 'stop' };
    default: return { text: 'Your browser could not share the screen. Try again, or choose another window.', tone: 'stop' };
  }
}

/** @returns {Words} */
export function ofBlockedSound() {
  return { text: 'Your browser keeps the sound off until you say so.', action: 'Turn sound on', does: 'sound', tone: 'wait' };
}

/** @returns {Words} */
export function ofAlone() {
  return { text: 'Nobody else is here yet.', action: 'Copy the link', does: 'link', tone: 'plain' };
}

/** @param {boolean} keys whether there is a keyboard @returns {Words} */
export function ofMutedSpeech(keys) {
  return { text: keys ? 'You are muted. Hold the space bar to talk.' : 'You are muted.', tone: 'wait' };
}

/**
 * What a tile says when its picture does not come.
 * @param {object} about
 * @param {string} about.name
 * @param {'connecting' | 'live' | 'broken' | 'none'} about.state
 * @param {string | null} about.why
 * @param {number} about.failures
 * @param {number} about.seconds
 * @param {boolean} [about.away] its signalling is lost, so that nothing can be tried
 * @param {string | null} [about.paused] why the other side has paused its picture
 * @param {boolean} [about.muted]
 * @returns {{ text: string, short: string, details: boolean } | null} `short`: for a small tile;
 *   `details`: whether the technical reason is one tap away
 */
export function ofTile({ name, state, why, failures, seconds, away = false, paused = null, muted = false }) {
  const count = seconds >= 3 ? ` ${duration(seconds)}` : '';
  if (state === 'live' && paused !== null) {
    const because = paused === 'network' ? ': the network is too slow' : paused === 'machine' ? `: ${name}’s machine is too slow` : '';
    return { text: `Picture paused${because}.${muted ? '' : ' Sound goes on.'}`, short: 'Picture paused', details: false };
  }
  if (state === 'live' || state === 'none') return null;
  // Our own first finding may be chance; the other side's is not, and comes without a failure here.
  if (why === 'fingerprint' && failures !== 1) {
    return { text: `No secure connection to ${name}. Somebody may be in between: tell whoever looks after the room.`, short: 'Not secure', details: true };
  }
  if (failures >= 3 && !away) {
    return why === 'path' || why === 'timeout'
      ? { text: `No way through the network between you and ${name}. Your network may block video calls.`, short: 'No way through', details: true }
      : { text: `The connection to ${name} keeps failing. This page keeps trying.`, short: 'Keeps failing', details: true };
  }
  if (state === 'connecting' && failures === 0 && !away) {
    const text = seconds < 8 ? 'Connecting…' : `Still connecting…${count}`;
    return { text, short: `Connecting…${seconds < 8 ? '' : count}`, details: seconds >= 8 };
  }
  return { text: `${name} is reconnecting…${count}`, short: `Reconnecting…${count}`, details: seconds >= 8 };
}

/**
 * What one's own tile says while no picture is sent, although the camera is on.
 * @param {boolean} muted
 * @param {string | null} [why] `code`: the camera may show others the code on the room's screen
 * @returns {{ text: string, short: string, details: boolean }}
 */
export function ofPause(muted, why = 'network') {
  const text = why === 'code' ? 'Others do not see you until the room is open: your camera could show them the code on its screen.'
    : `Your network is slow: others ${muted ? 'do not see you' : 'hear you but do not see you'}.`;
  return { text, short: 'Others do not see you', details: false };
}

/**
 * The technical reason, for the person who will fix it.
 * @param {string | null} why
 */
export function ofReason(why) {
  switch (why) {
    case 'path': return 'No ICE path: none of the candidate pairs works, or the one in use stopped. A TURN server helps where a firewall blocks UDP.';
    case 'timeout': return 'The negotiation did not end in time.';
    case 'silent': return 'Connected, but no packet came for six seconds.';
    case 'dark': return 'Packets come, but no picture could be decoded for two seconds.';
    case 'description': return 'A session description could not be used.';
    case 'fingerprint': return 'The certificate of one side is not the one that was announced to the other (a=fingerprint), so nothing was sent.';
    case 'media': return 'A new track does not fit what was negotiated.';
    case 'failed': return 'The encrypted connection (DTLS) failed.';
    case 'resumed': return 'The signalling was lost during the negotiation.';
    default: return 'None so far.';
  }
}

/**
 * What a person's states are called, for the one who hears them.
 * @param {{ audio: boolean, video: boolean, no_microphone?: boolean, no_camera?: boolean, hold?: string }} media
 * @param {{ device?: boolean, self?: boolean, away?: boolean, here?: boolean, recording?: boolean, sharing?: boolean, screen?: boolean }} more
 *   `sharing`: its screen is a picture of its own, which is `screen`
 */
export function ofPerson(media, { device = false, self = false, away = false, here = false, recording = false, sharing = false, screen = false } = {}) {
  const words = [];
  if (screen) return ['shared screen', ...(away ? ['reconnecting'] : [])].join(', ');
  if (self) words.push('you');
  if (device) words.push('room device');
  const closed = ofClosed(media.hold);
  if (closed) {
    words.push(closed.short.toLowerCase());
    if (recording) words.push('recording');
    if (away) words.push('reconnecting');
    return words.join(', ');
  }
  if (here) words.push('in the room');
  else words.push(media.no_microphone ? 'no microphone' : media.audio ? 'microphone on' : 'muted');
  words.push(media.no_camera ? 'no camera' : media.video ? 'camera on' : 'camera off');
  if (sharing) words.push('sharing the screen');
  if (recording) words.push('recording');
  if (away) words.push('reconnecting');
  return words.join(', ');
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}\u00a0s`;
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${String(whole % 60).padStart(2, '0')}\u00a0min`;
}

/** @typedef {'mute' | 'camera_off' | 'quieter' | 'louder' | 'grid' | 'speaker'} Asking */

/**
 * What may be asked of the room: to be silent, and not to look, never the other way round; and by
 * who sits in it, how it shows and plays the others.
 * @param {{ audio: boolean, video: boolean, no_camera?: boolean }} media
 * @param {boolean} here
 * @returns {{ what: Asking, text: string }[]}
 */
export function ofAsking(media, here) {
  /** @type {{ what: Asking, text: string }[]} */
  const asks = [];
  if (media.audio) asks.push({ what: 'mute', text: 'Mute' });
  if (media.video && !media.no_camera) asks.push({ what: 'camera_off', text: 'Camera off' });
  if (here) {
    asks.push(
      { what: 'quieter', text: 'Quieter' },
      { what: 'louder', text: 'Louder' },
      { what: 'grid', text: 'All alike' },
      { what: 'speaker', text: 'Speaker large' },
    );
  }
  return asks;
}

/**
 * What somebody is told who is asked to send less.
 * @param {string} name of the one who asks
 * @param {string} what
 * @returns {Words | null} null for what this page does not know
 */
export function ofAsked(name, what) {
  switch (what) {
    case 'mute': return { text: `${name} asks you to mute your microphone.`, tone: 'wait' };
    case 'camera_off': return { text: `${name} asks you to switch your camera off.`, tone: 'wait' };
    default: return null;
  }
}

/**
 * One or two letters for a tile without a picture.
 * @param {string} name
 */
export function initials(name) {
  const parts = name.trim().split(/\s+/u).filter(Boolean);
  if (parts.length === 0) return '?';
  const first = (/** @type {string} */ part) => graphemes(part)[0] ?? '';
  const last = parts.length > 1 ? first(parts[parts.length - 1]) : '';
  return (first(parts[0]) + last).toLocaleUpperCase();
}

/** What a reader calls letters: an emoji of five code points is one. @param {string} text */
function graphemes(text) {
  if (typeof Intl !== 'undefined' && 'Segmenter' in Intl) {
    return [...new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(text)].map(({ segment }) => segment);
  }
  return Array.from(text);
}

/** Which of the eight hues a member has, here and on the wall: FNV-1a of its id. @param {string} id */
export function hue(id) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % 8;
}
