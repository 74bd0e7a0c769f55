// @ts-check
/**
 * The page: the door, the room, and what joins them to the session and the devices.
 *
 * Invariant: this file touches the document and never a socket; `signalling.js` the other way round.
 */

import { Devices, Loudness } from './devices.js';
import { fitting } from './layout.js';
import { Sharing } from './share.js';
import { Session } from './signalling.js';
import { Stage } from './stage.js';
import * as words from './words.js';

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

/** Above this a voice is a voice. */
const SPEECH = 0.42;
/** How long a voice is still one after a pause between words. */
const SPEECH_HOLD_MS = 450;
/** Nobody moves for so long: the bar leaves. */
const QUIET_MS = 4_000;
/** A room that has not said anything of a code after so long never will. */
const ANSWER_MS = 2_500;

const kept = storageOf('localStorage');
const tab = storageOf('sessionStorage');

const fragment = readFragment();
const statsWanted = new URLSearchParams(location.search).has('stats');

/** What `/about` says. @type {{ name: string | null, room: string | null, needsPin: boolean }} */
const about = { name: null, room: null, needsPin: false };

/**
 * Whether this page sits in the room of a device, which speaks and hears for it; null for one that
 * did not come by the code on the wall, and knows nothing of that.
 */
let here = readPlace();

/** What the person wants to send, whatever can be. */
const wish = { audio: true, video: true };
/** What was wished before somebody wanted to present only, until that has come about. @type {{ audio: boolean, video: boolean } | null} */
let wished = null;
/** @type {words.Words | null} what the door says, about joining */
let doorWords = null;
/** Until when no PIN is taken, in the page's time. */
let pinWaitUntil = 0;
let pinTyped = false;
let dialledAt = 0;
let soundBlocked = false;
/** @type {{ words: words.Words, until: number } | null} */
let toast = null;
let talking = false;
/** A code that was typed, and what the room said before. @type {{ at: number, tries: number } | null} */
let typedCode = null;
/** When the screen was chosen that is about to be shared. */
let chosenAt = 0;
/** The timer of a drawing that is due. */
let drawing = 0;
let movedAt = performance.now();
let mutedHintAt = -Infinity;
/** @type {Map<string, number>} when a voice was last heard */
const heard = new Map();
/** What is really sent: a copy of the microphone's track, so that muting it leaves the level alive. @type {MediaStreamTrack | null} */
let sent = null;
/** @type {MediaStreamTrack | null} the track that `sent` copies */
let sentFrom = null;
/** What the session was told to send. @type {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} */
let sending = { audio: null, video: null };
/** @type {any} */
let screenLock = null;

const devices = new Devices({ changed: () => devicesChanged(), remember: kept });
const loudness = new Loudness();
const stage = new Stage({
  list: element('tiles'),
  template: element('tile'),
  bar: element('bar'),
  on: {
    details: (key) => openDetails(key),
    show: (key, height) => session.show(Number(key), height),
    blocked: () => {
      soundBlocked = true;
      renderBanner();
    },
    pinned: (name) => say(name ? `${name} is large.` : 'All pictures are alike again.'),
  },
});

const url = `${location.protocol === 'http:' ? 'ws' : 'wss'}://${location.host}/ws`;
/** @type {import('./signalling.js').World} */
const world = {
  WebSocket: window.WebSocket,
  RTCPeerConnection: window.RTCPeerConnection,
  MediaStream: window.MediaStream,
  RTCRtpSender: window.RTCRtpSender,
  RTCRtpReceiver: window.RTCRtpReceiver,
  now: () => performance.now(),
  setTimeout: (run, ms) => window.setTimeout(run, ms),
  clearTimeout: (id) => window.clearTimeout(id),
  random: Math.random,
  storage: tab,
  visible: () => document.visibilityState === 'visible',
  log: (what, detail) => console.debug('roomd', what, detail),
};
const node = await nodeId();
const session = new Session({ url, node, world, tell: (happening) => happened(happening) });
const sharing = new Sharing({
  owner: session,
  // What this tab remembers is the person's, not the screen's.
  begin: (tell) => new Session({ url, node: randomId(), world: { ...world, storage: memory() }, tell }),
  capture: navigator.mediaDevices?.getDisplayMedia?.bind(navigator.mediaDevices) ?? null,
  changed: (why) => shareChanged(why),
});

// For support, and for the tests: what is known, nothing secret, nothing that can be changed.
Object.defineProperty(window, 'roomd', {
  value: Object.freeze({
    get room() {
      return session.snapshot();
    },
    get share() {
      return sharing.snapshot();
    },
  }),
});

void start();

async function start() {
  build();
  if (typeof RTCPeerConnection === 'undefined' || typeof WebSocket === 'undefined') {
    element('join').disabled = true;
    doorWords = words.ofOldBrowser();
    renderDoor();
    return;
  }
  element('name').value = kept.getItem('roomd.name') ?? '';
  element('pin').value = fragment.pin || Session.rememberedPin(tab);
  element('room').value = fragment.room;
  renderDoor();
  await Promise.all([askAbout(), devices.open(here ? ['video'] : undefined)]);
}

