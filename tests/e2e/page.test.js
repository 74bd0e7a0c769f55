// The page in real browsers, through a real server: who joins sees, hears, is seen and is heard.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, test } from 'node:test';

import { chromium, fill, firefox, Member, serve, tabTo, until } from './support.js';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** How long a server may be away in the slow test, which is left out where it would only cost time. */
const LONG_MS = Number(process.env.E2E_AWAY_MS ?? 0);

/** How long a server expects somebody back (`hub::Settings::grace`), and time to notice it. */
const GONE_MS = 40_000;

let server;
let browser;
let pin;
let members = [];

before(async () => {
  server = await serve();
  pin = await server.pin();
  browser = await chromium();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

afterEach(async () => {
  const errors = members.flatMap(({ name, errors: found }) => found.map((error) => `${name}: ${error}`));
  await Promise.all(members.map((member) => member.close().catch(() => {})));
  members = [];
  // A page that is closed may take its farewell with it. It is expected back then, and would be a
  // second member of its name in the next test.
  await until('everybody is gone', async () => (await server.status()).server.members === 0, { within: GONE_MS, every: 20 });
  // A refused connection while the server is away is written to the console by the browser itself.
  const ours = errors.filter((error) => !/WebSocket connection to|ERR_CONNECTION|can’t establish a connection|net::ERR/.test(error));
  assert.deepEqual(ours, []);
});

async function open(name, { at = '', in: where = browser, ...options } = {}) {
  const member = await Member.open(where, server.url + server.at + at, { name, number: members.length + 1, ...options });
  members.push(member);
  return member;
}

/** Somebody who is in the room. */
async function joined(name, options = {}) {
  const member = await open(name, { at: `#pin=${pin}`, ...options });
  await member.join();
  await member.inside();
  return member;
}

function tileOf(member, name) {
  return member.page.evaluate((wanted) => {
    const tile = [...document.querySelectorAll('.tile')].find((other) => other.querySelector('.name').textContent === wanted);
    return tile && {
      seen: tile.classList.contains('seen'),
      lost: tile.classList.contains('lost'),
      muted: !tile.querySelector('.mark.mic').hidden,
      cameraOff: !tile.querySelector('.mark.cam').hidden,
      label: tile.querySelector('.enlarge').getAttribute('aria-label'),
    };
  }, name);
}

async function nothingSerious(member, where) {
  await member.page.evaluate(AXE);
  const { violations } = await member.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(serious.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
}

describe('two pages', () => {
  test('see and hear each other, and nobody else', async () => {
    const ada = await joined('Ada');
    const bob = await joined('Bob');
    await Promise.all([ada.sees(bob), bob.sees(ada)]);
    await Promise.all([ada.listens(bob), bob.listens(ada)]);
  });

  test('a camera that is off and a microphone that is muted are told, and come back', async () => {
    const ada = await joined('Ada');
    const bob = await joined('Bob');
    await ada.sees(bob);
    await bob.page.click('#cam');
    await bob.page.click('#mic');
    await until('Ada is told', async () => {
      const tile = await tileOf(ada, 'Bob');
      return tile.muted && tile.cameraOff && !tile.seen && /Bob, muted, camera off/.test(tile.label);
    });
    await until('Ada hears nothing', async () => (await ada.hears('Bob')) === 0);
    const before = await ada.person('Bob');
    await bob.page.click('#cam');
    await bob.page.click('#mic');
    await ada.sees(bob);
    await ada.listens(bob);
    const { link } = await ada.person('Bob');
    assert.deepEqual([link.id, link.generation], [before.link.id, before.link.generation], 'no link was rebuilt for it');
  });

  test('a tab that is hidden is sent no picture, hears on, and sees again at once', async () => {
    const ada = await joined('Ada');
    const bob = await joined('Bob');
    await Promise.all([ada.sees(bob), bob.sees(ada)]);
    const turn = (state) => ada.page.evaluate((now) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => now });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
    const before = await ada.person('Bob');
    await turn('hidden');
    await until('Bob is told', async () => (await bob.person('Ada')).link.shown === 0);
    const frames = async () => (await ada.person('Bob')).link.stats.frames;
    await until('no frame comes any more', async () => {
      const had = await frames();
      const since = Date.now();
      await until('two looks are over', () => Date.now() - since > 2_500, { within: 5_000 });
      return (await frames()) === had;
    }, { within: 20_000 });
    await ada.listens(bob);
    await bob.sees(ada);
    await turn('visible');
    const shown = Date.now();
    await ada.sees(bob, { within: 5_000 });
    assert.ok(Date.now() - shown < 5_000);
    const { link } = await ada.person('Bob');
    assert.deepEqual([link.id, link.generation, link.state], [before.link.id, before.link.generation, 'live']);
    // Larger on her screen, he is asked for more.
    const asked = (await bob.person('Ada')).link.shown;
    await ada.page.evaluate(() => document.querySelector('.tile:not(.self) .enlarge').click());
    await until('Bob is asked for a larger picture', async () => (await bob.person('Ada')).link.shown > asked);
  });

  test('one who leaves is gone at once, and can come back', async () => {
    const ada = await joined('Ada');
    const bob = await joined('Bob');
    await ada.sees(bob);
    await bob.page.click('#leave');
    await until('Bob is gone', async () => (await ada.person('Bob')) === null, { within: 3_000 });
    assert.match(await bob.page.$eval('#door-words', (words) => words.innerText), /You left the room/);
    await bob.page.click('#join');
    await bob.inside();
    await ada.sees(bob);
  });

  test('one without camera and microphone watches and listens', async () => {
    const ada = await joined('Ada');
    const bob = await joined('Bob', { devices: { camera: 'NotFoundError', microphone: 'NotFoundError' } });
    await bob.sees(ada);
    await bob.listens(ada);
    const tile = await until('Ada has a tile for Bob', () => tileOf(ada, 'Bob'));
    assert.deepEqual([tile.muted, tile.cameraOff, tile.lost], [true, true, false]);
    // Plugged in during the call, the camera is seen.
    await bob.page.evaluate(() => (window.fakeDevices.camera = 'works'));
    await bob.page.click('#cam');
    await ada.sees(bob);
  });

  test('Firefox and Chromium', async () => {
    // A name of its own: a closed Firefox says no goodbye, and its member stays for a while.
    const other = await firefox();
    try {
      const ada = await joined('Ada');
      const fritz = await joined('Fritz', { in: other });
      await Promise.all([ada.sees(fritz, { within: 40_000 }), fritz.sees(ada, { within: 40_000 })]);
      await Promise.all([ada.listens(fritz), fritz.listens(ada)]);
      await fritz.close();
      members.splice(members.indexOf(fritz), 1);
    } finally {
      await other.close();
    }
  });

  test('the browser’s own devices, through the real getUserMedia', async () => {
    const own = await chromium({ args: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] });
    try {
      const ada = await joined('Ada', { in: own, real: true });
      await joined('Bob', { in: own, real: true });
      await until('Ada sees Bob', async () => (await tileOf(ada, 'Bob')).seen);
      await until('frames go on', async () => (await ada.person('Bob')).link.stats?.frames > 20);
      await until('the beep is heard', async () => (await ada.hears('Bob')) > 0);
      await Promise.all(members.splice(0).map((member) => member.close()));
    } finally {
      await own.close();
    }
  });
});

describe('the door', () => {
  test('a wrong PIN is said so, and the right one opens', async () => {
    const ada = await open('Ada');
    await ada.join({ pin: pin === '000000' ? '111111' : '000000' });
    await until('the page says so', () => ada.page.$eval('#door-words', (words) => /not the room’s PIN/.test(words.innerText)));
    assert.equal(await ada.page.evaluate(() => document.activeElement.id), 'pin');
    await fill(ada.page, '#pin', `${pin.slice(0, 3)} ${pin.slice(3)}`);
    await ada.page.keyboard.press('Enter');
    await ada.inside();
  });

  test('a PIN in the link opens by itself, and does not stay in the address', async () => {
    const ada = await open('Ada', { at: `#pin=${pin}` });
    assert.equal(new URL(ada.page.url()).hash, '');
    assert.equal(await ada.page.evaluate(() => location.href.includes('#')), false);
    assert.equal(await ada.page.$eval('#pin-field', (field) => field.hidden), true);
    await ada.join();
    await ada.inside();
    // The tab remembers it, so that a reload does not ask again.
    await ada.page.reload();
    await ada.join();
    await ada.inside();
  });

  test('a second window of the same tab replaces the first, and says so', async () => {
    const ada = await joined('Ada');
    const node = await ada.page.evaluate(() => sessionStorage.getItem('roomd.node'));
    const twin = await open('Ada', { at: `#pin=${pin}` });
    await twin.page.evaluate((id) => sessionStorage.setItem('roomd.node', id), node);
    await twin.page.reload();
    await twin.page.evaluate((known) => sessionStorage.setItem('roomd.pin', known), pin);
    await twin.page.reload();
    await twin.join();
    await twin.inside();
    await until('the first says so', () => ada.page.evaluate(() => /in another window/.test(document.body.innerText)));
  });
});

describe('a server that is killed', () => {
  for (const away of [0, ...(LONG_MS > 0 ? [LONG_MS] : [])]) {
    test(`and is back after ${away} ms interrupts no picture and rebuilds no link`, { timeout: 180_000 + away }, async () => {
      const ada = await joined('Ada');
      const bob = await joined('Bob');
      await Promise.all([ada.sees(bob), bob.sees(ada)]);
      const link = async (member, name) => {
        const { id, generation } = (await member.person(name)).link;
        return `${id}/${generation}`;
      };
      const links = [await link(ada, 'Bob'), await link(bob, 'Ada')];
      await Promise.all([ada.watchFrames(), bob.watchFrames()]);
      await server.kill();
      await until('both have noticed', async () => (await ada.room()).state === 'reconnecting' && (await bob.room()).state === 'reconnecting');
      if (away > 0) await new Promise((resolve) => setTimeout(resolve, away));
      await server.run();
      await Promise.all([ada.inside(), bob.inside()]);
      await until('both links are adopted', async () => {
        const both = [await ada.person('Bob'), await bob.person('Ada')];
        return both.every((person) => person?.link && person.link.kept === false && person.link.state === 'live');
      }, { within: 30_000 });
      assert.match(await ada.page.evaluate(() => document.querySelector('#live').innerText), /You’re back/);
      // Longer than the longest adoption, so that what nobody adopted would have been closed.
      const adopted = Date.now();
      await until('frames go on afterwards', async () => Date.now() - adopted > 8_000, { within: 10_000, every: 500 });
      await Promise.all([ada.sees(bob), bob.sees(ada), ada.listens(bob), bob.listens(ada)]);
      assert.deepEqual([await link(ada, 'Bob'), await link(bob, 'Ada')], links);
      for (const [member, name] of [[ada, 'Bob'], [bob, 'Ada']]) {
        const seen = (await member.framesSeen())[name];
        assert.ok(seen.longest < 5_000, `${member.name} saw no new frame of ${name} for ${Math.round(seen.longest)} ms`);
        assert.equal(seen.links.size, 1);
      }
      assert.equal((await ada.room()).people.length, 1, 'nobody is there twice');
    });
  }
});

describe('everybody', () => {
  test('joins, mutes and leaves by keyboard alone', async () => {
    const ada = await open('Ada', { at: `#pin=${pin}` });
    const { page } = ada;
    await page.waitForSelector('#join:not(:disabled)');
    await tabTo(page, '#name');
    await page.keyboard.type('Ada');
    await tabTo(page, '#join');
    await page.keyboard.press('Enter');
    await ada.inside();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'mic', 'focus is on the controls');
    const muted = () => page.evaluate(() => !window.roomd.room.self.media.audio);
    await page.keyboard.press('Enter');
    await until('Ada is muted by the button', muted);
    await page.keyboard.press('m');
    await until('and not by the key any more', async () => !(await muted()));
    await page.keyboard.press('m');
    await until('Ada is muted by the key', muted);
    await tabTo(page, '.enlarge');
    await page.keyboard.down('Space');
    // Space on a button is the button's own; from anywhere else it lets one talk.
    await page.keyboard.up('Space');
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.down('Space');
    await until('Ada talks while the space bar is held', async () => !(await muted()));
    await page.keyboard.up('Space');
    await until('and is muted again', muted);
    await page.keyboard.press('?');
    await page.waitForSelector('#help-dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#help-dialog:not([open])');
    await tabTo(page, '#leave');
    await page.keyboard.press('Enter');
    await until('the door is back', () => page.evaluate(() => document.body.dataset.at === 'door'));
    assert.equal(await page.evaluate(() => document.activeElement.id), 'join');
  });

  test('hears what others see', async () => {
    const ada = await joined('Ada');
    const bob = await joined('Bob');
    const live = () => ada.page.$eval('#live', (region) => region.textContent);
    await until('Bob’s coming is told', async () => /Bob joined\./.test(await live()));
    await bob.page.click('#mic');
    await until('Bob’s muting is told', async () => /Bob is muted\./.test(await live()));
    await bob.page.click('#leave');
    await until('Bob’s going is told', async () => /Bob left\./.test(await live()));
  });

  test('keeps focus when tiles move', async () => {
    const ada = await joined('Ada');
    await joined('Bob');
    await until('Bob has a tile', () => tileOf(ada, 'Bob'));
    await ada.page.evaluate(() => document.querySelector('.tile:not(.self) .enlarge').focus());
    const focused = () => ada.page.evaluate(() => document.activeElement.closest('.tile')?.querySelector('.name').textContent);
    const carol = await joined('Carol');
    await until('Carol has a tile', () => tileOf(ada, 'Carol'));
    assert.equal(await focused(), 'Bob');
    await carol.page.click('#leave');
    await until('Carol is gone', async () => !(await tileOf(ada, 'Carol')));
    assert.equal(await focused(), 'Bob');
    await ada.page.keyboard.press('Enter');
    assert.equal(await ada.page.evaluate(() => document.activeElement.getAttribute('aria-pressed')), 'true');
  });

  test('finds nothing in the way: axe, at the door and in the room', async () => {
    const ada = await open('Ada');
    await ada.page.waitForSelector('#pin-field:not([hidden])');
    await nothingSerious(ada, 'door');
    await ada.join({ pin: pin === '000000' ? '111111' : '000000' });
    await until('the PIN is refused', () => ada.page.$eval('#door-words', (words) => !words.hidden && /PIN/.test(words.innerText)));
    await nothingSerious(ada, 'wrong PIN');
    await fill(ada.page, '#pin', pin);
    await ada.page.keyboard.press('Enter');
    await ada.inside();
    await nothingSerious(ada, 'alone');
    const bob = await joined('Bob');
    await ada.sees(bob);
    await bob.page.click('#mic');
    await nothingSerious(ada, 'room');
    for (const dialog of ['people', 'devices', 'help']) {
      await ada.page.click(`#${dialog}`);
      await ada.page.waitForSelector(`#${dialog}-dialog[open]`);
      await nothingSerious(ada, dialog);
      await ada.page.keyboard.press('Escape');
    }
    await ada.page.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
    await nothingSerious(ada, 'room on a phone');
  });
});
