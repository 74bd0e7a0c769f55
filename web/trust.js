// Fills in what the room says of itself, and opens the steps for the visitor's own system.

/** @param {string} id */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Which of the steps are for this browser. Only a guess: all the others are there too. */
function system() {
  const agent = navigator.userAgent;
  // An iPad says that it is a Mac, but no Mac has a touch screen.
  const touches = navigator.maxTouchPoints > 1;
  if (/iPhone|iPad/.test(agent) || (/Macintosh/.test(agent) && touches)) return 'ios';
  if (/Android/.test(agent)) return 'android';
  if (/Firefox/.test(agent)) return 'firefox';
  if (/Windows/.test(agent)) return 'windows';
  if (/Macintosh/.test(agent)) return 'mac';
  return 'linux';
}

async function ask() {
  const answer = await fetch('/about', { cache: 'no-store' });
  if (!answer.ok) throw new Error(String(answer.status));
  const about = await answer.json();
  if (about.name) {
    at('name').textContent = about.name;
    document.title = `Trust ${about.name}`;
  }
  at('nothing').hidden = Boolean(about.authority);
  at('why').hidden = at('steps').hidden = !about.authority;
  if (about.authority) {
    // Lines break between groups of four, so that two people can read it to each other.
    const groups = about.authority.sha256.match(/(?:[^:]+:?){1,4}/g) ?? [];
    at('fingerprint').replaceChildren(...groups.map((/** @type {string} */ group) => {
      const part = document.createElement('span');
      part.textContent = group;
      return part;
    }));
    at('authority').textContent = about.authority.name;
  }
}

/** @type {HTMLDetailsElement} */ (at(system())).open = true;
ask().catch(() => {
  at('fingerprint').textContent = 'The room does not answer. Load this page again.';
});