async function askAbout() {
  try {
    const answer = await fetch('/about', { cache: 'no-store' });
    const told = await answer.json();
    about.name = typeof told.name === 'string' && told.name ? told.name : null;
    about.room = typeof told.room === 'string' && told.room ? told.room : null;
    about.needsPin = told.needs_pin === true;
    // Only a device that is its own authority is warned about.
    element('trust').hidden = !told.authority;
  } catch {
    // The join will say what is the matter.
    return;
  }
  element('pin-field').hidden = !(about.needsPin && element('pin').value === '');
  element('room-field').hidden = about.room !== null || fragment.room !== '';
  renderDoor();
}

// What is pressed.

function build() {
  for (const id of ['door-pickers', 'room-pickers']) {
    const pickers = element('pickers').content.cloneNode(true);
    pickers.querySelectorAll('.field').forEach((/** @type {HTMLElement} */ field) => {
      const select = /** @type {HTMLSelectElement} */ (field.querySelector('select'));
      const label = /** @type {HTMLLabelElement} */ (field.querySelector('label'));
      const what = /** @type {'audio' | 'video' | 'speaker'} */ (select.dataset.what);
      select.id = `${id}-${what}`;
      label.htmlFor = select.id;
      select.addEventListener('change', () => {
        if (what === 'video' || what === 'audio') wish[what] = true;
        void devices.choose(what, select.value);
      });
    });
    element(id).append(pickers);
  }
  element('form').addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    join();
  });
  element('pin').addEventListener('input', () => {
    pinTyped = true;
    element('pin').removeAttribute('aria-invalid');
  });
  element('preview').addEventListener('resize', shapePreview);
  window.addEventListener('resize', shapePreview);
  for (const id of ['door-mic', 'mic']) element(id).addEventListener('click', () => toggle('audio'));
  for (const id of ['door-cam', 'cam']) element(id).addEventListener('click', () => toggle('video'));
  element('present').addEventListener('click', () => void present());
  element('share').addEventListener('click', () => share());
  element('sharing').querySelector('button').addEventListener('click', () => share());
  for (const id of ['share', 'share-key', 'present-field']) element(id).hidden = !sharing.possible;
  element('leave').addEventListener('click', () => session.leave());
  element('bell').addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    answerBell(true);
  });
  element('bell-away').addEventListener('click', () => answerBell(false));
  element('bell-code').addEventListener('input', () => sayOfCode(''));
  element('here').addEventListener('click', () => sit(true));
  element('here-words').querySelector('button').addEventListener('click', () => sit(false));
  element('people').addEventListener('click', () => {
    renderPeople();
    element('people-dialog').showModal();
  });
  element('devices').addEventListener('click', () => {
    renderPickers();
    element('devices-dialog').showModal();
  });
  element('help').addEventListener('click', () => element('help-dialog').showModal());
  for (const dialog of document.querySelectorAll('dialog')) {
    // A touch beside it closes it.
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
  }
  element('door-words').querySelector('button').addEventListener('click', () => act(doorWords?.does));
  element('device-words').querySelector('button').addEventListener('click', (/** @type {Event} */ event) => {
    act(/** @type {HTMLElement} */ (event.currentTarget).dataset.does);
  });
  element('banner').querySelector('button').addEventListener('click', (/** @type {Event} */ event) => {
    act(/** @type {HTMLElement} */ (event.currentTarget).dataset.does);
  });

  document.addEventListener('keydown', onKey);
  document.addEventListener('keyup', (event) => {
    if (event.code === 'Space') talk(false);
  });
  window.addEventListener('blur', () => talk(false));
  for (const type of ['pointermove', 'pointerdown', 'keydown', 'focusin']) {
    document.addEventListener(type, moved, { passive: true, capture: true });
  }
  for (const type of ['pointerdown', 'keydown']) {
    document.addEventListener(type, () => loudness.wake(), { passive: true, capture: true });
  }
  window.addEventListener('online', () => session.nudge());
  document.addEventListener('visibilitychange', () => {
    session.appear();
    if (document.visibilityState !== 'visible') return;
    session.nudge();
    void keepScreenOn();
  });
  window.addEventListener('pagehide', () => session.leave());
  setInterval(tick, 1_000);
  setInterval(listen, 100);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest('input, select, textarea, [contenteditable]')) return;
  if (document.querySelector('dialog[open]')) return;
  if (event.code === 'Space') {
    if (!inRoom() || target.closest('button, a')) return;
    event.preventDefault();
    if (!event.repeat) talk(true);
    return;
  }
  if (event.repeat) return;
  switch (event.key.toLowerCase()) {
    case 'm': return toggle('audio');
    case 'v': return toggle('video');
    case 's': return inRoom() ? share() : undefined;
    case 'l': return inRoom() ? session.leave() : undefined;
    case '?': return inRoom() ? element('help-dialog').showModal() : undefined;
    default: return undefined;
  }
}

/** Does what a sentence offers. @param {string | undefined} what */
function act(what) {
  switch (what) {
    case 'devices': {
      const kinds = /** @type {('audio' | 'video')[]} */ (['audio', 'video']).filter((kind) => devices.wants[kind]);
      void devices.open(kinds.length > 0 ? kinds : undefined);
      break;
    }
    case 'join': join(); break;
    case 'reload': location.reload(); break;
    case 'elsewhere': sit(false); break;
    case 'secure': location.protocol = 'https:'; break;
    case 'sound':
      soundBlocked = false;
      loudness.wake();
      stage.play();
      renderBanner();
      break;
    case 'link': {
      const link = new URL('/', location.href);
      if (session.room && session.room !== about.room) link.searchParams.set('room', session.room);
      const copied = about.needsPin ? 'The link is copied. Who opens it needs the PIN too.' : 'The link is copied.';
      const said = navigator.clipboard?.writeText(link.href) ?? Promise.reject(new Error('no clipboard'));
      void said.then(
        () => pop({ text: copied, tone: 'plain' }),
        () => pop({ text: `The link is ${link.href}`, tone: 'plain' }),
      );
      break;
    }
    default: break;
  }
}

