/** The facts of a candidate and what can be done with it. */

import { fill, h } from "../dom.js";
import { patrolOf } from "../names.js";
import {
  CANDIDATE_STATES, REASONS, areaText, familyText, heightText, labelText, percentText, permitText, placeText, timeText,
} from "../words.js";

/** The right-hand panel. `act(name, argument)` is called for what its buttons do. */
export class Panel {
  constructor(act) {
    this.act = act;
    this.head = h("div.panel-head");
    this.facts = h("dl.facts");
    this.address = h("input", { type: "text", maxlength: "256", "aria-label": "位置描述", placeholder: "位置描述（路名、门牌、参照物）", onkeydown: (event) => this.addressKey(event) });
    this.message = h("div.notice.bad", { hidden: true, role: "alert" });
    this.element = h("aside.review-panel", { "aria-label": "疑点信息" }, this.head, this.message, this.facts,
      h("label.address", {}, h("span", {}, "位置描述 ", h("kbd", {}, "E")), this.address), this.buttons());
  }

  buttons() {
    const key = (label) => h("kbd", {}, label);
    this.accept = h("button.primary.accept", { type: "button", onclick: () => this.act("accept") }, "属实上报", key("A"));
    const reasons = REASONS.map(([code, text, title], i) => h("button", { type: "button", title, onclick: () => this.act("reject", code) }, key(i + 1), text));
    return h("div.actions", {}, this.accept,
      h("div.reasons", { role: "group", "aria-label": "不属实，原因" }, reasons),
      h("div.secondary", {},
        h("button", { type: "button", title: "交另一名审核员再看", onclick: () => this.act("look") }, "再看", key("L")),
        h("button", { type: "button", onclick: () => this.act("skip") }, "跳过", key("S")),
        this.undo = h("button", { type: "button", onclick: () => this.act("undo") }, "撤销", key("Z"))));
  }

  addressKey(event) {
    event.stopPropagation();
    if (event.key === "Escape") this.address.blur();
    if (event.key === "Enter") { this.address.blur(); this.act("accept"); }
  }

  /** What the person wrote, if it differs from what was offered. */
  get writtenAddress() {
    const text = this.address.value.trim();
    return text && text !== this.offered ? text : undefined;
  }

  show(candidate, canUndo, message = "") {
    this.candidate = candidate;
    this.undo.disabled = !canUndo;
    this.message.hidden = !message;
    this.message.textContent = message;
    for (const button of this.element.querySelectorAll(".actions > .accept, .reasons button, .secondary button")) {
      if (button !== this.undo) button.disabled = !candidate;
    }
    this.offered = candidate?.address ?? candidate?.address_suggested ?? "";
    this.address.value = this.offered;
    this.address.disabled = !candidate;
    if (!candidate) { fill(this.head); fill(this.facts); return; }
    fill(this.head,
      h("div", {}, h("span.tag", { class: candidate.family }, familyText(candidate.family)), " ",
        h("strong.kind", {}, labelText(candidate.label)),
        candidate.state !== "pending" && h("span.tag.warn", {}, CANDIDATE_STATES[candidate.state])),
      h("div.likely", { title: "模型给出的可能性" }, h("meter", { min: 0, max: 1, value: String(candidate.probability), "aria-label": "可能性" }), h("b", {}, percentText(candidate.probability))));
    fill(this.facts, factsOf(candidate).map(([name, value, tone]) => [h("dt", {}, name), h("dd", { class: tone ?? "" }, value)]));
  }
}

/** The patrol by name; filled in when it is known. */
function patrolName(candidate) {
  if (candidate.patrol_name) return candidate.patrol_name;
  const holder = h("span", {}, "…");
  patrolOf(candidate.patrol_id).then((patrol) => { holder.textContent = patrol?.name ?? candidate.patrol_id; });
  return holder;
}

/** [name, value, tone] of each fact worth a line. */
export function factsOf(candidate) {
  const c = candidate;
  const { seen = 0, looked = 0 } = c.more ?? {};
  const rows = [
    ["面积", areaText(c.area_m2)],
    ["高度变化", heightText(c.height_change_m)],
    ["许可", permitText(c), c.permitted === false ? "tone-bad" : c.permitted ? "tone-good" : "muted"],
    ["出现 / 应见", looked ? `${seen} / ${looked} 张` : "—"],
    ["巡查", patrolName(c)],
    ["时间", timeText(c.seen_at ?? c.flown_at ?? c.created_at)],
    ["单元网格", c.cell ? h("span.mono", {}, c.cell) : "—"],
    ["坐标", h("a.mono", { href: `#/map?candidate=${encodeURIComponent(c.id)}`, title: "在地图上查看（M）" }, placeText(c.lon, c.lat))],
  ];
  if (c.unsure) rows.push(["提示", c.unsure, "tone-warn"]);
  if (c.site?.times_seen > 1) rows.push(["以往", `同一地点第 ${c.site.times_seen} 次发现`]);
  if (c.first_reviewer) rows.push(["初审", c.first_reviewer]);
  if (c.drawn_by) rows.push(["来源", `${c.drawn_by} 补画`]);
  return rows;
}
