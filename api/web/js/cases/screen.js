/** 案卷: cases newest first, one in detail; the events as they happen; what still lacks an address. */

import * as api from "../api.js";
import { fill, h, segmented, select, toast } from "../dom.js";
import { newKey } from "../http.js";
import * as session from "../session.js";
import { pair } from "../card.js";
import { CASE_STATES, FAMILIES, areaText, familyText, labelText, placeText, timeText } from "../words.js";
import { mountDetail } from "./detail.js";
import { mountEvents } from "./events.js";

const PAGE = 50;
export const caseTone = (state) => ({ filed: "info", refused: "bad", returned: "bad", closed: "good", withdrawn: "", voided: "" }[state] ?? "warn");

/** Mounts the screen: `#/cases`, `#/cases/ID`, `?tab=events`, `?tab=address`. */
export async function mount(root, route) {
  if (route.id) return mountDetail(root, route.id);
  const tab = route.query.get("tab") ?? "list";
  const tabs = [["list", "案卷列表"], session.person()?.role !== "pilot" && ["events", "动态"], session.may("reviewer") && ["refused", "退回意见"], session.may("reviewer") && ["address", "待补位置"], session.may("reviewer") && ["onsite", "现场核实"]].filter(Boolean);
  const bar = h("div.toolbar", {}, segmented("内容", tabs, tab, (value) => { location.hash = `#/cases?tab=${value}`; }));
  const body = h("div.page-scroll");
  fill(root, h("div.page", {}, bar, body));
  if (tab === "events") return mountEvents(bar, body);
  if (tab === "address") return mountLacking(body);
  if (tab === "refused") return mountRefused(body);
  if (tab === "onsite") return mountOnSite(body);
  return mountList(bar, body);
}

async function mountList(bar, body) {
  const filter = { state: "", family: "", cell: "" };
  const rows = h("tbody");
  const more = h("button", { type: "button", hidden: true, onclick: () => load() }, "加载更多");
  const empty = h("div.empty", { hidden: true }, h("strong", {}, "没有符合条件的案卷"), "审核中定为“属实上报”的疑点会出现在这里。");
  let cursor = null;
  let turn = 0;
  const load = async (fresh = false) => {
    empty.hidden = true;
    if (fresh) { cursor = null; rows.replaceChildren(); }
    const mine = (turn += 1);
    const page = await api.cases({ ...filter, cursor, limit: PAGE });
    if (mine !== turn) return;
    rows.append(...page.items.map(caseRow));
    cursor = page.next;
    more.hidden = !cursor;
    empty.hidden = rows.children.length > 0;
  };
  const cell = h("input.mono", { type: "search", placeholder: "单元网格编码前几位", "aria-label": "单元网格", size: "18" });
  cell.addEventListener("change", () => { filter.cell = cell.value.trim().toUpperCase(); load(true); });
  bar.append(
    select("状态", [["", "全部状态"], ...Object.entries(CASE_STATES)], "", (value) => { filter.state = value; load(true); }),
    select("类别", [["", "全部类别"], ...Object.entries(FAMILIES)], "", (value) => { filter.family = value; load(true); }), cell, h("span.spring"),
    exporter("xlsx", "导出 Excel", filter), exporter("csv", "CSV", filter), exporter("geojson", "GeoJSON", filter));
  fill(body, h("table.list", {}, h("thead", {}, h("tr", {}, ["案卷号", "类别", "状态", "位置描述", "面积", "单元网格", "上报时间", "办理时限", "审核员"].map((text) => h("th", { scope: "col" }, text)))), rows),
    empty, h("div.more", {}, more));
  await load();
  return null;
}

/** Saves the filtered list. The browser itself streams it to disk, by the cookie that the log-in set. */
function exporter(kind, text, filter) {
  return h("button", { type: "button", title: "导出当前筛选结果", onclick: async () => {
    await api.me();
    h("a", { href: api.exportUrl(kind, filter), download: `案卷.${kind}` }).click();
  } }, text);
}

function caseRow(one) {
  const late = one.deadline_at && new Date(one.deadline_at) < new Date() && !["closed", "withdrawn", "voided", "refused"].includes(one.state);
  return h("tr", {},
    h("td.mono", {}, h("a", { href: `#/cases/${one.id}` }, one.number)),
    h("td", {}, h("span.tag", { class: one.family }, familyText(one.family)), " ", labelText(one.label)),
    h("td", {}, h("span.tag", { class: caseTone(one.state) }, CASE_STATES[one.state] ?? one.state)),
    h("td.wide", {}, one.address), h("td.num", {}, areaText(one.area_m2)), h("td.mono", {}, one.cell ?? "—"),
    h("td", {}, timeText(one.filed_at)), h("td", { class: late ? "tone-bad" : "" }, timeText(one.deadline_at), late ? "　超期" : ""), h("td", {}, one.reviewer));
}