/** Whether what the door asks for is there; if not, it says so. */
function isFilledIn() {
  if (performance.now() < pinWaitUntil) return false;
  const { name, pin, room } = typed();
  if (!element('room-field').hidden && !room) {
    doorWords = words.ofRefusal('no_room');
    renderDoor();
    element('room').focus();
    return false;
  }
  if (!element('pin-field').hidden && pin === '') {
    doorWords = words.ofRefusal('need_pin');
    element('pin').setAttribute('aria-invalid', 'true');
    renderDoor();
    element('pin').focus();
    return false;
  }
  return true;
}

/** What stands in the fields of the door. */
function typed() {
  return {
    name: element('name').value.trim(),
    pin: element('pin').value.replace(/\s+/g, ''),
    room: element('room').value.trim() || about.room,
  };
}

function join() {
  if (!isFilledIn()) return;
  const { name, pin, room } = typed();
  kept.setItem('roomd.name', name);
  loudness.wake();
  dialledAt = performance.now();
  sendTracks();
  session.join({ name: name || 'Guest', media: media(), here: here === true, place: about.name, ...(pin && { pin }), ...(room && { room }) });
  renderDoor();
}

/** Joins with a screen, and with neither camera nor microphone. */
async function present() {
  // The browser asks which screen only in the moment of a touch or a key, so that comes first.
  if (!isFilledIn() || !(await sharing.start(here === true))) return;
  wished = { ...wish };
  wish.audio = false;
  wish.video = false;
  devices.close('audio');
  devices.close('video');
  join();
}

/** Shares the screen, or no longer. */
function share() {
  if (sharing.state === 'off') void sharing.start(here === true);
  else sharing.stop();
}

/** @param {import('./share.js').WhyNot | null} why */
function shareChanged(why) {
  if (why) {
    if (inRoom()) pop(words.ofNoScreen(why));
    else doorWords = words.ofNoScreen(why);
  } else if (inRoom() && sharing.state !== 'asking') {
    say(sharing.state === 'on' ? 'You are sharing your screen.' : sharing.state === 'starting' ? 'Starting to share your screen.' : 'Your screen is not shared any more.');
  }
  if (sharing.state === 'starting') chosenAt = performance.now();
  // The button that was pressed may be gone.
  if (sharing.state === 'off' && element('sharing').contains(document.activeElement)) element('share').focus({ preventScroll: true });
  moved();
  renderDoor();
  renderSoon();
}

/**
 * In the room of a device nothing of ours sounds and the microphone is not even open, or both would
 * howl; somewhere else both begin in the same moment, muted only by one's own choice.
 * @param {boolean} now
 */
function sit(now) {
  here = now;
  tab.setItem('roomd.here', now ? '1' : '0');
  talking = false;
  session.setHere(now);
  loudness.wake();
  if (now) devices.close('audio');
  else if (!devices.tracks.audio) void devices.open(['audio']);
  if (inRoom()) {
    say(now ? words.ofHere().text : wish.audio ? 'Microphone and speaker on.' : 'Speaker on. You are muted.');
    moved();
    // The button that was pressed is gone.
    if (!document.activeElement?.checkVisibility?.()) element('mic').focus({ preventScroll: true });
  }
  devicesChanged();
}

/** @param {'audio' | 'video'} kind */
function toggle(kind) {
  if (kind === 'audio' && here) {
    if (inRoom()) pop(words.ofMutedHere());
    return;
  }
  const on = !media()[kind];
  talking = false;
  if (on) {
    wish[kind] = true;
    if (!devices.tracks[kind]) void devices.open([kind]);
  } else {
    wish[kind] = false;
    // A camera that is off has its light off. A microphone stays open, so that the page can say
    // that one speaks while muted, and so that it is there at once.
    if (kind === 'video') devices.close('video');
  }
  if (inRoom()) {
    const text = kind === 'audio' ? (wish.audio ? 'Microphone on.' : 'You are muted.') : wish.video ? 'Camera on.' : 'Camera off.';
    say(text);
  }
  devicesChanged();
}

/** @param {boolean} on */
function talk(on) {
  if (talking === on) return;
  if (on && here) {
    pop(words.ofMutedHere());
    return;
  }
  if (on && (wish.audio || !devices.tracks.audio)) return;
  talking = on;
  devicesChanged();
}

function moved() {
  movedAt = performance.now();
  document.body.classList.remove('quiet');
}

// What happens.

