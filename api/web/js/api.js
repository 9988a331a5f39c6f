/** Every call to the API by what it does. Screens know these names, and nothing of paths. */

import { getBlob, getJson, request, sendJson, withQuery } from "./http.js";

const path = (id) => id.split("/").map(encodeURIComponent).join("/");

export const me = () => getJson("/auth/me");

// Review
export const lease = (wanted) => sendJson("/review/lease", wanted);
export const reviewCounts = () => getJson("/review/counts");
export const candidate = (id) => getJson(`/candidates/${path(id)}`);
export const candidates = (query, options) => getJson("/candidates", query, options);
export const decide = (id, decision, key, version) => sendJson(`/candidates/${path(id)}/review`, decision, { key, version });
export const undoDecision = (id, key) => sendJson(`/candidates/${path(id)}/undo`, {}, { key });
export const fileCandidate = (id, form, key) => sendJson(`/candidates/${path(id)}/file`, form, { key });
export const drawCandidate = (body, key) => sendJson("/candidates", body, { key });
export const chipPath = (id, when, size_px) => withQuery(`/candidates/${path(id)}/images/${when}.jpg`, { mark: "false", size: size_px });
export const markedChipPath = (id, when) => `/candidates/${path(id)}/images/${when}.jpg`;
export const photoPath = (id, k, view) => withQuery(`/candidates/${path(id)}/images/frame-${k + 1}.jpg`, { view });
export const image = (imagePath, options) => getBlob(imagePath, options);

// Patrols, tiles, jobs
export const patrols = (query) => getJson("/patrols", query);
export const patrol = (id) => getJson(`/patrols/${path(id)}`);
export const newPatrol = (body, key) => sendJson("/patrols", body, { key });
export const tilePath = (id, when, z, x, y) => withQuery(`/patrols/${path(id)}/tiles/${z}/${x}/${y}.png`, { layer: when });
export const patrolJobs = (id) => getJson(`/patrols/${path(id)}/jobs`);
export const sorties = (id) => getJson(`/patrols/${path(id)}/sorties`);
export const sortieFile = (id, name, kind) => getBlob(`/patrols/${path(id)}/sorties/${encodeURIComponent(name)}.${kind}`);
export const fleet = () => getJson("/fleet");
export const startJob = (id, body, key) => sendJson(`/patrols/${path(id)}/jobs`, body, { key });
export const cancelJob = (id) => sendJson(`/jobs/${path(id)}/cancel`, {});
export const retryJob = (id) => sendJson(`/jobs/${path(id)}/retry`, {});

/** Uploads photographs of one sortie in one request; the answer says what was stored and what refused. */
export async function uploadFrames(patrolId, sortie, files, signal) {
  const form = new FormData();
  if (sortie) form.append("sortie", sortie);
  for (const file of files) form.append("files", file, file.name);
  const url = `/patrols/${path(patrolId)}/frames`;
  return (await request(url, { method: "POST", body: form, signal, timeout_ms: 600_000 })).json();
}

// Cases and the feed
export const cases = (query, options) => getJson("/cases", query, options);
export const exportUrl = (kind, query) => withQuery(`/api/v1/cases/export.${kind}`, query);
export const caseById = (id) => getJson(`/cases/${path(id)}`);
export const caseEvents = (id) => getJson(`/cases/${path(id)}/events`);
export const evidence = (id) => getJson(`/cases/${path(id)}/evidence`);
export const evidencePicturePath = (id, name) => `/cases/${path(id)}/evidence/${encodeURIComponent(name)}.jpg`;
export const original = async (sha256, reason) => (await request(withQuery(`/evidence/${sha256}`, { reason }), { timeout_ms: 120_000 })).blob();
export const withdrawCase = (id, reason) => sendJson(`/cases/${path(id)}/withdraw`, { reason });
export const dossier = (id) => getBlob(`/cases/${path(id)}/dossier`, { timeout_ms: 120_000 });

/** Events newest first: `{events, before}`, where `before` asks for the page that follows. */
export async function recentEvents(query, options) {
  const response = await request(withQuery("/feed/recent", query), options);
  return { events: await response.json(), before: response.headers.get("Feed-Position") };
}

export const eventStream = (lastEventId, signal) => request(withQuery("/feed/stream", { lastEventId }), { signal, timeout_ms: 0 });
export const facets = (query) => getJson("/facets", query);
export const deliveries = (state) => getJson("/platform/deliveries", { state, limit: 50 });
export const retryDeliveries = () => sendJson("/platform/deliveries/retry", {});
export const retention = () => getJson("/retention");
export const putGold = (id) => sendJson(`/candidates/${path(id)}/gold`, {}, { method: "PUT" });
export const where = (lon, lat) => getJson("/grid/where", { lon, lat });

// Set-up
export const users = () => getJson("/auth/users");
export const addUser = (body) => sendJson("/auth/users", body);
export const closeUser = (name) => request(`/auth/users/${encodeURIComponent(name)}`, { method: "DELETE" });
export const codes = () => getJson("/codes");
export const putGeoJson = (what, body) => sendJson(`/grid/${what}`, body, { method: "PUT" });

/** Replaces the code tables by those of a workbook (XLSX). */
export async function putCodes(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return (await request("/codes", { method: "PUT", body: form, timeout_ms: 120_000 })).json();
}
