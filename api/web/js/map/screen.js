/** 地图: the mosaics of a patrol, what was found on them, and a pencil. */

import * as api from "../api.js";
import { candidateCard } from "../card.js";
import { fill, h, segmented, select, toast } from "../dom.js";
import * as session from "../session.js";
import { FAMILIES, placeText, timeText } from "../words.js";
import { Aircraft } from "./aircraft.js";
import { Draw } from "./draw.js";
import { Divider } from "./tiles.js";

const { L } = window;
const PAGE = 500;
const MOST = 5000;

// What is open is bright, what is decided is calm.
export const COLOURS = { pending: "#ffb000", second: "#ff7ad9", on_site: "#ff7ad9", accepted: "#ff4b32", rejected: "#9fb0bd", merged: "#9fb0bd", settled: "#9fb0bd", permitted: "#4fd08a" };
const GROUPS = [["open", "待审核", ["pending", "second", "on_site"], "#ffb000"], ["accepted", "已上报", ["accepted"], "#ff4b32"],
  ["other", "不属实等", ["rejected", "merged", "settled", "permitted"], "#9fb0bd"]];

/** Mounts the map; `?patrol=` and `?candidate=` choose what it shows. */
export async function mount(root, route) {
  const screen = new MapScreen(root);
  await screen.start(route.query);
  return () => screen.stop();
}

class MapScreen {
  constructor(root) {
    this.shapes = new Map();
    this.shown = new Set(["open", "accepted"]);
    this.family = "";
    this.patrol = null;
    this.box = h("div.map-box", { "aria-label": "地图" });
    this.side = h("aside.map-side", { hidden: true, "aria-label": "疑点卡片" });
    this.hint = h("div.map-hint", { role: "status", hidden: true });
    this.where = h("span.map-where.mono");
    fill(root, h("div.map-screen", {}, this.toolbar(), h("div.map-body", {}, h("div.map-hold", {}, this.box, this.hint), this.side)));
  }

