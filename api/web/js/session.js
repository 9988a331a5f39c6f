/** Who is logged in. Tokens live in localStorage (remembered) or sessionStorage (this window only). */

const KEY = "yunxun.session";
const bus = new EventTarget();
let session = read();

function read() {
  for (const store of [localStorage, sessionStorage]) {
    try {
      const value = JSON.parse(store.getItem(KEY));
      if (value?.access_token) return value;
    } catch {
      store.removeItem(KEY);
    }
  }
  return null;
}

/** The present session, or null. Another tab may have renewed it, so the store is asked each time. */
export function current() {
  session = read();
  return session;
}

/** The person: `{name, role}`, or null. */
export function person() {
  return current()?.user ?? null;
}

/** Keeps what a log-in or a renewal gave. */
export function keep(answer, remember) {
  const persistent = remember ?? session?.remember ?? true;
  const user = { name: answer.name, role: answer.role };
  const { access_token, refresh_token } = answer;
  session = { access_token, refresh_token, user, remember: persistent, expires_at: Date.now() + (answer.expires_in ?? 900) * 1000 };
  (persistent ? localStorage : sessionStorage).setItem(KEY, JSON.stringify(session));
}

/** Forgets the session, and says so. `why` is "out" (asked for) or "expired". */
export function forget(why) {
  session = null;
  localStorage.removeItem(KEY);
  sessionStorage.removeItem(KEY);
  bus.dispatchEvent(new CustomEvent("ended", { detail: why }));
}

/** Calls `listener(why)` when the session ends. */
export function onEnded(listener) {
  bus.addEventListener("ended", (event) => listener(event.detail));
}

const RANK = { pilot: ["pilot"], reviewer: ["reviewer"], officer: ["officer", "reviewer", "pilot"], admin: ["admin", "officer", "reviewer", "pilot"], platform: ["platform"] };

/** Whether the person may do what `role` may. */
export function may(role) {
  return (RANK[person()?.role] ?? []).includes(role);
}
