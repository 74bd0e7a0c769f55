// A camera and a microphone that say who they are. This function is sent into the page before its
// own scripts run, so it must not use anything from outside itself.

/**
 * The picture carries, in two rows of sixteen blocks (each a sixteenth of the width), four bits of
 * the member's number and twelve of a frame counter, and the same inverted. The sound is one tone.
 *
 * @param {{ number: number, pitch: number, width?: number, height?: number, fps?: number, rate?: number, pips?: boolean, busy?: boolean,
 *   camera?: string, microphone?: string, screen?: string, hue?: number }} options
 *   `rate`: samples a second, or whatever the browser likes; `pips`: the tone is short and comes
 *   every two seconds, for silence costs an encoder little; `busy`: half of the picture is never the
 *   same, so that an encoder takes whatever it is given;
 *   `camera`, `microphone`, `screen`: `works`, or the name of the error that opening it gives, or
 *   `never`; `screen` also `none`, where the browser has no such thing
 */
export function fakeDevices({ number, pitch, width = 320, height = 180, fps = 15, rate, pips = false, busy = false, camera = 'works', microphone = 'works', screen = 'works', hue }) {
  const state = { counter: 0, camera, microphone, opened: 0, screen: null };
  Object.defineProperty(window, 'fakeDevices', { value: state });

  function picture() {
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d', { alpha: false });
    const tone = hue ?? (number * 47) % 360;
    const snow = busy && context.createImageData(width, Math.floor(height / 2));
    const draw = () => {
      state.counter = (state.counter + 1) & 0xfff;
      const sway = Math.sin(state.counter / 12) * width * 0.01;
      const wall = context.createLinearGradient(0, 0, width, height);
      wall.addColorStop(0, `hsl(${tone} 28% 62%)`);
      wall.addColorStop(1, `hsl(${(tone + 40) % 360} 26% 38%)`);
      context.fillStyle = wall;
      context.fillRect(0, 0, width, height);
      const size = Math.min(width, height);
      const x = width / 2 + sway;
      context.fillStyle = `hsl(${(tone + 190) % 360} 32% 34%)`;
      context.beginPath();
      context.ellipse(x, height + size * 0.08, size * 0.42, size * 0.38, 0, 0, Math.PI * 2);
      context.fill();
      context.fillStyle = `hsl(${22 + (number % 4) * 4} ${48 - (number % 3) * 6}% ${74 - (number % 5) * 9}%)`;
      context.beginPath();
      context.ellipse(x, height * 0.52, size * 0.17, size * 0.22, 0, 0, Math.PI * 2);
      context.fill();
      context.fillStyle = `hsl(${20 + number * 9} 30% ${16 + (number % 4) * 8}%)`;
      context.beginPath();
      context.ellipse(x, height * 0.4, size * 0.18, size * 0.12, 0, Math.PI, Math.PI * 2);
      context.fill();
      if (snow) {
        const grains = new Uint32Array(snow.data.buffer);
        for (let at = 0; at < grains.length; at += 1) grains[at] = 0xff000000 | (0x010101 * Math.floor(96 + 64 * Math.random()));
        context.putImageData(snow, 0, height - snow.height);
      }
      const block = width / 16;
      const code = ((number & 0xf) << 12) | state.counter;
      for (let bit = 0; bit < 16; bit += 1) {
        const on = (code >> (15 - bit)) & 1;
        context.fillStyle = on ? '#fff' : '#000';
        context.fillRect(bit * block, 0, block + 1, block);
        context.fillStyle = on ? '#000' : '#fff';
        context.fillRect(bit * block, block, block + 1, block);
      }
    };
    draw();
    setInterval(draw, 1000 / fps);
    return canvas.captureStream(fps).getVideoTracks()[0];
  }

  function sound() {
    // Nobody listens to the context itself: without an output it costs a fraction.
    const context = new AudioContext({ latencyHint: 'playback', sinkId: { type: 'none' }, sampleRate: rate });
    const oscillator = context.createOscillator();
    oscillator.frequency.value = pitch;
    const gain = context.createGain();
    gain.gain.value = pips ? 0 : 0.2;
    const pip = () => {
      gain.gain.setValueAtTime(0.2, context.currentTime);
      gain.gain.setValueAtTime(0, context.currentTime + 0.2);
    };
    if (pips) setInterval(pip, 2_000);
    state.gain = gain.gain;
    const out = context.createMediaStreamDestination();
    oscillator.connect(gain).connect(out);
    oscillator.start();
    return out.stream.getAudioTracks()[0];
  }

  const fail = (name) => {
    if (name === 'never') return new Promise(() => {});
    throw new DOMException(name === 'Dismissed' ? 'Permission dismissed' : name, name === 'Dismissed' ? 'NotAllowedError' : name);
  };
  const real = navigator.mediaDevices;
  const media = {
    // A phone has none; where it is chosen, it is a real tab of this browser.
    ...(screen !== 'none' && {
      async getDisplayMedia(options) {
        if (screen !== 'works') return fail(screen);
        state.screen = await real.getDisplayMedia(options);
        return state.screen;
      },
    }),
    async getUserMedia({ audio, video }) {
      state.opened += 1;
      if (video && state.camera !== 'works') return fail(state.camera);
      if (audio && state.microphone !== 'works') return fail(state.microphone);
      state.tracks = { video: video ? picture() : null, audio: audio ? sound() : null };
      return new MediaStream([state.tracks.video, state.tracks.audio].filter(Boolean));
    },
    async enumerateDevices() {
      return [
        ...(state.camera === 'NotFoundError' ? [] : [
          { kind: 'videoinput', deviceId: 'camera-1', label: 'HD Webcam C270' },
          { kind: 'videoinput', deviceId: 'camera-2', label: 'Document camera' },
        ]),
        ...(state.microphone === 'NotFoundError' ? [] : [{ kind: 'audioinput', deviceId: 'microphone-1', label: 'Built-in microphone' }]),
        { kind: 'audiooutput', deviceId: 'default', label: 'Default' },
        { kind: 'audiooutput', deviceId: 'speaker-1', label: 'Built-in speaker' },
      ];
    },
    addEventListener() {},
  };
  if (camera === 'insecure') {
    Object.defineProperty(navigator, 'mediaDevices', { value: undefined });
    Object.defineProperty(window, 'isSecureContext', { value: false });
  } else {
    Object.defineProperty(navigator, 'mediaDevices', { value: media });
  }
  const known = (name) => (name === 'works' ? 'granted' : name === 'Dismissed' ? 'prompt' : 'denied');
  Object.defineProperty(navigator, 'permissions', {
    value: { query: async ({ name }) => ({ state: known(name === 'camera' ? state.camera : state.microphone) }) },
  });
}

/** Reads number and counter from a picture in the page; null where they do not agree with their inverse. */
export function readCode(video) {
  if (!video || !video.videoWidth) return null;
  const width = 320;
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = Math.round((width * video.videoHeight) / video.videoWidth);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const block = width / 16;
  const bright = (x, y) => {
    const { data } = context.getImageData(Math.round(x) - 2, Math.round(y) - 2, 5, 5);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
    return sum / (data.length / 4) / 3;
  };
  let code = 0;
  for (let bit = 0; bit < 16; bit += 1) {
    const plain = bright((bit + 0.5) * block, block * 0.5);
    const inverse = bright((bit + 0.5) * block, block * 1.5);
    if (Math.abs(plain - inverse) < 60) return null;
    code = (code << 1) | (plain > inverse ? 1 : 0);
  }
  return { number: code >> 12, counter: code & 0xfff };
}
