/** The best photographs of a candidate: overview, medium, detail, each with the box. */

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { VIEWS, VIEW_NAMES } from "./images.js";

/** [photograph, view, caption] of each tile: one photograph near and far, then the next best ones. */
function tilesOf(candidate) {
  const count = Math.min(candidate?.frames?.length ?? 0, 3);
  const tiles = count ? VIEWS.map((view) => [0, view, VIEW_NAMES[view]]) : [];
  for (let k = 1; k < count; k += 1) tiles.push([k, "detail", `照片${k + 1}`]);
  return tiles;
}

/** A row of pictures under the pair; one may be made large. */
export class Photos {
  constructor(images) {
    this.images = images;
    this.large = -1;
    this.element = h("section.photos", { "aria-label": "原始照片" });
    this.sheet = h("div.photo-sheet", { hidden: true, onclick: () => this.close() });
  }

  show(candidate) {
    this.candidate = candidate;
    this.tiles = tilesOf(candidate);
    const none = candidate?.drawn_by ? "人工补画，无照片" : "无原始照片";
    fill(this.element, this.tiles.length ? this.tiles.map((tile, i) => this.tile(tile, i)) : h("p.muted.photo-none", {}, candidate ? none : ""));
    if (this.large >= 0) this.enlarge(Math.min(this.large, this.tiles.length - 1));
  }

  /** The next picture, large; after the last one back to small. */
  cycle(step = 1) {
    const next = this.large < 0 && step < 0 ? this.tiles.length - 1 : this.large + step;
    if (!this.tiles.length || next < 0 || next >= this.tiles.length) this.close();
    else this.enlarge(next);
  }

  close() {
    this.large = -1;
    this.sheet.hidden = true;
  }

  tile([k, view, caption], i) {
    const canvas = h("canvas", { role: "img", "aria-label": `${caption}照片` });
    const file = this.candidate.frames[k].file?.split("/").pop() ?? "";
    const button = h("button.photo", { type: "button", title: `${file}　放大（V）`, onclick: () => this.enlarge(i) }, canvas, h("span", {}, caption));
    this.paint(canvas, k, view, 300, 200, button);
    return button;
  }

  enlarge(i) {
    if (i < 0) { this.close(); return; }
    this.large = i;
    const [k, view, caption] = this.tiles[i];
    const canvas = h("canvas", { role: "img", "aria-label": `${caption}照片` });
    fill(this.sheet, canvas, h("span", {}, `${caption}　${this.candidate.frames[k].file ?? ""}　V 下一张，P 上一张，Esc 关闭`));
    this.sheet.hidden = false;
    this.paint(canvas, k, view, 1280, 960, this.sheet);
  }

  /** Draws a picture when it is there. */
  async paint(canvas, k, view, maxWidth, maxHeight, holder) {
    const { candidate } = this;
    const picture = this.images.get(api.photoPath(candidate.id, k, view));
    if (picture.state === "waiting") await picture.done;
    if (this.candidate !== candidate) return;
    holder.classList.toggle("missing", !picture.bitmap);
    if (!picture.bitmap) return;
    const { bitmap } = picture;
    const scale = Math.min(maxWidth / bitmap.width, maxHeight / bitmap.height, 1.5) * Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  }
}