/** @param {import('./signalling.js').Happening} happening */
function happened(happening) {
  switch (happening.type) {
    case 'state':
      enter(happening.state, happening.why);
      sharing.follow();
      break;
    case 'refused':
      refused(happening);
      break;
    case 'back':
      pop(words.ofReturn());
      break;
    case 'came':
      say(happening.person.member.of ? words.ofScreenChange(happening.person.member.name, true) : `${happening.person.member.name} joined.`);
      break;
    case 'went':
      loudness.follow(String(happening.person.key), null);
      heard.delete(String(happening.person.key));
      say(happening.person.member.of ? words.ofScreenChange(happening.person.member.name, false) : `${happening.person.member.name} left.`);
      break;
    case 'changed': {
      const { before, person } = happening;
      if (person.member.of) break;
      const { name, media: now } = person.member;
      const sits = person.member.here ?? false;
      const hold = words.ofHold(name, now.hold);
      const records = person.member.recording ?? false;
      if (now.hold === 'turned_away' && turnedAway()) {
        session.leave('turned_away');
        break;
      }
      if ((before.recording ?? false) !== records) say(words.ofRecordingChange(name, records));
      if ((before.media.hold ?? null) !== (now.hold ?? null)) say(hold ? hold.text : `${name} is open.`);
      else if ((before.here ?? false) !== sits) say(words.ofPlace(name, sits));
      else if (before.media.audio !== now.audio && !sits) say(`${name} ${now.audio ? 'is not muted any more' : 'is muted'}.`);
      break;
    }
    case 'asked': {
      const asked = words.ofAsked(happening.person.member.name, happening.what);
      const on = happening.what === 'mute' ? media().audio : media().video;
      if (asked && on) pop(asked);
      break;
    }
    case 'uplink':
      if (media().video) say(happening.paused ? words.ofPause(!media().audio).text : 'Others see you again.');
      break;
    case 'covered':
      if (media().video) say(happening.covered ? words.ofPause(true, 'code').text : 'Others see you again.');
      break;
    case 'problem':
      console.debug('roomd', happening.code, happening.text);
      break;
    default:
      break;
  }
  renderSoon();
}

/** @param {import('./signalling.js').State} state @param {string | null} why */
function enter(state, why) {
  if (state === 'joined') {
    doorWords = null;
    element('pin-field').hidden = true;
    if (document.body.dataset.at !== 'room') {
      document.body.dataset.at = 'room';
      element('door').hidden = true;
      element('stage').hidden = false;
      const title = about.name ?? session.room ?? 'Room';
      document.title = title;
      element('stage').setAttribute('aria-label', title);
      element('stage-title').textContent = title;
      say(`You are in ${title}.`);
      void keepScreenOn();
      moved();
      renderRoom();
      element('mic').focus({ preventScroll: true });
    }
  } else if (state === 'ended') {
    toDoor();
    doorWords = words.ofEnd(why);
    say(doorWords.text);
    renderDoor();
    element('join').focus();
  } else if (state === 'refused') {
    toDoor();
  }
  renderDoor();
}

/** Whether every room here has turned this page away, which does not sit in any. */
function turnedAway() {
  const rooms = session.people.filter(({ member }) => member.kind === 'device');
  return !here && rooms.every(({ member }) => member.media.hold === 'turned_away');
}

function toDoor() {
  if (document.body.dataset.at === 'door') return;
  document.body.dataset.at = 'door';
  document.body.classList.remove('quiet');
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  element('door').hidden = false;
  element('stage').hidden = true;
  stage.clear();
  element('bell').hidden = true;
  soundBlocked = false;
  toast = null;
  void screenLock?.release?.();
  screenLock = null;
}

/** @param {{ code: string, retryMs: number | null }} refusal */
function refused({ code, retryMs }) {
  const room = element('room').value.trim() || about.room;
  if (code === 'pin_wait') pinWaitUntil = performance.now() + (retryMs ?? 60_000);
  doorWords = words.ofRefusal(code, { room, seconds: (retryMs ?? 60_000) / 1_000, typed: pinTyped || fragment.pin !== '' });
  if (code === 'need_pin' || code === 'bad_pin' || code === 'pin_wait') {
    element('pin-field').hidden = false;
    const pin = element('pin');
    if (code !== 'need_pin') pin.value = '';
    if (code === 'bad_pin') {
      pin.setAttribute('aria-invalid', 'true');
    }
    if (code !== 'pin_wait') pin.focus();
  }
  if (code === 'no_room') element('room-field').hidden = false;
  // The browser shows its choice anew at a click only, so what follows is joining as before.
  if (wished) {
    Object.assign(wish, wished);
    wished = null;
    void devices.open(here ? ['video'] : undefined);
  }
  renderDoor();
}

function devicesChanged() {
  const { audio, video } = devices.tracks;
  // A device that is not wanted any more when it finally opens is closed again.
  if (video && !wish.video) {
    devices.close('video');
    return;
  }
  if (audio && here) {
    devices.close('audio');
    return;
  }
  const preview = element('preview');
  if (trackOf(preview) !== video) {
    preview.srcObject = video && new MediaStream([video]);
    if (video) preview.play().catch(() => {});
  }
  loudness.follow('self', audio);
  sendTracks();
  session.setMedia(media());
  stage.sink(devices.chosen.speaker);
  renderDoor();
  renderPickers();
  renderSoon();
}

/** What is sent: what is wanted and there is. */
function media() {
  return {
    audio: !here && (wish.audio || talking) && devices.tracks.audio !== null,
    video: wish.video && devices.tracks.video !== null,
  };
}

function sendTracks() {
  const { audio, video } = devices.tracks;
  if (sentFrom !== audio) {
    sent?.stop();
    sent = audio?.clone() ?? null;
    sentFrom = audio;
  }
  if (sent) sent.enabled = media().audio;
  if (sending.audio === sent && sending.video === video) return;
  sending = { audio: sent, video };
  session.setTracks(sending);
}