/** Accepted ones that wait for an address: one line each, Enter files and goes to the next. */
async function mountLacking(body) {
  const { items } = await api.candidates({ needs_address: true, limit: 100 });
  const list = h("ul.lacking");
  const empty = h("div.empty", { hidden: items.length > 0 }, h("strong", {}, "没有待补位置的疑点"), "属实的疑点都已立卷。");
  for (const item of items) list.append(lackingRow(item, () => { empty.hidden = list.children.length > 0; list.querySelector("input")?.focus(); }));
  fill(body, list, empty);
  list.querySelector("input")?.focus();
  return null;
}

/** What the platform refused, returned or voided, and why: its words go back to who judged. */
async function mountRefused(body) {
  const { items } = await api.candidates({ refused: true, limit: 100 });
  const row = (one) => h("li.panel", {}, pair(one.id), h("div", {}, summaryOf(one),
    h("p.notice.bad", {}, one.platform_reason || "平台未说明原因"),
    h("p.muted", {}, `审核员 ${one.reviewer ?? "—"}　${timeText(one.decided_at)}　`, one.case_id && h("a", { href: `#/cases/${one.case_id}` }, "查看案卷"))));
  fill(body, items.length ? h("ul.lacking", {}, items.map(row)) : h("div.empty", {}, h("strong", {}, "没有退回的案卷"), "平台不予受理、回退或作废的，连同理由列在这里。"));
  return null;
}

/** What a collector verifies on the ground before it is filed. */
async function mountOnSite(body) {
  const { items } = await api.candidates({ state: "on_site", limit: 100 });
  const list = h("ul.lacking");
  const empty = h("div.empty", { hidden: items.length > 0 }, h("strong", {}, "没有待现场核实的疑点"), "按设置需要现场核实的类别，初审属实后列在这里。");
  for (const item of items) list.append(onSiteRow(item, () => { empty.hidden = list.children.length > 0; }));
  fill(body, list, empty);
  return null;
}

function onSiteRow(candidate, done) {
  const address = h("input", { type: "text", maxlength: "256", value: candidate.address ?? "", "aria-label": "位置描述", placeholder: "位置描述（路名、门牌、参照物）" });
  const note = h("input", { type: "text", maxlength: "500", "aria-label": "核实情况", placeholder: "核实情况" });
  const decide = async (decision) => {
    try {
      const body = { ...decision, address: address.value.trim() || undefined, note: note.value.trim() || undefined };
      const answer = await api.decide(candidate.id, body, newKey(), candidate.version);
      toast(answer.case ? `已立卷：${answer.case.number}` : "已记录");
      row.remove();
      done();
    } catch (error) {
      toast(`未能保存：${error.message}`, { bad: true, ms: 8000 });
    }
  };
  const row = h("li.panel", {}, pair(candidate.id), h("div", {}, summaryOf(candidate),
    h("form", { onsubmit: (event) => { event.preventDefault(); decide({ decision: "verified" }); } }, address, note,
      h("button.primary", { type: "submit" }, "现场属实"), h("button", { type: "button", onclick: () => decide({ decision: "reject", reason: "not_a_problem" }) }, "现场不属实"))));
  return row;
}

function summaryOf(candidate) {
  return [h("div", {}, h("span.tag", { class: candidate.family }, familyText(candidate.family)), " ", h("strong", {}, labelText(candidate.label)), "　", areaText(candidate.area_m2)),
    h("p.muted", {}, h("a.mono", { href: `#/map?candidate=${encodeURIComponent(candidate.id)}` }, placeText(candidate.lon, candidate.lat)), "　", candidate.patrol_name ?? "")];
}

function lackingRow(candidate, done) {
  const address = h("input", { type: "text", maxlength: "256", required: true, value: candidate.address ?? "", "aria-label": "位置描述", placeholder: "位置描述（路名、门牌、参照物）" });
  const button = h("button.primary", { type: "submit" }, "立卷");
  const key = newKey();
  const row = h("li.panel", {}, pair(candidate.id), h("div", {}, summaryOf(candidate),
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        const answer = await api.fileCandidate(candidate.id, { address: address.value.trim() }, key);
        toast(`已立卷：${answer.case.number}`);
        row.remove();
        done();
      } catch (error) {
        toast(`未能立卷：${error.message}`, { bad: true, ms: 8000 });
        button.disabled = false;
      }
    } }, address, button)));
  return row;
}
