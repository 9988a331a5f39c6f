/** A candidate in small: its pair of chips, its facts, and what can be done. Used by the map and by case details. */

import * as api from "./api.js";
import { fill, h, toast } from "./dom.js";
import { newKey } from "./http.js";
import { factsOf } from "./review/panel.js";
import * as session from "./session.js";
import { CANDIDATE_STATES, REASONS, familyText, labelText, percentText, reasonText } from "./words.js";

/** An image fetched with the session's token; words where there is none. */
export function picture(imagePath, alt) {
  const figure = h("figure.chip", {}, h("figcaption", {}, alt));
  api.image(imagePath).then((blob) => {
    if (!blob) { figure.append(h("span.muted", {}, "无影像")); return; }
    const image = h("img", { alt });
    image.onload = () => URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    figure.prepend(image);
  }, () => figure.append(h("span.muted", {}, "影像未能载入")));
  return figure;
}

/** Before and after with the outline drawn in. */
export const pair = (id) => h("div.pair", {}, picture(api.markedChipPath(id, "before"), "前期"), picture(api.markedChipPath(id, "after"), "本期"));

/** The photographs of a candidate around the thing. */
export const photographs = (candidate) => candidate.frames.slice(0, 3).map((_, k) => picture(api.photoPath(candidate.id, k, "medium"), `照片${k + 1}`));

export const stateTone = (state) => ({ pending: "warn", second: "warn", on_site: "warn", accepted: "good", rejected: "" }[state] ?? "info");

/** The card; `onchange(candidate)` when something was decided on it. */
export function candidateCard(candidate, onchange) {
  const card = h("div.card");
  const show = (c) => fill(card,
    h("div.card-head", {}, h("span.tag", { class: c.family }, familyText(c.family)), h("strong", {}, labelText(c.label)),
      h("span.tag", { class: stateTone(c.state) }, CANDIDATE_STATES[c.state] ?? c.state), c.reason && h("span.tag", {}, reasonText(c.reason)),
      !c.drawn_by && h("span.muted", {}, percentText(c.probability))),
    pair(c.id),
    h("dl.facts", {}, factsOf(c).map(([name, value, tone]) => [h("dt", {}, name), h("dd", { class: tone ?? "" }, value)])),
    c.note && h("p.muted", {}, c.note),
    c.case_id && h("a.button", { href: `#/cases/${c.case_id}` }, "查看案卷"),
    session.may("reviewer") && actions(c, (after) => { show(after); onchange(after); }));
  show(candidate);
  return card;
}

function actions(candidate, done) {
  const run = async (work) => {
    try {
      done(await work());
    } catch (error) {
      toast(error.message, { bad: true, ms: 8000 });
    }
  };
  const decide = (body) => run(async () => (await api.decide(candidate.id, body, newKey(), candidate.version)).candidate);
  if (["accepted", "rejected"].includes(candidate.state)) {
    const vouch = async () => { await api.putGold(candidate.id); toast("已设为标准样本：将不加标记地混入审核员的待审疑点，用于核对审核质量"); return candidate; };
    return h("div.card-actions", {}, h("button", { type: "button", onclick: () => run(() => api.undoDecision(candidate.id, newKey())) }, "撤销结论"),
      session.may("officer") && h("button", { type: "button", title: "结论确凿时使用", onclick: () => run(vouch) }, "设为标准样本"));
  }
  if (!["pending", "second"].includes(candidate.state)) return null;
  const reason = h("select", { "aria-label": "不属实原因", onchange: () => reason.value && decide({ decision: "reject", reason: reason.value }) },
    h("option", { value: "" }, "不属实…"), REASONS.map(([code, text]) => h("option", { value: code }, text)));
  return h("div.card-actions", {}, h("button.primary", { type: "button", onclick: () => decide({ decision: "accept" }) }, "属实上报"), reason);
}