function tick() {
  const now = performance.now();
  if (toast && now > toast.until) toast = null;
  if (inRoom()) {
    renderRoom();
    const still = now - movedAt > QUIET_MS && session.people.length > 0;
    const busy = document.querySelector('dialog[open], .bar :focus-visible, .banner:not([hidden], [data-does="elsewhere"]), .banner :focus-visible');
    document.body.classList.toggle('quiet', still && !busy && !(matchMedia('(hover: none)').matches && innerHeight > innerWidth));
  } else {
    renderDoor();
  }
}

function listen() {
  const now = performance.now();
  const level = loudness.of('self');
  if (inRoom()) {
    for (const { key, link } of persons()) {
      const name = String(key);
      loudness.follow(name, here ? null : (link?.connection?.tracks.audio ?? null));
      stage.speaking(name, voice(name, now), now);
    }
    const speaks = voice('self', now);
    stage.speaking('self', speaks && media().audio, now);
    if (speaks && devices.tracks.audio && !media().audio && now - mutedHintAt > 60_000 && level > 0.6) {
      mutedHintAt = now;
      pop(words.ofMutedSpeech(matchMedia('(hover: hover)').matches));
    }
  }
  for (const bar of document.querySelectorAll('.level i')) {
    /** @type {HTMLElement} */ (bar).style.transform = `scaleX(${media().audio ? level.toFixed(2) : 0})`;
  }
  if (level > SPEECH) heard.set('level', now);
}

/** @param {string} name @param {number} now */
function voice(name, now) {
  if (loudness.of(name) > SPEECH) heard.set(name, now);
  return now - (heard.get(name) ?? -Infinity) < SPEECH_HOLD_MS;
}

// What is shown.

function renderDoor() {
  if (document.body.dataset.at !== 'door') return;
  const now = performance.now();
  const title = about.name ?? element('room').value;
  element('door-title').textContent = title ? `Join ${title}` : 'Join the room';
  if (document.body.dataset.at === 'door') document.title = title || 'Room';

  const dialling = session.state === 'connecting' || session.state === 'reconnecting';
  let said = doorWords;
  if (dialling) said = words.ofDialling(session.state === 'connecting' ? 'connecting' : 'reconnecting', (now - dialledAt) / 1_000);
  else if (pinWaitUntil > 0 && session.state === 'refused') {
    const seconds = Math.ceil((pinWaitUntil - now) / 1_000);
    said = doorWords = words.ofRefusal('pin_wait', { seconds });
    if (seconds <= 0) pinWaitUntil = 0;
  }
  const button = element('join');
  button.disabled = dialling || now < pinWaitUntil || typeof RTCPeerConnection === 'undefined';
  button.textContent = dialling ? 'Joining…' : session.state === 'ended' ? 'Join again' : 'Join';
  element('present').disabled = button.disabled || sharing.state !== 'off';
  if (dialling && session.state === 'connecting') said = null;
  tell('door-words', said);

  const { video, audio } = devices.wants;
  tell('here-words', here ? words.ofHere() : null);
  const matter = words.ofDevices(wish.video ? video : null, wish.audio && !here ? audio : null);
  tell('device-words', matter);

  const slate = element('preview-slate');
  const dark = !devices.tracks.video;
  slate.hidden = !dark;
  element('preview').hidden = dark;
  const text = devices.wants.video === 'asking' ? 'Waiting for your camera…' : !wish.video ? 'Your camera is off' : devices.wants.video === 'missing' ? 'No camera' : devices.wants.video ? 'Your camera is not available' : 'Starting your camera…';
  if (slate.textContent !== text) slate.textContent = text;
  renderSwitch('door-mic', 'audio');
  renderSwitch('door-cam', 'video');
  renderPickers();
}

/** An upright camera is shown whole, not cut at the chin. */
function shapePreview() {
  const video = element('preview');
  if (!video.videoWidth) return;
  const aspect = video.videoWidth / video.videoHeight;
  const box = video.parentElement;
  box.style.aspectRatio = String(Math.min(16 / 9, Math.max(1, aspect)));
  video.classList.toggle('contain', fitting(aspect, box.clientWidth / box.clientHeight) === 'contain');
}

/** @param {string} id @param {'audio' | 'video'} kind */
function renderSwitch(id, kind) {
  const on = media()[kind];
  const button = element(id);
  button.classList.toggle('off', !on && !(kind === 'audio' && here));
  button.querySelector('use').setAttribute('href', `#i-${kind === 'audio' ? 'mic' : 'cam'}${on ? '' : '-off'}`);
  const text = kind === 'audio' ? (here ? 'Microphone off' : on ? 'Mute' : 'Unmute') : on ? 'Stop camera' : 'Start camera';
  const span = button.querySelector('span');
  if (span.textContent !== text) span.textContent = text;
  button.title = `${text} (${kind === 'audio' ? 'M' : 'V'})`;
  if (kind === 'audio') button.setAttribute('aria-disabled', String(here === true));
}

