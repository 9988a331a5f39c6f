/**
 * Before and after of one ground window, drawn on canvases with one view for both: what is moved or magnified in one
 * moves in the other, and stays for the next candidate.
 */

import { h } from "../dom.js";
import { chipOf } from "./images.js";

export const MODES = [["side", "并排", "前后并排（B）"], ["swipe", "卷帘", "拖动分隔线对比前后（W）"], ["flicker", "闪烁", "前后交替显示（F）"]];
const FLICKER_MS = 600;
const MAX_SCALE = 12;
// Outlines are white over dark: legible on roofs, on soil and on trees.
const OUTLINE = [["rgba(0,0,0,.65)", 4], ["#ffe14d", 1.8]];

/** Shows one candidate's chips. Events: "view" when moved or magnified, "shown" {id} when the after chip is drawn. */
export class Viewer extends EventTarget {
  constructor(images) {
    super();
    this.images = images;
    this.view = { scale: 1, u: 0.5, v: 0.5 };
    this.mode = localStorage.getItem("yunxun.review.mode") ?? "side";
    this.outline = true;
    this.divider = 0.5;
    this.flip = false;
    this.candidate = null;
    this.panes = { before: this.pane("before", "前期"), after: this.pane("after", "本期") };
    this.handle = h("div.swipe-handle", { role: "slider", tabindex: "0", "aria-label": "卷帘分隔线", "aria-valuemin": "0", "aria-valuemax": "100", hidden: true });
    this.element = h("div.viewer", {}, this.panes.before.box, this.panes.after.box, this.handle);
    this.listen();
    this.setMode(this.mode);
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.element);
  }

  /** Stops drawing. */
  stop() {
    clearInterval(this.flicker);
    this.resizing.disconnect();
    this.candidate = null;
  }

  pane(when, title) {
    const canvas = h("canvas", { role: "img" });
    const caption = h("figcaption", {}, title);
    const status = h("div.pane-status", { hidden: true });
    return { when, title, canvas, caption, status, box: h("figure.pane", { dataset: { when } }, canvas, caption, status) };
  }

  /** Shows a candidate (or nothing). The view stays, unless the outline would fall outside it. */
  show(candidate) {
    this.candidate = candidate;
    this.flip = false;
    if (candidate && !this.outlineInView()) this.view = { ...this.view, u: 0.5, v: 0.5 };
    if (candidate) for (const when of ["before", "after"]) this.follow(candidate, when);
    this.draw();
  }

  /** The picture of a pane; draws again when it arrives. */
  follow(candidate, when) {
    const picture = this.images.get(chipOf(candidate, when));
    if (picture.state === "waiting") picture.done.then(() => { if (this.candidate?.id === candidate.id) this.draw(); });
  }

  setMode(mode) {
    this.mode = mode;
    localStorage.setItem("yunxun.review.mode", mode);
    this.element.dataset.mode = mode;
    this.handle.hidden = mode !== "swipe";
    clearInterval(this.flicker);
    if (mode === "flicker") this.flicker = setInterval(() => { this.flip = !this.flip; this.draw(); }, FLICKER_MS);
    else this.flip = false;
    this.draw();
  }

  /** Swaps before and after while the key is held (or until the next one). */
  peek(on) {
    this.flip = on;
    this.draw();
  }

  toggleOutline() {
    this.outline = !this.outline;
    this.draw();
  }

  zoom(factor, at = null) {
    const { scale, u, v } = this.view;
    const next = Math.min(Math.max(scale * factor, 0.5), MAX_SCALE);
    const anchor = at ?? { u, v };
    this.view = { scale: next, u: anchor.u - ((anchor.u - u) * scale) / next, v: anchor.v - ((anchor.v - v) * scale) / next };
    this.moved();
  }

  pan(du, dv) {
    this.view.u = Math.min(Math.max(this.view.u + du / this.view.scale, -0.2), 1.2);
    this.view.v = Math.min(Math.max(this.view.v + dv / this.view.scale, -0.2), 1.2);
    this.moved();
  }

  reset() {
    this.view = { scale: 1, u: 0.5, v: 0.5 };
    this.moved();
  }

  moved() {
    this.draw();
    this.dispatchEvent(new Event("view"));
  }

  rings() { return this.candidate?.images_window?.outline ?? []; }

  outlineInView() {
    const points = this.rings().flat();
    if (!points.length) return this.view.scale === 1;
    const mean = (k) => points.reduce((sum, point) => sum + point[k], 0) / points.length;
    const half = 0.5 / this.view.scale;
    return Math.abs(mean(0) - this.view.u) < half && Math.abs(mean(1) - this.view.v) < half;
  }

  draw() {
    const { scale, u, v } = this.view;
    this.element.dataset.view = [scale, u, v].map((value) => value.toFixed(4)).join(" ");
    const single = this.mode !== "side";
    this.panes.before.box.hidden = single && this.mode !== "swipe";
    if (this.mode === "swipe") this.panes.after.canvas.style.clipPath = `inset(0 0 0 ${this.divider * 100}%)`;
    else this.panes.after.canvas.style.clipPath = "";
    this.handle.style.left = `${this.divider * 100}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(this.divider * 100));
    this.drawPane(this.panes.after, this.flip ? "before" : "after");
    if (!this.panes.before.box.hidden) this.drawPane(this.panes.before, this.flip && this.mode === "side" ? "after" : "before");
  }

  drawPane(pane, when) {
    const { canvas } = pane;
    const width = pane.box.clientWidth;
    const height = pane.box.clientHeight;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d", { alpha: false });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#2a3238";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const picture = this.candidate ? this.images.get(chipOf(this.candidate, when)) : null;
    const box = this.frame(canvas.width, canvas.height);
    if (picture?.bitmap) {
      context.imageSmoothingEnabled = box.side / picture.bitmap.width < 4;
      context.drawImage(picture.bitmap, box.x, box.y, box.side, box.side);
      if (this.outline) this.drawOutline(context, box, ratio, when === "before");
    }
    this.caption(pane, when, picture);
    if (when === "after" && picture && picture.state !== "waiting") this.dispatchEvent(new CustomEvent("shown", { detail: { id: this.candidate.id } }));
  }

  /** Where the whole chip lies on a canvas of this size, in its pixels. */
  frame(width, height) {
    const side = Math.min(width, height) * this.view.scale;
    return { side, x: width / 2 - this.view.u * side, y: height / 2 - this.view.v * side };
  }

  drawOutline(context, box, ratio, dashed) {
    for (const [colour, px] of OUTLINE) {
      context.strokeStyle = colour;
      context.lineWidth = px * ratio;
      context.setLineDash(dashed ? [6 * ratio, 4 * ratio] : []);
      for (const ring of this.rings()) {
        context.beginPath();
        ring.forEach(([u, v], i) => context[i ? "lineTo" : "moveTo"](box.x + u * box.side, box.y + v * box.side));
        context.closePath();
        context.stroke();
      }
    }
  }

  caption(pane, when, picture) {
    const title = this.panes[when].title;
    pane.caption.textContent = title;
    pane.caption.dataset.when = when;
    pane.canvas.setAttribute("aria-label", `${title}影像`);
    const words = { waiting: "影像载入中…", failed: "影像载入失败，稍后自动重试", none: when === "before" ? "此处无前期影像" : "此处无本期影像" };
    const text = picture ? words[picture.state] ?? "" : "";
    pane.status.textContent = text;
    pane.status.hidden = !text;
  }

  listen() {
    for (const { box } of Object.values(this.panes)) {
      box.addEventListener("wheel", (event) => {
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), this.pointAt(box, event));
      }, { passive: false });
      box.addEventListener("pointerdown", (event) => this.drag(box, event));
      box.addEventListener("dblclick", (event) => this.zoom(2, this.pointAt(box, event)));
    }
    this.handle.addEventListener("pointerdown", (event) => this.slide(event));
    this.handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.setDivider(this.divider + step);
    });
  }

  pointAt(box, event) {
    const area = box.getBoundingClientRect();
    const { side, x, y } = this.frame(area.width, area.height);
    return { u: (event.clientX - area.left - x) / side, v: (event.clientY - area.top - y) / side };
  }

  drag(box, down) {
    if (down.button !== 0) return;
    box.setPointerCapture(down.pointerId);
    this.pointers ??= new Map();
    this.pointers.set(down.pointerId, down);
    const move = (event) => {
      const last = this.pointers.get(event.pointerId);
      if (!last) return;
      const side = Math.min(box.clientWidth, box.clientHeight);
      if (this.pointers.size === 2) this.pinch(last, event);
      else this.pan(-(event.clientX - last.clientX) / side, -(event.clientY - last.clientY) / side);
      this.pointers.set(event.pointerId, event);
    };
    const up = (event) => {
      this.pointers.delete(event.pointerId);
      box.removeEventListener("pointermove", move);
      box.removeEventListener("pointerup", up);
      box.removeEventListener("pointercancel", up);
    };
    box.addEventListener("pointermove", move);
    box.addEventListener("pointerup", up);
    box.addEventListener("pointercancel", up);
  }

  pinch(last, event) {
    const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
    const span = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    this.zoom(span(event) / Math.max(span(last), 1));
  }

  slide(down) {
    this.handle.setPointerCapture(down.pointerId);
    const move = (event) => {
      const area = this.element.getBoundingClientRect();
      this.setDivider((event.clientX - area.left) / area.width);
    };
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("lostpointercapture", () => this.handle.removeEventListener("pointermove", move), { once: true });
  }

  setDivider(share) {
    this.divider = Math.min(Math.max(share, 0.02), 0.98);
    this.draw();
  }
}
