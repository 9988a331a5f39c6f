/** What is to be decided, what was, and how fast. */

import * as api from "../api.js";

// Ask for more below LOW; the server hands out at most 50, what one holds already among them.
const PAGE = 20;
const LOW = 14;
const MOST = 50;
// When the last asking brought nothing new, the next key press does not ask again before this.
const QUIET_MS = 3000;
// Speed is told over this window, without pauses longer than PAUSE_MS (a telephone call is no slow decision).
const WINDOW_MS = 10 * 60_000;
const PAUSE_MS = 60_000;
// Steps that survive a reload, about 2 kB each of a quota of 5 MB. Within one visit undo has no limit.
const KEPT = 300;
const KEEP_MS = 400;

/** The reviewer's queue. Events: "change", "failed" {error}. */
export class Queue extends EventTarget {
  constructor() {
    super();
    this.filter = {};
    this.items = [];
    this.done = [];
    this.times = [];
    this.lacking = new Set();
    this.log = null;
    this.waiting = null;
    this.loading = null;
    this.loaded = false;
    this.epoch = 0;
    this.quietUntil = 0;
    this.isTaken = () => false;
    this.unsent = () => 0;
  }

  get current() { return this.items[0] ?? null; }

  /** Remembers what was decided through a reload: undo goes on where it was. `name` is the person. */
  remember(name) {
    this.log = `yunxun.done.${name}`;
    addEventListener("pagehide", () => this.keepNow());
    try {
      this.done = JSON.parse(sessionStorage.getItem(this.log)) ?? [];
    } catch {
      this.done = [];
    }
  }

  /** Writes the steps down a little later: never between a key and the next image. */
  keep() {
    if (!this.log) return;
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.keepNow(), KEEP_MS);
  }

  keepNow() {
    try {
      sessionStorage.setItem(this.log, JSON.stringify(this.done.slice(-KEPT)));
    } catch {
      sessionStorage.removeItem(this.log);
    }
  }

  /** Starts anew with another filter ({family, patrol_id}). */
  async restart(filter) {
    this.filter = filter;
    this.items = [];
    this.loaded = false;
    this.loading = null;
    this.epoch += 1;
    this.changed();
    await this.more();
  }

  /** Gets more when few are left, without those that `isTaken(id)` says are decided here already. */
  async more() {
    const quiet = this.items.length && Date.now() < this.quietUntil;
    if (this.loading || quiet || (this.loaded && this.items.length >= LOW)) return;
    const epoch = this.epoch;
    const { family, patrol_id } = this.filter;
    const limit = Math.min(this.items.length + PAGE, MOST);
    this.loading = api.lease({ limit, family: family || undefined, patrol_id: patrol_id || undefined });
    try {
      const answer = await this.loading;
      if (epoch === this.epoch) this.take(answer);
    } catch (error) {
      if (epoch === this.epoch) this.dispatchEvent(new CustomEvent("failed", { detail: { error } }));
    } finally {
      if (epoch === this.epoch) this.loading = null;
    }
  }

  take(answer) {
    this.loaded = true;
    this.waiting = answer.waiting ?? null;
    if (this.waiting !== null) this.waiting = Math.max(this.waiting - this.unsent(), 0);
    const here = new Set(this.items.map((item) => item.id));
    const fresh = answer.items.filter((item) => !here.has(item.id) && !this.isTaken(item.id));
    this.items.push(...fresh);
    this.quietUntil = fresh.length ? 0 : Date.now() + QUIET_MS;
    this.changed();
  }

  /** Moves past the present one. */
  decide(verdict, entryKey) {
    const candidate = this.items.shift();
    this.done.push({ candidate, verdict, entryKey, at: Date.now() });
    this.times.push(Date.now());
    if (this.waiting) this.waiting -= 1;
    this.changed();
    this.more();
    return candidate;
  }

  /** Puts the present one at the end; it comes again before the queue counts as empty. */
  skip() {
    if (this.items.length < 2) return false;
    this.items.push(this.items.shift());
    this.changed();
    return true;
  }

  /** Takes back the last decision: its candidate is the present one again. */
  undo() {
    const last = this.done.pop();
    if (!last) return null;
    this.times.pop();
    this.comeBack(last.candidate);
    return last;
  }

  /** Forgets a step that the server refused: there is nothing to undo. */
  forgetStep(entryKey) {
    this.done = this.done.filter((step) => step.entryKey !== entryKey);
    this.changed();
  }

  /** Puts a candidate first (undone, or refused by the server). */
  comeBack(candidate) {
    this.items = [candidate, ...this.items.filter((item) => item.id !== candidate.id)];
    if (this.waiting !== null) this.waiting += 1;
    this.changed();
  }

  /** Forgets one that somebody else decided. */
  remove(id) {
    this.items = this.items.filter((item) => item.id !== id);
    this.changed();
  }

  /** Replaces what is known of a candidate, wherever it stands. */
  refresh(candidate) {
    this.items = this.items.map((item) => (item.id === candidate.id ? { ...item, ...candidate } : item));
    for (const step of this.done) if (step.candidate.id === candidate.id) step.candidate = { ...step.candidate, ...candidate };
  }

  /** {perHour, medianS} of the last ten minutes' work, or nulls at the beginning. */
  pace(now = Date.now()) {
    const recent = this.times.filter((time) => now - time < WINDOW_MS);
    const gaps = recent.slice(1).map((time, i) => time - recent[i]).filter((gap) => gap < PAUSE_MS);
    if (gaps.length < 3) return { perHour: null, medianS: null };
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const sorted = [...gaps].sort((a, b) => a - b);
    return { perHour: Math.round(3_600_000 / mean), medianS: sorted[sorted.length >> 1] / 1000 };
  }

  changed() {
    this.keep();
    this.dispatchEvent(new Event("change"));
  }
}