function renderPickers() {
  for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll('select[data-what]'))) {
    const what = /** @type {'audio' | 'video' | 'speaker'} */ (select.dataset.what);
    const choices = devices.choices[what];
    const field = /** @type {HTMLElement} */ (select.closest('.field'));
    field.hidden = what === 'speaker' ? here === true || !devices.choosesSpeaker : what === 'audio' && here === true;
    const none = what === 'video' ? 'No camera' : what === 'audio' ? 'No microphone' : 'The system’s choice';
    const options = choices.length > 0 ? choices : [{ id: '', label: none }];
    select.disabled = choices.length < 1;
    const track = what === 'speaker' ? null : devices.tracks[what];
    const current = track?.getSettings().deviceId ?? devices.chosen[what];
    const wanted = JSON.stringify(options);
    if (select.dataset.options !== wanted) {
      select.dataset.options = wanted;
      select.replaceChildren(...options.map(({ id, label }) => new Option(label, id)));
    }
    if (options.some(({ id }) => id === current) && select.value !== current) select.value = current;
  }
  const loud = performance.now() - (heard.get('level') ?? -Infinity) < 4_000;
  for (const text of document.querySelectorAll('.level-words')) {
    const said = !devices.tracks.audio ? '' : !wish.audio ? 'You are muted.' : loud ? 'You can be heard.' : 'Say something: the line moves.';
    if (text.textContent !== said) text.textContent = said;
  }
}

/** Once for everything that happens in one go. */
function renderSoon() {
  if (drawing) return;
  drawing = window.setTimeout(() => {
    drawing = 0;
    renderRoom();
  }, 0);
}

function renderRoom() {
  if (!inRoom()) return;
  stage.render(everybody(), performance.now());
  renderSwitch('mic', 'audio');
  renderSwitch('cam', 'video');
  element('here').hidden = here !== false;
  renderShare();
  renderRecording();
  const count = String(persons().length + 1);
  if (element('people-count').textContent !== count) {
    element('people-count').textContent = count;
  }
  if (element('people-dialog').open) renderPeople();
  renderBanner();
}

/** That one's own screen is seen by others is said at all times; the bar leaves, this does not. */
function renderShare() {
  const on = sharing.state === 'on' || sharing.state === 'starting';
  const box = element('sharing');
  box.hidden = !on;
  box.dataset.state = sharing.state;
  if (on) {
    const line = box.querySelector('span');
    const told = words.ofOwnScreen(/** @type {'starting' | 'on'} */ (sharing.state), (performance.now() - chosenAt) / 1_000);
    if (line.textContent !== told) line.textContent = told;
  }
  const button = element('share');
  button.querySelector('use').setAttribute('href', on ? '#i-share-off' : '#i-share');
  const text = on ? 'Stop sharing' : 'Share screen';
  const span = button.querySelector('span');
  if (span.textContent !== text) span.textContent = text;
  button.title = `${text} (S)`;
}

/** Whoever is in the room sees it at all times; the bar leaves, this does not. */
function renderRecording() {
  const names = session.people.filter(({ member }) => member.recording).map(({ member }) => member.name);
  const box = element('recording');
  box.hidden = names.length === 0;
  const text = names.length === 0 ? '' : words.ofRecording(names);
  const span = box.querySelector('span');
  if (span.textContent !== text) span.textContent = text;
}

/**
 * Everybody as they are shown: rooms first, so that one that restarts comes back to its place, and
 * oneself last.
 */
function everybody() {
  const isRoom = (/** @type {import('./signalling.js').Person} */ person) => person.member.kind === 'device';
  const { people } = session;
  const others = [...people.filter(isRoom), ...people.filter((person) => !isRoom(person))];
  return [...others.map(seenOf), seenSelf()];
}

/** The others, without their screens. */
function persons() {
  return session.people.filter(({ member }) => !member.of);
}

/** @param {import('./signalling.js').Person} person @returns {import('./stage.js').Seen} */
function seenOf({ key, member, link }) {
  return {
    key: String(key),
    member: member.member,
    name: member.of ? words.ofScreen(member.name) : member.name,
    self: false,
    device: member.kind === 'device',
    // While our own signalling is lost nothing is tried either, and that is what there is to say.
    away: member.away || (session.state === 'reconnecting' && link?.state === 'broken'),
    here: member.here ?? false,
    recording: member.recording ?? false,
    screen: member.of !== undefined,
    sharing: session.people.some((other) => other.member.of === member.member),
    media: member.media,
    state: link?.state ?? 'none',
    why: link?.why ?? null,
    failures: link?.failures ?? 0,
    paused: link?.paused ?? null,
    since: link?.since ?? 0,
    audio: here ? null : (link?.connection?.tracks.audio ?? null),
    video: link?.connection?.tracks.video ?? null,
    stats: statsWanted ? figures(link?.connection?.sample ?? null) : '',
  };
}

/** @returns {import('./stage.js').Seen} */
function seenSelf() {
  return {
    key: 'self',
    member: session.self?.member ?? 'self',
    name: session.self?.name ?? (element('name').value || 'Guest'),
    self: true,
    device: false,
    away: false,
    here: here === true,
    recording: false,
    screen: false,
    sharing: sharing.state === 'on',
    media: media(),
    state: 'live',
    why: null,
    failures: 0,
    paused: session.covered ? 'code' : session.paused,
    since: 0,
    audio: null,
    video: devices.tracks.video,
    stats: '',
  };
}

/** @param {import('./link.js').Sample | null} sample */
function figures(sample) {
  if (!sample) return 'no figures yet';
  return [
    `in  ${sample.codecIn || '–'} ${sample.height}p ${sample.fps} fps ${sample.kbpsIn} kbit/s`,
    `out ${sample.codecOut || '–'} ${sample.kbpsOut} kbit/s`,
    `lost ${sample.lost}  rtt ${sample.rtt ?? '–'} ms  ${sample.path}`,
  ].join('\n');
}

