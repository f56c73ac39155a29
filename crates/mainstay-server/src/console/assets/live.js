// Keeps the marked part of a page as fresh as the server has it, while somebody looks at it. Without it, the page is loaded again.
(() => {
  const live = document.querySelector('[data-live]');
  if (!live) return;
  const QUICK = 1000, SLOW = 5000, UNATTENDED = 15 * 60 * 1000;
  const note = document.getElementById('live-note');
  let tag = null, touched = Date.now(), timer = 0, failures = 0;

  const isBusy = (part) => part.querySelector('details[open]') !== null
    || (part.contains(document.activeElement) && part.querySelector('form') !== null);

  // Exchanges the parts that differ, except forms that somebody fills in; wide pictures stay where they were scrolled to.
  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, 'text/html');
    for (const part of fresh.body.children) {
      const old = document.getElementById(part.id);
      if (!old || old.innerHTML === part.innerHTML || isBusy(old)) continue;
      const left = old.querySelector('.canvas')?.scrollLeft;
      old.replaceWith(document.importNode(part, true));
      const canvas = document.getElementById(part.id).querySelector('.canvas');
      if (canvas && left) canvas.scrollLeft = left;
    }
  };

  const again = (after) => { clearTimeout(timer); timer = setTimeout(look, after); };
  const stop = () => { note.hidden = false; };

  async function look() {
    if (document.hidden) return;
    if (Date.now() - touched > UNATTENDED) return stop();
    try {
      const answer = await fetch(live.dataset.live, { headers: tag ? { 'If-None-Match': tag } : {}, cache: 'no-store' });
      if ([401, 403, 404].includes(answer.status)) return stop();
      if (answer.status === 200) {
        tag = answer.headers.get('etag');
        show(await answer.text());
      } else if (answer.status !== 304) throw new Error('status ' + answer.status);
      failures = 0;
    } catch {
      failures += 1;
    }
    if (document.getElementById('facts')?.dataset.ended === 'true') return;
    again(failures ? SLOW : QUICK);
  }

  const attended = () => {
    const slept = Date.now() - touched > UNATTENDED;
    touched = Date.now();
    if (slept) { note.hidden = true; again(0); }
  };
  for (const kind of ['pointermove', 'keydown', 'scroll']) addEventListener(kind, attended, { passive: true });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) again(0); });
  again(QUICK);
})();
