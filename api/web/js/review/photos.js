/** The best photographs of a candidate: overview, medium, detail, each with the box. */

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { timeText } from "../words.js";
import { VIEWS, VIEW_NAMES } from "./images.js";

/** Three pictures under the pair; one may be made large. */
export class Photos {
  constructor(images) {
    this.images = images;
    this.k = 0;
    this.large = -1;
    this.row = h("div.photo-row");
    this.pick = h("div.photo-pick");
    this.element = h("section.photos", { "aria-label": "原始照片" }, this.row, this.pick);
    this.sheet = h("div.photo-sheet", { hidden: true, onclick: () => this.close() });
  }

  show(candidate) {
    this.candidate = candidate;
    this.k = 0;
    this.draw();
    if (this.large >= 0) this.enlarge(this.large);
  }

  /** Chooses the k-th best photograph. */
  choose(k) {
    this.k = k;
    this.draw();
    if (this.large >= 0) this.enlarge(this.large);
  }

  /** The next view, large; after the last one back to small. */
  cycle() {
    const frames = this.candidate?.frames ?? [];
    if (!frames.length) return;
    if (this.large + 1 >= VIEWS.length) this.close();
    else this.enlarge(this.large + 1);
  }

  close() {
    this.large = -1;
    this.sheet.hidden = true;
  }

  draw() {
    const frames = this.candidate?.frames ?? [];
    if (!frames.length) {
      fill(this.row, h("p.muted.photo-none", {}, this.candidate ? (this.candidate.drawn_by ? "人工补画，无照片" : "无原始照片") : ""));
      fill(this.pick);
      return;
    }
    fill(this.row, VIEWS.map((view, i) => this.tile(view, i)));
    const frame = frames[this.k];
    fill(this.pick,
      frames.length > 1 && h("div.photo-tabs", {}, frames.slice(0, 4).map((_, k) => h("button", {
        type: "button", "aria-pressed": k === this.k, "aria-label": `第 ${k + 1} 张照片`, onclick: () => this.choose(k),
      }, `照片${k + 1}`))),
      h("span.muted", { title: frame.file }, `${frame.file?.split("/").pop() ?? ""}`),
      frame.time_utc && h("span.muted", {}, timeText(frame.time_utc)));
  }

  tile(view, i) {
    const canvas = h("canvas", { role: "img", "aria-label": `${VIEW_NAMES[view]}照片` });
    const tile = h("button.photo", { type: "button", title: "放大（V）", onclick: () => this.enlarge(i) }, canvas, h("span", {}, VIEW_NAMES[view]));
    this.paint(canvas, view, 300, 200, tile);
    return tile;
  }

  enlarge(i) {
    this.large = i;
    const canvas = h("canvas", { role: "img" });
    fill(this.sheet, canvas, h("span", {}, `${VIEW_NAMES[VIEWS[i]]}　Esc 关闭，V 下一张`));
    this.sheet.hidden = false;
    this.paint(canvas, VIEWS[i], 1280, 960, this.sheet);
  }

  /** Draws a view when it is there, with the box around the thing. */
  async paint(canvas, view, maxWidth, maxHeight, holder) {
    const { candidate, k } = this;
    const picture = this.images.get(api.photoPath(candidate.id, k, view));
    if (picture.state === "waiting") await picture.done;
    if (this.candidate !== candidate || this.k !== k) return;
    if (!picture.bitmap) {
      holder.classList.add("missing");
      return;
    }
    const { bitmap } = picture;
    const scale = Math.min(maxWidth / bitmap.width, maxHeight / bitmap.height, 1.5) * Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    const context = canvas.getContext("2d", { alpha: false });
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const box = candidate.frames[k].boxes?.[view];
    if (box) drawBox(context, box, canvas);
  }
}

function drawBox(context, [x0, y0, x1, y1], { width, height }) {
  for (const [colour, px] of [["rgba(0,0,0,.6)", 4], ["#ffe14d", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = px;
    context.strokeRect(x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height);
  }
}