function renderBanner() {
  const now = performance.now();
  /** @type {words.Words | null} */
  let said = null;
  const rings = renderBell();
  if (session.state === 'reconnecting') said = words.ofReconnecting(session.why, (now - (session.lostSince ?? now)) / 1_000);
  else if (soundBlocked) said = words.ofBlockedSound();
  else if (devices.wants.audio && wish.audio && !here && devices.wants.audio !== 'missing') said = words.ofDevices(null, devices.wants.audio);
  else if (devices.wants.video && wish.video && devices.wants.video !== 'missing') said = words.ofDevices(devices.wants.video, null);
  else if (rings) said = null;
  else if (held()) said = held();
  else if (here) said = words.ofHere();
  else if (session.state === 'joined' && persons().length === 0) said = words.ofAlone();
  tell('banner', said);
  tell('toast', toast?.words ?? null);
}

/** The room that asks those who sit in it for the code on its screen. */
function bellOf() {
  if (!here || session.state !== 'joined') return null;
  const rooms = session.people.filter(({ member, link }) => member.kind === 'device' && member.media.hold && member.media.tries !== undefined && link);
  // Of several it is the one whose page this is.
  return rooms.find(({ member }) => member.name === about.name) ?? rooms[0] ?? null;
}

/** Shows who is at the door to those who can let them in. Says whether somebody is. */
function renderBell() {
  const box = element('bell');
  const room = bellOf();
  if (!room) {
    if (!box.hidden) {
      const focused = box.contains(document.activeElement);
      box.hidden = true;
      typedCode = null;
      element('bell-code').value = '';
      sayOfCode('');
      if (focused) element('mic').focus({ preventScroll: true });
    }
    return false;
  }
  const { hold = '', tries = 0 } = room.member.media;
  if (typedCode && tries < typedCode.tries) {
    typedCode = null;
    sayOfCode(tries > 0 ? words.ofCode('wrong', tries) : '', true);
  } else if (typedCode && performance.now() - typedCode.at > ANSWER_MS) {
    typedCode = null;
    sayOfCode(words.ofCode('old', tries), true);
  }
  const names = persons().filter((person) => person !== room && !person.member.here).map(({ member }) => member.name);
  const said = words.ofBell({ room: room.member.name, hold, tries, names, called: room.called });
  for (const [id, text] of [['bell-title', said.title], ['bell-words', said.text], ['bell-in', said.admit]]) {
    if (element(id).textContent !== text) element(id).textContent = text;
  }
  element('bell-fields').hidden = tries === 0 || room.called;
  element('bell-away').hidden = said.away === null;
  for (const id of ['bell-in', 'bell-away']) element(id).disabled = typedCode !== null;
  if (box.hidden) {
    box.hidden = false;
    say(`${said.title}. ${said.text}`);
  }
  return true;
}

/** @param {boolean} letIn */
function answerBell(letIn) {
  const room = bellOf();
  const field = element('bell-code');
  const code = field.value.replace(/\D/g, '');
  if (!room || room.called || typedCode) return;
  if (code.length !== 4) {
    sayOfCode(words.ofCode('missing', 0), true);
    return;
  }
  const { tries = 0 } = room.member.media;
  if (!session.admit(room.key, code, letIn)) {
    sayOfCode(words.ofCode('lost', tries));
    return;
  }
  typedCode = { at: performance.now(), tries };
  sayOfCode(words.ofCode('asking', tries));
  renderSoon();
}

/** What there is to say of the code. @param {string} text @param {boolean} [again] it is to be typed anew */
function sayOfCode(text, again = false) {
  const field = element('bell-code');
  const said = element('bell-said');
  if (said.textContent !== text) said.textContent = text;
  field.toggleAttribute('aria-invalid', false);
  if (!again) return;
  field.value = '';
  if (text) field.setAttribute('aria-invalid', 'true');
  if (element('bell').contains(document.activeElement)) field.focus({ preventScroll: true });
}

/** What is to be said of a room that is not simply open. */
function held() {
  const rooms = session.people.filter(({ member }) => member.kind === 'device');
  if (here && rooms.some(({ member }) => member.media.hold === 'turned_away')) return words.ofTurnedAway();
  const all = rooms.map(({ member }) => words.ofHold(member.name, member.media.hold));
  return all.find((said) => said !== null) ?? null;
}

/** @param {string} id @param {words.Words | null} said */
function tell(id, said) {
  const box = element(id);
  box.hidden = said === null;
  if (!said) return;
  box.dataset.tone = said.tone;
  const text = box.querySelector('span') ?? box;
  if (text.textContent !== said.text) text.textContent = said.text;
  const button = box.querySelector('button');
  if (!button) return;
  button.hidden = !said.action;
  if (said.action && button.textContent !== said.action) button.textContent = said.action;
  button.dataset.does = said.does ?? '';
}

