/** Chips decoded before they are needed: the next image must stand 100 ms after the key. */

import * as api from "../api.js";

// Chips of 768 px show 10 cm at the usual window of 60 m; two of them decoded take 4.7 MB.
export const CHIP_PX = 768;
export const AHEAD = 10;
// Photographs are looked at after the pair, and cost the server a whole decoding each.
const PHOTOS_AHEAD = 4;
// A picture that failed is asked for again after this, not at every drawing.
const AGAIN_MS = 4000;
// So many candidates stay decoded: ten ahead, and a few behind for undo. About 120 MB with their photographs.
const KEEP = 16;
const PARALLEL = 4;

/** What is known of one picture: `state` is "waiting", "ready", "none" or "failed". */
class Picture {
  constructor(path) {
    this.path = path;
    this.state = "waiting";
    this.bitmap = null;
    this.done = new Promise((resolve) => { this.resolve = resolve; });
  }

  settle(state, bitmap = null) {
    this.state = state;
    this.bitmap = bitmap;
    this.settledAt = performance.now();
    this.resolve(this);
  }
}

const isStale = (picture) => picture.state === "failed" && performance.now() - picture.settledAt > AGAIN_MS;

/** Loads pictures by path, the most urgent first, and forgets those far behind. */
export class Images {
  constructor() {
    this.pictures = new Map();
    this.wanted = [];
    this.loading = 0;
  }

  /** The picture at `path`; it begins to load ahead of others if it was not asked before. */
  get(path) {
    const known = this.pictures.get(path);
    if (known && !isStale(known)) return known;
    const picture = new Picture(path);
    this.pictures.set(path, picture);
    this.wanted.unshift(picture);
    this.pump();
    return picture;
  }

  /** Prepares `candidates` in order, and forgets whatever belongs to none of `keep`. */
  prepare(candidates, keep) {
    const ahead = candidates.slice(0, AHEAD).map(picturesOf);
    // The pair of every candidate ahead comes before anybody's photographs, but for the present one's.
    const next = ahead.slice(1);
    const paths = [...(ahead[0] ?? []), ...next.flatMap((all) => all.slice(0, 2)), ...next.slice(0, PHOTOS_AHEAD).flatMap((all) => all.slice(2))];
    const used = new Set([...candidates.slice(0, AHEAD), ...keep.slice(-(KEEP - AHEAD))].flatMap(picturesOf));
    for (const [path, picture] of this.pictures) {
      if (used.has(path)) continue;
      picture.bitmap?.close();
      this.pictures.delete(path);
    }
    this.wanted = [];
    for (const path of paths) {
      let picture = this.pictures.get(path);
      if (!picture || isStale(picture)) {
        picture = new Picture(path);
        this.pictures.set(path, picture);
      }
      if (picture.state === "waiting" && !picture.started) this.wanted.push(picture);
    }
    this.pump();
  }

  /** Stops asking for what only lies ahead: another screen needs the connections. */
  rest() {
    for (const picture of this.wanted) this.pictures.delete(picture.path);
    this.wanted = [];
    this.stopped?.abort();
    this.stopped = null;
  }

  pump() {
    while (this.loading < PARALLEL && this.wanted.length) {
      const picture = this.wanted.shift();
      if (picture.started) continue;
      picture.started = true;
      this.loading += 1;
      this.load(picture).finally(() => { this.loading -= 1; this.pump(); });
    }
  }

  async load(picture) {
    this.stopped ??= new AbortController();
    try {
      const blob = await api.image(picture.path, { signal: this.stopped.signal });
      if (!blob || !blob.size) picture.settle("none");
      else picture.settle("ready", await createImageBitmap(blob));
    } catch (error) {
      picture.settle("failed");
      if (error.name === "AbortError") this.pictures.delete(picture.path);
    }
    if (!this.pictures.has(picture.path)) picture.bitmap?.close();
  }
}

export const chipOf = (candidate, when) => api.chipPath(candidate.id, when, CHIP_PX);

/** All pictures of a candidate, in the order in which a reviewer looks at them. */
export function picturesOf(candidate) {
  const paths = [chipOf(candidate, "after"), chipOf(candidate, "before")];
  const count = Math.min(candidate.frames?.length ?? 0, 3);
  if (count) for (const view of VIEWS) paths.push(api.photoPath(candidate.id, 0, view));
  for (let k = 1; k < count; k += 1) paths.push(api.photoPath(candidate.id, k, "detail"));
  return paths;
}

export const VIEWS = ["overview", "medium", "detail"];
export const VIEW_NAMES = { overview: "全景", medium: "中景", detail: "近景" };
