/** A person draws what the model missed: corners by clicks, then a family and a kind. */

import * as api from "../api.js";
import { h, openDialog, select, toast } from "../dom.js";
import { newKey } from "../http.js";
import { DRAWABLE, FAMILIES, labelText } from "../words.js";
import { crosses, middleOf } from "./rings.js";

const { L } = window;

/** Drawing on a Leaflet map. `onstate(text|null)` shows what to do next; `onfiled(candidate)` when it is on record. */
export class Draw {
  constructor(map, patrolOf, onstate, onfiled) {
    Object.assign(this, { map, patrolOf, onstate, onfiled, points: [], active: false });
    this.line = L.polygon([], { color: "#ffe14d", weight: 3, fillOpacity: 0.15, interactive: false, pane: "drawing" });
    this.cursor = null;
    this.click = (event) => this.add(event.latlng);
    this.move = (event) => { this.cursor = event.latlng; this.redraw(); };
    this.finish = (event) => { L.DomEvent.stop(event); this.close(); };
    this.key = (event) => this.onkey(event);
  }

  start() {
    if (!this.patrolOf()) { toast("请先选择一次巡查，再补画疑点", { bad: true }); return; }
    this.active = true;
    this.points = [];
    this.line.addTo(this.map);
    this.map.doubleClickZoom.disable();
    this.map.getContainer().classList.add("drawing");
    this.map.on("click", this.click).on("mousemove", this.move).on("dblclick", this.finish);
    document.addEventListener("keydown", this.key);
    this.redraw();
  }

  stop() {
    this.active = false;
    this.line.remove();
    this.map.doubleClickZoom.enable();
    this.map.getContainer().classList.remove("drawing");
    this.map.off("click", this.click).off("mousemove", this.move).off("dblclick", this.finish);
    document.removeEventListener("keydown", this.key);
    this.onstate(null);
  }

  onkey(event) {
    if (document.querySelector("dialog[open]")) return;
    const step = { Escape: () => this.stop(), Enter: () => this.close(), Backspace: () => { this.points.pop(); this.redraw(); } }[event.key];
    if (!step) return;
    event.preventDefault();
    step();
  }

  add(latlng) {
    const last = this.points.at(-1);
    // A double click is two clicks at one place: the corner counts once.
    if (last && this.map.latLngToContainerPoint(last).distanceTo(this.map.latLngToContainerPoint(latlng)) < 5) return;
    this.points.push(latlng);
    this.redraw();
  }

  redraw() {
    this.line.setLatLngs(this.cursor && this.active ? [...this.points, this.cursor] : this.points);
    const n = this.points.length;
    this.onstate(n < 3 ? `沿问题外缘逐点单击（已 ${n} 点，至少 3 点）　Esc 取消` : `已 ${n} 点：双击或回车完成　退格撤一点　Esc 取消`);
  }

  close() {
    if (this.points.length < 3) { toast("至少需要 3 个点"); return; }
    const ring = this.points.map(({ lng, lat }) => [lng, lat]);
    if (crosses(ring)) { toast("轮廓自相交，请退格后重画", { bad: true }); return; }
    this.cursor = null;
    this.ask({ type: "Polygon", coordinates: [[...ring, ring[0]]] });
  }

  ask(geometry) {
    const key = newKey();
    let family = "sanitation";
    const kinds = h("span");
    let label = null;
    const drawKinds = () => {
      label = select("具体类型", DRAWABLE[family].map((code) => [code, labelText(code)]), DRAWABLE[family][0], () => {});
      kinds.replaceChildren(label);
    };
    const families = h("div.radio-row", { role: "radiogroup", "aria-label": "类别" }, Object.entries(FAMILIES).map(([code, text]) => h("label.check", {},
      h("input", { type: "radio", name: "family", value: code, checked: code === family, onchange: () => { family = code; drawKinds(); } }), text)));
    drawKinds();
    const note = h("input", { type: "text", maxlength: "500", placeholder: "可不填" });
    const address = h("input", { type: "text", maxlength: "256", placeholder: "路名、门牌、参照物" });
    const [lon, lat] = middleOf(geometry.coordinates[0]);
    const cell = h("span.muted.mono");
    // The gazetteer's word for the place, unless the person has begun to write their own.
    api.where(lon, lat).then((found) => {
      if (found.address && !address.value) address.value = found.address;
      cell.textContent = found.cell ? `单元网格 ${found.cell}` : "";
    }, () => {});
    const accept = h("input", { type: "checkbox" });
    const save = h("button.primary", { type: "submit" }, "保存");
    const form = h("form.draw-form", { method: "dialog" },
      h("div.field", {}, h("span", {}, "类别"), families), h("label.field", {}, h("span", {}, "类型"), kinds),
      h("label.field", {}, h("span", {}, "说明"), note), h("label.field", {}, h("span", {}, "位置描述"), address),
      cell, h("label.check", {}, accept, "直接立案上报（不再进入审核队列）"),
      h("div.form-end", {}, h("button", { type: "button", onclick: () => dialog.close() }, "返回修改"), save));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      save.disabled = true;
      const body = { patrol_id: this.patrolOf(), family, label: label.value, geometry, note: note.value.trim() || undefined };
      if (await this.send(body, key, accept.checked, address.value.trim())) { dialog.close(); this.stop(); }
      save.disabled = false;
    });
    const dialog = openDialog("补画疑点", form);
  }

  async send(body, key, accept, address) {
    try {
      let candidate = await api.drawCandidate(body, key);
      if (accept) {
        const answer = await api.decide(candidate.id, { decision: "accept", address: address || undefined }, newKey(), candidate.version);
        candidate = answer.candidate;
        toast(answer.case ? `已上报，案卷号 ${answer.case.number}` : "已定为属实；补填位置描述后立卷");
      } else toast("已保存，进入审核队列");
      this.onfiled(candidate);
      return true;
    } catch (error) {
      toast(`未能保存：${error.message}`, { bad: true, ms: 8000 });
      return false;
    }
  }
}