  toolbar() {
    this.patrolPick = h("span", {}, h("span.muted", {}, "载入巡查…"));
    const family = segmented("类别", [["", "全部"], ...Object.entries(FAMILIES)], "", (value) => { this.family = value; this.redraw(); });
    const groups = GROUPS.map(([key, text, , colour]) => h("label.check", {}, h("input", {
      type: "checkbox", checked: this.shown.has(key), onchange: (event) => { this.shown[event.target.checked ? "add" : "delete"](key); this.redraw(); },
    }), h("span.swatch", { style: { background: colour } }), text));
    this.swipe = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.setSwipe(!this.divider.on) }, "前后卷帘");
    this.pencil = session.may("reviewer") ? h("button.primary", { type: "button", onclick: () => this.draw.start() }, "补画疑点") : null;
    this.count = h("span.muted");
    this.flying = h("span.muted", { role: "status", "aria-label": "在飞" });
    return h("div.toolbar", {}, this.patrolPick, family, groups, this.count, this.flying, h("span.spring"), this.swipe, this.pencil);
  }

  async start(query) {
    this.map = L.map(this.box, { zoomControl: false, attributionControl: false, preferCanvas: true, maxZoom: 24, minZoom: 4, zoomSnap: 0.5 }).setView([35.1, 118.35], 12);
    for (const [pane, z] of [["before", 200], ["after", 210], ["drawing", 450]]) this.map.createPane(pane).style.zIndex = z;
    L.control.zoom({ zoomInTitle: "放大", zoomOutTitle: "缩小" }).addTo(this.map);
    L.control.scale({ imperial: false, maxWidth: 160 }).addTo(this.map);
    const corner = L.control({ position: "bottomright" });
    corner.onAdd = () => this.where;
    corner.addTo(this.map);
    // Leaflet may tell of a move 200 ms after the map was taken down.
    const say = (latlng) => { this.where.textContent = placeText(latlng.lng, latlng.lat); };
    this.map.on("mousemove", (event) => say(event.latlng)).on("moveend", () => this.map && say(this.map.getCenter()));
    this.divider = new Divider(this.map);
    this.layer = L.featureGroup().addTo(this.map);
    this.draw = new Draw(this.map, () => this.patrol?.id, (text) => this.tell(text), (candidate) => this.add(candidate, true));
    this.aircraft = new Aircraft(this.map, (text) => { this.flying.textContent = text; });
    this.observer = new ResizeObserver(() => this.map.invalidateSize());
    this.observer.observe(this.box);
    await this.choose(query);
  }

  stop() {
    if (this.draw.active) this.draw.stop();
    this.observer.disconnect();
    this.aircraft.stop();
    this.map.remove();
    this.map = null;
  }

  /** Which patrol: the one asked for, the one of the candidate asked for, or the newest with a mosaic. */
  async choose(query) {
    const wanted = query.get("candidate");
    const [{ items }, candidate] = await Promise.all([api.patrols({ limit: 100 }), wanted ? api.candidate(wanted).catch(() => null) : null]);
    if (!this.map) return;
    const id = candidate?.patrol_id ?? query.get("patrol") ?? items.find((one) => one.has_mosaic)?.id ?? items[0]?.id ?? "";
    const options = items.map((one) => [one.id, `${one.name}${one.has_mosaic ? "" : "（无影像）"}`]);
    if (id && !items.some((one) => one.id === id)) options.unshift([id, id]);
    fill(this.patrolPick, options.length ? select("巡查", options, id, (value) => this.open(value)) : h("span.muted", {}, "还没有巡查"));
    if (id) await this.open(id, candidate);
  }

  async open(id, candidate = null) {
    this.closeCard();
    this.layer.clearLayers();
    this.shapes.clear();
    this.patrol = await api.patrol(id).catch(() => ({ id, has_mosaic: false, has_before: false }));
    if (!this.map) return;
    const bounds = this.patrol.bounds;
    if (bounds) this.map.fitBounds([[bounds[1], bounds[0]], [bounds[3], bounds[2]]], { animate: false });
    // Asked for before the tiles: a browser has six connections, and a mosaic wants fifty.
    const loading = this.load(id);
    this.divider.show(this.patrol);
    this.swipe.disabled = !this.patrol.has_before;
    this.setSwipe(this.divider.on && this.patrol.has_before);
    await loading;
    if (!this.map) return;
    if (!bounds && this.layer.getLayers().length) this.map.fitBounds(this.layer.getBounds().pad(0.2), { animate: false, maxZoom: 20 });
    if (candidate) this.select(candidate, true);
  }

  async load(id) {
    let cursor;
    do {
      const page = await api.candidates({ patrol_id: id, limit: PAGE, cursor });
      if (!this.map || this.patrol?.id !== id) return;
      for (const candidate of page.items) this.add(candidate);
      cursor = page.next;
    } while (cursor && this.shapes.size < MOST);
    if (cursor) toast(`疑点较多，只显示最新的 ${MOST} 个`);
    this.redraw();
  }

  /** Puts a candidate on the map, or brings its shape up to date. */
  add(candidate, select = false) {
    const known = this.shapes.get(candidate.id);
    known?.shape.remove();
    const shape = L.geoJSON(candidate.geometry, {
      style: () => style(candidate), pointToLayer: (_, latlng) => L.circleMarker(latlng, { radius: 9, ...style(candidate) }),
    });
    shape.on("click", (event) => { if (!this.draw.active) { L.DomEvent.stop(event); this.select(this.shapes.get(candidate.id).candidate); } });
    this.shapes.set(candidate.id, { candidate, shape });
    if (this.visible(candidate)) shape.addTo(this.layer);
    if (select) { this.count1(); this.select(candidate); }
  }

  visible(candidate) {
    const group = GROUPS.find(([, , states]) => states.includes(candidate.state))?.[0];
    return this.shown.has(group) && (!this.family || candidate.family === this.family);
  }

  redraw() {
    for (const { candidate, shape } of this.shapes.values()) {
      if (this.visible(candidate)) shape.addTo(this.layer);
      else this.layer.removeLayer(shape);
    }
    this.count1();
  }

  count1() {
    const open = [...this.shapes.values()].filter(({ candidate }) => GROUPS[0][2].includes(candidate.state)).length;
    this.count.textContent = this.shapes.size ? `共 ${this.shapes.size} 处，待审 ${open}` : "";
  }

  select(candidate, zoom = false) {
    this.marked?.setStyle?.({ weight: 2.5 });
    this.marked = this.shapes.get(candidate.id)?.shape;
    this.marked?.setStyle?.({ weight: 5 });
    if (zoom && this.marked) this.map.fitBounds(this.marked.getBounds().pad(2), { maxZoom: 21, animate: false });
    this.side.hidden = false;
    fill(this.side, h("div.side-head", {}, h("h2", {}, `疑点 ${candidate.n}`), h("span.muted", {}, timeText(candidate.created_at)),
      h("button.quiet", { type: "button", "aria-label": "关闭", onclick: () => this.closeCard() }, "✕")),
      candidateCard(candidate, (after) => { this.add(after); this.count1(); this.marked = this.shapes.get(after.id).shape; }));
  }

  closeCard() {
    this.side.hidden = true;
    this.marked?.setStyle?.({ weight: 2.5 });
    this.marked = null;
  }

  setSwipe(on) {
    this.divider.toggle(on);
    this.swipe.setAttribute("aria-pressed", on);
  }

  tell(text) {
    this.hint.hidden = !text;
    this.hint.textContent = text ?? "";
    if (this.pencil) this.pencil.disabled = Boolean(text);
  }
}

function style(candidate) {
  const color = COLOURS[candidate.state] ?? "#fff";
  return { color, weight: 2.5, fillColor: color, fillOpacity: candidate.state === "pending" ? 0.18 : 0.1, dashArray: candidate.family === "sanitation" ? "6 4" : null };
}
