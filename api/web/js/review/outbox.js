/**
 * Decisions on their way to the server. None is lost: each is written to localStorage before the screen moves on,
 * sent in order, tried again while the network or the server is down, and taken up again after a reload or by
 * another tab. The idempotency key makes a second sending harmless.
 */

import * as api from "../api.js";
import { newKey, Problem } from "../http.js";
import * as session from "../session.js";

const PREFIX = "yunxun.outbox.";
// A tab that has not touched its entries for this long is closed: another takes them over.
const ORPHAN_MS = 15_000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000];

/** Sends decisions in the background. Events: "change", "sent" {entry, answer}, "refused" {entry, problem}. */
export class Outbox extends EventTarget {
  constructor(personName) {
    super();
    this.person = personName;
    this.prefix = `${PREFIX}${personName}.`;
    this.tab = newKey();
    this.entries = [];
    this.failures = 0;
    this.sending = null;
    this.waking = null;
    this.adopt();
    this.timer = setInterval(() => { this.touch(); this.adopt(); }, 5000);
    addEventListener("online", () => this.kick());
    // A page that goes away says so: the next one need not wait to take over.
    addEventListener("pagehide", () => { for (const entry of this.entries) this.store({ ...entry, seen: 0, tab: "" }); });
    addEventListener("beforeunload", (event) => { if (this.entries.length) event.preventDefault(); });
  }

  /** Stops; what is unsent stays on disk for whoever logs in next as this person. */
  close() {
    clearInterval(this.timer);
    clearTimeout(this.waking);
    this.closed = true;
  }

  /** Notes a decision (or its undoing) and begins to send. */
  add(kind, candidate, body = {}) {
    const entry = { key: newKey(), kind, id: candidate.id, version: candidate.version, body, at: Date.now(), tab: this.tab, seen: Date.now() };
    this.store(entry);
    this.entries.push(entry);
    this.changed();
    this.kick();
    return entry;
  }

  /** Takes back an entry that has not begun to be sent. Returns whether that was in time. */
  cancel(key) {
    const entry = this.entries.find((one) => one.key === key);
    if (!entry || entry === this.sending) return false;
    this.drop(entry);
    return true;
  }

  /** Whether a decision on this candidate is still on its way. */
  holds(id) {
    return this.entries.some((entry) => entry.id === id);
  }

  get size() { return this.entries.length; }

  /** Whether the last attempt failed and the next one waits. */
  get stuck() { return this.failures > 0; }

  /** Sends now, if nothing is being sent. */
  kick() {
    clearTimeout(this.waking);
    this.waking = null;
    if (!this.closed && !this.sending && this.entries.length) this.pump();
  }

  async pump() {
    while (this.entries.length && !this.waking && !this.closed) {
      // Nobody's decision goes out under another's name: it waits until its own author is logged in.
      if (session.person()?.name !== this.person) {
        this.later();
        break;
      }
      const entry = this.entries[0];
      this.sending = entry;
      try {
        const answer = await this.send(entry);
        this.failures = 0;
        this.settled(entry, "sent", { entry, answer });
      } catch (error) {
        if (!(error instanceof Problem) || error.passing || error.status === 401) this.later();
        else this.settled(entry, "refused", { entry, problem: error });
      } finally {
        this.sending = null;
      }
      this.changed();
    }
  }

  async send(entry) {
    if (entry.kind === "undo") return api.undoDecision(entry.id, entry.key);
    return api.decide(entry.id, entry.body, entry.key, entry.version);
  }

  settled(entry, name, detail) {
    this.failures = 0;
    this.drop(entry);
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  later() {
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.waking = setTimeout(() => this.kick(), wait);
  }

  /** A later step on the same candidate must carry the version that this answer gave. */
  rebase(id, version) {
    for (const entry of this.entries) {
      if (entry.id !== id || entry === this.sending) continue;
      entry.version = version;
      this.store(entry);
    }
  }

  store(entry) { localStorage.setItem(this.prefix + entry.key, JSON.stringify(entry)); }

  drop(entry) {
    localStorage.removeItem(this.prefix + entry.key);
    this.entries = this.entries.filter((one) => one !== entry);
    this.changed();
  }

  touch() {
    for (const entry of this.entries) this.store({ ...entry, seen: Date.now() });
  }

  /** Takes over what a closed tab, or this one before a reload, left unsent. */
  adopt() {
    const found = [];
    for (let i = 0; i < localStorage.length; i += 1) {
      const name = localStorage.key(i);
      if (name.startsWith(this.prefix)) found.push(name);
    }
    const fresh = found.map((name) => this.adoptOne(name)).filter(Boolean).sort((a, b) => a.at - b.at);
    if (!fresh.length) return;
    this.entries = [...fresh, ...this.entries];
    this.changed();
    this.kick();
  }

  adoptOne(name) {
    let entry = null;
    try {
      entry = JSON.parse(localStorage.getItem(name));
    } catch {
      localStorage.removeItem(name);
    }
    if (!entry || entry.tab === this.tab || Date.now() - (entry.seen ?? 0) < ORPHAN_MS) return null;
    entry.tab = this.tab;
    entry.seen = Date.now();
    this.store(entry);
    return entry;
  }

  changed() { this.dispatchEvent(new Event("change")); }
}
