// Tells when there is something new: by the server's events while they come, by the
// clock otherwise. What is new is never in the event: the page asks for it, so that
// a lost event loses nothing.

const POLL = 2000, POLL_BESIDE = 30000, PAUSE = 250; // milliseconds
const RETRY = [1000, 2000, 5000, 10000, 30000];

export class Live {
  // refresh is called again and again, never twice at once, with what changed: a
  // set of words, or null for everything. onState hears "live" or "polling".
  constructor(refresh, onState) {
    this.refresh = refresh;
    this.onState = onState;
    this.pending = undefined;
    this.running = false;
    this.attempts = 0;
    // A page that nobody sees holds no stream: a browser opens only six connections to
    // a host, for all its tabs.
    this.seen = () => { this.attempts = 0; this.connect(); if (!document.hidden) this.wake(); };
    document.addEventListener("visibilitychange", this.seen);
    addEventListener("online", this.seen);
  }

  start() {
    this.connect();
    this.wake();
  }

  stop() {
    this.stopped = true;
    document.removeEventListener("visibilitychange", this.seen);
    removeEventListener("online", this.seen);
    clearTimeout(this.timer);
    clearTimeout(this.retry);
    this.source?.close();
  }

  connect() {
    clearTimeout(this.retry);
    this.source?.close();
    this.streaming = false;
    if (this.stopped || document.hidden) return;
    const source = this.source = new EventSource("/api/v1/stream");
    source.onopen = () => { this.attempts = 0; this.streaming = true; this.onState("live"); this.wake(); }; // what was missed meanwhile
    source.onerror = () => {
      this.streaming = false;
      this.onState("polling");
      this.schedule();
      // The browser tries again by itself, unless the server has answered with an error.
      if (source.readyState !== EventSource.CLOSED) return;
      const wait = RETRY[Math.min(this.attempts++, RETRY.length - 1)];
      this.retry = setTimeout(() => this.connect(), wait * (0.5 + Math.random()));
    };
    source.addEventListener("changed", (event) => {
      try {
        const told = JSON.parse(event.data);
        this.wake(told);
      } catch { this.wake(); }
    });
  }

  // wake asks for a refresh soon. An event says what has changed; nothing: everything may have.
  wake(told) {
    if (told?.what && this.pending !== null) {
      this.pending ??= { what: new Set(), groups: new Set() };
      told.what.forEach((w) => this.pending.what.add(w));
      (told.groups?.length ? told.groups : ["*"]).forEach((g) => this.pending.groups.add(g));
    } else this.pending = null;
    if (!this.running) this.run();
  }

  async run() {
    clearTimeout(this.timer);
    if (this.running || this.stopped || document.hidden) return;
    this.running = true;
    while (this.pending !== undefined && !document.hidden && !this.stopped) {
      const told = this.pending;
      this.pending = undefined;
      await this.refresh(told);
      await new Promise((done) => setTimeout(done, PAUSE)); // a burst of events is one refresh
    }
    this.running = false;
    this.schedule();
  }

  schedule() {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.wake(), this.streaming ? POLL_BESIDE : POLL);
  }
}
