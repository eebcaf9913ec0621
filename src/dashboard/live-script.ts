/** The part of the page's script that follows changes by `GET /v1/watch` and has what is shown read anew. */
export const liveScript = String.raw`
/* ---- following what is shown ---- */

/* However much changes: a change only says that what is shown is not so any more, and it is read anew no more often than this. */
const redrawsPerSecondMax = 2;
/* A bookmark comes at least every five seconds: three that are missing mean that nobody is there any more. */
const silentMsMax = 15000;
/* A browser opens six connections to a node and no more, for all its tabs together: one that nobody looks at gives its own back. */
const hiddenMsMax = 10000;
const comeBackMs = 500;
const comeBackMsMax = 10000;

const followers = new Set();

/*
 * Follows the keys that 'query' names. 'read' reads and draws them anew: each time the stream opens, so that nothing is missed
 * whatever happened before, and after changes that concern what is shown. How it stands is told in 'line'.
 */
class Follower {
  #url; #line; #read; #concerns;
  #source; #silence; #hiding; #return;
  #comeBackMs = comeBackMs;
  #busy = false; #dirty = false;
  #seen = 0; #news = '';
  lastType;

  constructor({ query, line, read, concerns }) {
    this.#url = '/v1/watch?' + query;
    this.#line = line;
    this.#read = read;
    this.#concerns = concerns;
    followers.add(this);
    this.#say('warn', 'connecting…');
    this.#open();
  }

  get stopped() {
    return !followers.has(this);
  }

  stop() {
    followers.delete(this);
    this.#close();
    clearTimeout(this.#hiding);
    this.#line.hidden = true;
  }

  /* Whoever comes back soon finds it as it was; later, it begins anew. */
  seen(hidden) {
    clearTimeout(this.#hiding);
    if (hidden) this.#hiding = setTimeout(() => this.#rest(), hiddenMsMax);
    else if (this.#source === undefined && this.#return === undefined) this.#open();
  }

  #rest() {
    this.#close();
    this.#say('warn', 'resting while nobody looks');
  }

  #close() {
    this.#source?.close();
    this.#source = undefined;
    clearTimeout(this.#silence);
    clearTimeout(this.#return);
    this.#return = undefined;
  }

  #open() {
    this.#close();
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener('open', () => this.#opened());
    for (const type of ['put', 'delete', 'expire']) source.addEventListener(type, (event) => this.#changed(type, event.data));
    source.addEventListener('bookmark', () => this.#heard());
    source.addEventListener('end', (event) => this.#ended(JSON.parse(event.data)));
    source.addEventListener('error', () => this.#broken(source));
  }

  #opened() {
    this.#comeBackMs = comeBackMs;
    this.#heard();
    this.#say('good', 'live');
    this.#mark();
  }

  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#comeBack('Nothing was heard for ' + silentMsMax / 1000 + ' s.'), silentMsMax);
  }

  #changed(type, data) {
    this.#heard();
    this.#seen += 1;
    this.lastType = type;
    /* It will be read anyway: the change is not even looked into. */
    if (this.#dirty) return;
    const change = JSON.parse(data);
    if (!this.#concerns(type, change)) return;
    this.#news = type + ' ' + shortened(change.key ?? 'base64 ' + change.keyBase64) + ' at ' + new Date().toLocaleTimeString();
    this.#mark();
  }

  /* The browser comes back by itself, with the last cursor. Not behind a cursor that is too old, and not where it makes no sense. */
  #ended(problem) {
    if (problem.code === 'cursor_expired') return this.#comeBack('Too much happened meanwhile: it is read anew.');
    if (!problem.retryable) return this.#giveUp(problem.detail);
    this.#say('warn', 'coming back… ' + problem.detail);
  }

  /* After a broken connection the browser tries again by itself; after an answer that is no stream it does not, and does not say why. */
  #broken(source) {
    clearTimeout(this.#silence);
    if (source.readyState === EventSource.CLOSED) return void this.#askWhy(source);
    if (!this.#line.textContent.startsWith('coming back')) this.#say('warn', 'coming back… The connection broke.');
  }

  async #askWhy(source) {
    const asking = new AbortController();
    const timeout = setTimeout(() => asking.abort(), timeoutMs);
    let problem;
    try {
      const answer = await fetch(this.#url, { cache: 'no-store', headers: { Accept: 'text/event-stream' }, signal: asking.signal });
      if (!answer.ok) problem = await answer.json();
    } catch {
      /* Nobody can say. */
    }
    clearTimeout(timeout);
    asking.abort();
    if (source !== this.#source) return;
    if (problem !== undefined && !problem.retryable) return this.#giveUp(problem.detail);
    this.#comeBack(problem?.detail ?? '');
  }

  /* From now on, and without a cursor: what is shown is read anew as soon as the stream is there. */
  #comeBack(why) {
    this.#close();
    this.#say('warn', 'coming back… ' + why);
    this.#return = setTimeout(() => this.#open(), this.#comeBackMs);
    this.#comeBackMs = Math.min(2 * this.#comeBackMs, comeBackMsMax);
  }

  #giveUp(why) {
    this.#close();
    followers.delete(this);
    this.#say('bad', 'not live: ' + why);
  }

  #mark() {
    this.#dirty = true;
    if (!this.#busy) void this.#redraw();
  }

  async #redraw() {
    this.#busy = true;
    this.#dirty = false;
    const started = performance.now();
    let pauseMs = 1000 / redrawsPerSecondMax;
    try {
      await this.#read(this);
      this.#tellNews(this.#seen === 0 ? '' : this.#seen.toLocaleString('en') + (this.#seen === 1 ? ' change' : ' changes') + (this.#news && ', last ' + this.#news));
      /* What takes long is asked for less often. */
      pauseMs = Math.max(pauseMs, performance.now() - started);
    } catch (error) {
      this.#dirty = true;
      pauseMs = refreshMs;
      this.#tellNews('It could not be read anew. ' + clearWords(error));
    }
    setTimeout(() => {
      this.#busy = false;
      if (this.#dirty && !this.stopped) void this.#redraw();
    }, pauseMs);
  }

  #say(state, words) {
    const [told] = this.#line.children;
    this.#line.hidden = false;
    told.className = 'state ' + state;
    told.textContent = words;
  }

  /* Beside how it stands: that is read out to whoever does not see, and this is too much for it. */
  #tellNews(words) {
    if (!this.stopped) this.#line.children[1].textContent = words;
  }
}

document.addEventListener('visibilitychange', () => {
  for (const follower of followers) follower.seen(document.hidden);
});
`;
