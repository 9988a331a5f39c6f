/** Requests to our API: bearer token, renewal, problems (RFC 9457) as errors, retries where they are safe. */

import * as session from "./session.js";
import { CANDIDATE_STATES, CASE_STATES, JOB_STATES } from "./words.js";

const BASE = "/api/v1";
// A reply that takes longer than this over a city's network is lost: the caller retries or says so.
const TIMEOUT_MS = 20_000;

/** A refusal by the API, or no answer at all (`status` 0). */
export class Problem extends Error {
  constructor(status, body, url) {
    super(say(status, body));
    this.status = status;
    this.detail = body?.detail ?? "";
    this.slug = String(body?.type ?? "").split(":").pop();
    this.title = body?.title ?? "";
    this.body = body ?? {};
    this.url = url;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 425 || this.status === 429 || this.status >= 500;
  }
}

/** A refusal in the bureau's words; the API's own sentence (English, for engineers) only where it names the field. */
function say(status, body) {
  if (!status) return "网络不通";
  if (body?.lease_by) return `${body.lease_by} 正在审核`;
  if (status === 409 && body?.state) return `已是“${CANDIDATE_STATES[body.state] ?? CASE_STATES[body.state] ?? JOB_STATES[body.state] ?? body.state}”`;
  if (status === 409 && body?.candidate_id) return `此处已有疑点 ${body.candidate_id.split("/").pop()}`;
  if (status === 409 && body?.case_id) return "此处已有案卷";
  const title = body?.title || `服务器错误 ${status}`;
  return [413, 415, 422].includes(status) && body?.detail ? `${title}（${body.detail}）` : title;
}

/** A random key that says "this is the same request" to the server. `crypto.randomUUID` needs https; this does not. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Builds `path?query`, leaving out empty values. */
export function withQuery(path, query = {}) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") params.append(key, value);
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

async function once(path, options, token) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const signals = options.signal ? [options.signal] : [];
  // A stream (timeout 0) lasts until it is aborted.
  if (options.timeout_ms !== 0) signals.push(AbortSignal.timeout(options.timeout_ms ?? TIMEOUT_MS));
  const url = path.startsWith("/") ? BASE + path : path;
  try {
    return await fetch(url, { method: options.method ?? "GET", headers, body: options.body, signal: AbortSignal.any(signals), cache: options.cache });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, null, url);
  }
}

async function problemOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // A proxy's error page is no problem document; the status says enough.
  }
  return new Problem(response.status, body, response.url);
}

/** One request with the session's token, renewed once if it has expired. Throws `Problem`. */
export async function request(path, options = {}) {
  const before = session.current();
  let response = await once(path, options, before?.access_token);
  if (response.status === 401 && before) {
    await renew(before.access_token);
    response = await once(path, options, session.current()?.access_token);
    if (response.status === 401) session.forget("expired");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** GET as JSON. */
export async function getJson(path, query, options) {
  return (await request(withQuery(path, query), options)).json();
}

/** POST (or another method) of JSON; `key` makes a repeat harmless. */
export async function sendJson(path, body, { method = "POST", key, version, signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers["Idempotency-Key"] = key;
  if (version !== undefined && version !== null) headers["If-Match"] = `"${version}"`;
  const response = await request(path, { method, headers, body: JSON.stringify(body ?? {}), signal });
  return response.status === 204 ? null : response.json();
}

/** GET as a Blob, or null where the server has nothing there (204, 404). */
export async function getBlob(path, options) {
  try {
    const response = await request(path, options);
    return response.status === 204 ? null : await response.blob();
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** Logs in. */
export async function login(name, password, remember) {
  const headers = { "Content-Type": "application/json" };
  const response = await once("/auth/login", { method: "POST", headers, body: JSON.stringify({ name, password }) });
  if (!response.ok) throw await problemOf(response);
  session.keep(await response.json(), remember);
}

/** What the identity provider's button says, or null where there is none. */
export async function singleSignOn() {
  const response = await once("/auth/oidc", {});
  const offer = response.ok ? await response.json() : {};
  return offer.enabled ? { title: offer.title, href: `${BASE}/auth/oidc/start` } : null;
}

/** Takes over the session of a log-in that has just come back from the identity provider. */
export async function finishSignOn() {
  const response = await once("/auth/oidc/session", { method: "POST", headers: { "X-Yunxun": "1" } });
  if (!response.ok) throw await problemOf(response);
  session.keep(await response.json(), false);
}

/** Logs out, here and on the server. */
export async function logout() {
  const { refresh_token } = session.current() ?? {};
  try {
    await sendJson("/auth/logout", { refresh_token });
  } catch {
    // The token expires by itself; leaving must always work.
  }
  session.forget("out");
}

let renewing = null;

/** Renews the session once for all who wait. A refresh token works once, so tabs must take turns. */
function renew(stale) {
  renewing ??= inTurn(() => renewNow(stale)).finally(() => { renewing = null; });
  return renewing;
}

async function renewNow(stale) {
  const now = session.current();
  if (!now || now.access_token !== stale) return;
  const headers = { "Content-Type": "application/json" };
  const response = await once("/auth/refresh", { method: "POST", headers, body: JSON.stringify({ refresh_token: now.refresh_token }) });
  if (response.ok) session.keep(await response.json());
  else if (response.status < 500 && response.status !== 429) session.forget("expired");
  else throw await problemOf(response);
}

/** Runs `work` while no other tab does. Web Locks exist on https and localhost alone; a stamp does for the rest. */
async function inTurn(work) {
  if (navigator.locks) return navigator.locks.request("yunxun.renew", work);
  const KEY = "yunxun.renewing";
  const deadline = Date.now() + 5000;
  while (Number(localStorage.getItem(KEY)) > Date.now() - 5000 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 100));
  }
  localStorage.setItem(KEY, String(Date.now()));
  try {
    return await work();
  } finally {
    localStorage.removeItem(KEY);
  }
}
