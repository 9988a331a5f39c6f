/** Aircraft on the map, where they are now. */

import * as api from "../api.js";
import { h } from "../dom.js";
import { clockText, percentText } from "../words.js";

const { L } = window;
// They tell once a second; nobody steers by this map.
const AGAIN_MS = 2000;
const AWAY_MS = 15_000;

/** Draws every aircraft that was heard of; `tell(text)` says how many fly. */
export class Aircraft {
  constructor(map, tell) {
    this.map = map;
    this.tell = tell;
    this.markers = new Map();
    this.look();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  async look() {
    let again = AGAIN_MS;
    try {
      const known = await api.fleet();
      if (this.stopped) return;
      this.draw(known);
      if (!known.length) again = AWAY_MS;
    } catch {
      // A map that cannot ask says nothing of aircraft rather than where they were.
      if (this.stopped) return;
      this.draw([]);
      again = AWAY_MS;
    }
    this.timer = setTimeout(() => this.look(), again);
  }

  draw(known) {
    const here = new Set();
    for (const one of known) {
      const key = `${one.station}/${one.aircraft}`;
      here.add(key);
      let marker = this.markers.get(key);
      if (!marker) {
        marker = L.marker([one.lat, one.lon], { icon: L.divIcon({ className: "aircraft", html: "", iconSize: [30, 30] }), zIndexOffset: 1000, keyboard: false }).addTo(this.map);
        marker.bindTooltip("", { direction: "top", offset: [0, -14] });
        this.markers.set(key, marker);
      }
      marker.setLatLng([one.lat, one.lon]);
      marker.setTooltipContent(words(one));
      const element = marker.getElement();
      if (!element.firstChild) element.append(h("i"), h("b"));
      element.classList.toggle("lost", one.lost);
      element.firstChild.style.transform = `rotate(${one.yaw_deg ?? 0}deg)`;
      element.lastChild.textContent = (one.sortie_id ?? one.aircraft).split("/").pop();
    }
    for (const [key, marker] of this.markers) if (!here.has(key)) { marker.remove(); this.markers.delete(key); }
    const lost = known.filter((one) => one.lost).length;
    this.tell(known.length ? `在飞 ${known.length - lost} 架${lost ? `，失联 ${lost} 架` : ""}` : "");
  }
}

/** What is known of one, as an element: text is always text. */
function words(one) {
  const battery = one.battery == null ? "—" : percentText(one.battery);
  const height = one.height_rel_m == null ? "—" : `${Math.round(one.height_rel_m)} m`;
  return h("span", {}, `${one.station} ${one.aircraft} 号机　高 ${height}　电量 ${battery}　${clockText(one.at)}${one.lost ? `　失联 ${Math.round(one.age_s)} 秒` : ""}`);
}
