/** Patrols by id, asked for once: lists carry ids, people want names. */

import * as api from "./api.js";

const known = new Map();

/** The patrol, or null where there is none. */
export function patrolOf(id) {
  if (!known.has(id)) known.set(id, api.patrol(id).catch(() => { known.delete(id); return null; }));
  return known.get(id);
}