function renderPeople() {
  const list = element('people-list');
  const all = everybody().filter(({ screen }) => !screen);
  // Only when it is another list: a button that is replaced between press and release is not pressed.
  const shown = JSON.stringify(all.map(({ member, name, media, here: sits, recording, sharing: shares, state, away, key }) => [member, name, media, sits, recording, shares, state === 'live', away, key]));
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  const focused = /** @type {HTMLElement | null} */ (list.contains(document.activeElement) ? document.activeElement : null);
  list.replaceChildren(
    ...all.map((seen) => {
      const item = document.createElement('li');
      const circle = document.createElement('span');
      circle.className = `initials hue-${words.hue(seen.member)}`;
      circle.setAttribute('aria-hidden', 'true');
      circle.textContent = words.initials(seen.name);
      const text = document.createElement('div');
      const name = document.createElement('bdi');
      name.textContent = seen.name;
      const state = document.createElement('span');
      state.className = 'dim';
      state.textContent = words.ofPerson(seen.media, seen);
      text.append(name, state);
      item.append(circle, text);
      // A room has nobody at its controls; who is in it may be silenced, and only there opened again.
      const asks = seen.device && seen.state === 'live' ? words.ofAsking(seen.media, here === true) : [];
      if (asks.length > 0) {
        const box = document.createElement('div');
        box.className = 'asks';
        box.append(...asks.map((ask) => askButton(seen, ask)));
        item.append(box);
      }
      return item;
    }),
  );
  if (!focused) return;
  const { key, what } = focused.dataset;
  // Never to another button of the list: a key pressed twice would press that one.
  const again = list.querySelector(`.ask[data-key="${key}"][data-what="${what}"]`);
  /** @type {HTMLElement | null} */ (again ?? element('people-dialog').querySelector('header button'))?.focus();
}

/** @param {import('./stage.js').Seen} seen @param {{ what: import('./words.js').Asking, text: string }} ask */
function askButton(seen, { what, text }) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'ask';
  button.dataset.what = what;
  button.dataset.key = seen.key;
  button.textContent = text;
  button.setAttribute('aria-label', `${text}: ${seen.name}`);
  button.addEventListener('click', () => session.ask(Number(seen.key), what));
  return button;
}

/** @param {string} key */
function openDetails(key) {
  const person = session.people.find((other) => String(other.key) === key);
  if (!person) return;
  const { member, link } = person;
  const sample = link?.connection?.sample ?? null;
  element('details-title').textContent = `Connection to ${member.name}`;
  const rows = {
    State: `${link?.state ?? 'no link'}, attempt ${link?.generation ?? 0}`,
    Reason: words.ofReason(link?.why ?? null),
    Offers: link?.offerer ? 'this page' : member.name,
    'Last figures': sample ? figures(sample) : 'none',
    Browser: navigator.userAgent,
  };
  element('details-list').replaceChildren(
    ...Object.entries(rows).map(([term, text]) => {
      const row = document.createElement('div');
      const dt = document.createElement('dt');
      const dd = document.createElement('dd');
      dt.textContent = term;
      dd.textContent = text;
      row.append(dt, dd);
      return row;
    }),
  );
  element('details-dialog').showModal();
}

/** Shows something for a moment. @param {words.Words} said */
function pop(said) {
  toast = { words: said, until: performance.now() + 4_000 };
  say(said.text);
  renderBanner();
}

/** Tells those who hear the page what the others see. @param {string} text */
function say(text) {
  const line = document.createElement('p');
  line.textContent = text;
  const live = element('live');
  live.append(line);
  while (live.childElementCount > 6) live.firstElementChild.remove();
}

function inRoom() {
  return document.body.dataset.at === 'room';
}

async function keepScreenOn() {
  if (!inRoom() || !('wakeLock' in navigator)) return;
  // A battery that is low refuses; then the screen goes dark as ever.
  screenLock = await navigator.wakeLock.request('screen').catch(() => null);
}

// What the address says, and what is remembered.

/** A secret travels behind the `#`, which no server sees, and is gone once it has been read. */
function readFragment() {
  const told = new URLSearchParams(location.hash.slice(1));
  const pin = told.get('pin') ?? told.get('p') ?? '';
  const room = told.get('room') ?? new URLSearchParams(location.search).get('room') ?? '';
  const came = location.hash.length > 1;
  if (location.hash) history.replaceState(null, '', location.pathname + location.search);
  return { pin, room, came, here: told.has('here') };
}

/** A link that was followed says where one is; a page that was loaded anew remembers it. */
function readPlace() {
  if (fragment.came) {
    if (fragment.here) tab.setItem('roomd.here', '1');
    else tab.removeItem('roomd.here');
  }
  const known = tab.getItem('roomd.here');
  return known === null ? null : known === '1';
}

/** This tab's id: the same after a reload, another in another tab. */
async function nodeId() {
  const known = tab.getItem('roomd.node');
  if (known && /^[\w.~-]{8,64}$/.test(known) && (await isOurs(known))) return known;
  const made = randomId();
  tab.setItem('roomd.node', made);
  await isOurs(made);
  return made;
}

function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * Whether no other tab has this id. A tab that is duplicated copies its storage, and two members
 * of one id would put each other out. @param {string} id
 */
function isOurs(id) {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    void navigator.locks.request(`roomd.node.${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      // Held for as long as the page lives.
      return lock && new Promise(() => {});
    });
  });
}

/** A browser that keeps nothing is no reason to keep anybody out. @param {'localStorage' | 'sessionStorage'} which */
function storageOf(which) {
  try {
    window[which].setItem('roomd.test', '1');
    window[which].removeItem('roomd.test');
    return window[which];
  } catch {
    return memory();
  }
}

/** What is kept for as long as the page lives. */
function memory() {
  /** @type {Map<string, string>} */
  const known = new Map();
  return {
    getItem: (/** @type {string} */ key) => known.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void known.set(key, value),
    removeItem: (/** @type {string} */ key) => void known.delete(key),
  };
}

/** @param {HTMLMediaElement} media */
function trackOf(media) {
  const stream = /** @type {MediaStream | null} */ (media.srcObject);
  return stream?.getTracks()[0] ?? null;
}
