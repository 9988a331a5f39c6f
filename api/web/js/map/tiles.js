/** Mosaic tiles for Leaflet, fetched with the session's token; before and after with a divider between. */

import * as api from "../api.js";
import { h } from "../dom.js";

const { L } = window;

/** A tile layer of one patrol, `when` before or after. */
export const MosaicLayer = L.GridLayer.extend({
  initialize(patrolId, when, options) {
    this.patrolId = patrolId;
    this.when = when;
    L.GridLayer.prototype.initialize.call(this, { maxNativeZoom: 21, maxZoom: 24, minZoom: 10, keepBuffer: 3, ...options });
    this.on("tileunload", ({ tile }) => { tile.abort?.abort(); URL.revokeObjectURL(tile.src); });
  },
  createTile(coords, done) {
    const tile = h("img", { alt: "", role: "presentation" });
    tile.abort = new AbortController();
    api.image(api.tilePath(this.patrolId, this.when, coords.z, coords.x, coords.y), { signal: tile.abort.signal }).then((blob) => {
      if (!blob) { done(null, tile); return; }
      tile.onload = () => { URL.revokeObjectURL(tile.src); done(null, tile); };
      tile.onerror = () => done(new Error("tile"), tile);
      tile.src = URL.createObjectURL(blob);
    }, (error) => { if (error.name !== "AbortError") done(error, tile); });
    return tile;
  },
});

/** The zoom at which a tile's pixel is no larger than the mosaic's: beyond it the browser magnifies. */
export function nativeZoom(gsd_m, lat) {
  if (!gsd_m) return 21;
  return Math.min(Math.max(Math.ceil(Math.log2((156543.03 * Math.cos((lat * Math.PI) / 180)) / gsd_m)), 17), 23);
}

/** Before at the left, after at the right of a line that can be dragged or moved by arrow keys. */
export class Divider {
  constructor(map) {
    this.map = map;
    this.share = 0.5;
    this.layers = { before: null, after: null };
    this.on = false;
    this.handle = h("div.swipe-handle.map-divider", { role: "slider", tabindex: "0", "aria-label": "前后期卷帘分隔线", "aria-valuemin": "0", "aria-valuemax": "100", hidden: true });
    this.left = h("span.map-when.left", { hidden: true }, "前期");
    this.right = h("span.map-when.right", { hidden: true }, "本期");
    map.getContainer().append(this.left, this.right, this.handle);
    L.DomEvent.disableClickPropagation(this.handle);
    this.handle.addEventListener("pointerdown", (event) => this.drag(event));
    this.handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.set(this.share + step);
    });
    map.on("move zoomanim resize", () => this.clip());
  }

  native({ report, bounds }) { return nativeZoom(report?.gsd_m, bounds?.[1] ?? 0); }

  /** Shows the mosaics of a patrol; null takes them away. */
  show(patrol) {
    for (const when of ["before", "after"]) {
      this.layers[when]?.remove();
      this.layers[when] = null;
    }
    this.patrol = patrol;
    if (patrol?.has_mosaic) this.layers.after = new MosaicLayer(patrol.id, "after", { pane: "after", maxNativeZoom: this.native(patrol) }).addTo(this.map);
    this.toggle(this.on && Boolean(patrol?.has_before));
  }

  /** Turns the comparison on or off; the earlier mosaic is asked for when it is first looked at. */
  toggle(on) {
    this.on = on;
    if (on && !this.layers.before) this.layers.before = new MosaicLayer(this.patrol.id, "before", { pane: "before", maxNativeZoom: this.native(this.patrol) }).addTo(this.map);
    for (const part of [this.handle, this.left, this.right]) part.hidden = !on;
    this.clip();
  }

  set(share) {
    this.share = Math.min(Math.max(share, 0.02), 0.98);
    this.clip();
  }

  clip() {
    const pane = this.map.getPane("after");
    this.handle.style.left = `${this.share * 100}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(this.share * 100));
    if (!this.on) { pane.style.clipPath = ""; this.map.getPane("before").style.display = "none"; return; }
    this.map.getPane("before").style.display = "";
    // The pane moves with the map; the clip must stand still on the screen.
    const size = this.map.getSize();
    const topLeft = this.map.containerPointToLayerPoint([size.x * this.share, 0]);
    const bottomRight = this.map.containerPointToLayerPoint(size);
    pane.style.clipPath = `polygon(${topLeft.x}px ${topLeft.y}px, ${bottomRight.x}px ${topLeft.y}px, ${bottomRight.x}px ${bottomRight.y}px, ${topLeft.x}px ${bottomRight.y}px)`;
  }

  drag(down) {
    down.preventDefault();
    this.handle.setPointerCapture(down.pointerId);
    const move = (event) => {
      const area = this.map.getContainer().getBoundingClientRect();
      this.set((event.clientX - area.left) / area.width);
    };
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("lostpointercapture", () => this.handle.removeEventListener("pointermove", move), { once: true });
  }
}
