/** One case: its form, evidence, what the platform says, and its chained history. */

import * as api from "../api.js";
import { pair, photographs } from "../card.js";
import { fill, h, openDialog, toast } from "../dom.js";
import { patrolOf } from "../names.js";
import * as session from "../session.js";
import { CASE_STATES, EVENTS, areaText, familyText, heightText, labelText, momentText, percentText, placeText, reasonText, timeText } from "../words.js";

/** Mounts the detail of case `id`. */
export async function mountDetail(root, id) {
  const [one, history] = await Promise.all([api.caseById(id), api.caseEvents(id).catch(() => null)]);
  const photos = h("div.photo-grid");
  const files = h("div");
  const patrol = h("span", {}, "…");
  patrolOf(one.patrol_id).then((found) => { patrol.textContent = found?.name ?? one.patrol_id; });
  api.candidate(one.candidate_id).then((candidate) => fill(photos, photographs(candidate)), () => {});
  showEvidence(files, id);
  fill(root, h("article.page.case", {}, head(one, () => mountDetail(root, id)), h("div.page-scroll.case-body", {},
    h("section.panel", { "aria-label": "影像" }, h("h2", {}, "影像对比"), pair(one.candidate_id), photos, files),
    h("section.panel", { "aria-label": "案卷信息" }, h("h2", {}, "案卷信息"), h("dl.facts", {}, form(one, patrol).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
    h("section.panel", { "aria-label": "办理过程" }, h("h2", {}, "办理过程 ", chainTag(history)), historyList(history)))));
  return null;
}

function head(one, reload) {
  const withdrawable = ["filed", "returned"].includes(one.state) && session.may("reviewer");
  return h("div.toolbar", {}, h("a.button.no-print", { href: "#/cases" }, "‹ 返回"), h("h1.mono", {}, one.number),
    h("span.tag.info", {}, CASE_STATES[one.state] ?? one.state), h("span", {}, one.address), h("span.spring"),
    h("a.button.no-print", { href: `#/map?candidate=${encodeURIComponent(one.candidate_id)}` }, "地图"),
    h("button.no-print", { type: "button", onclick: () => print() }, "打印"),
    h("button.no-print", { type: "button", onclick: (event) => download(event.target, one) }, "下载证据包"),
    withdrawable && h("button.danger.no-print", { type: "button", onclick: () => withdraw(one, reload) }, "撤回"));
}

const KINDS = { original: "原始照片", derived: "加框图" };
const VIEWS = { overview: "全景", medium: "中景", detail: "近景" };

/** What a file shows, from its name: after, before, frame-1-detail. */
function fileText({ name, file }) {
  const [, k, view] = /^frame-(\d+)-(\w+)/.exec(name) ?? [];
  return { after: "本期影像", before: "前期影像" }[name] ?? (k ? `照片${k} ${VIEWS[view] ?? view}` : file ?? name);
}

/** The files that are evidence, each by its hash; an original only for officers, with a reason that is kept. */
async function showEvidence(holder, id) {
  let files = [];
  try {
    files = await api.evidence(id);
  } catch {
    return;
  }
  if (!files.length) return;
  fill(holder, h("h2", {}, `证据文件 ${files.length}`), h("ul.files", {}, files.map((file) => h("li", {},
    h("span", {}, KINDS[file.kind] ?? file.kind), h("code", { title: `SHA-256 ${file.sha256}` }, file.sha256.slice(0, 12)), h("span.muted", {}, `${(file.size_bytes / 1024).toFixed(0)} KB`),
    h("span.muted", {}, fileText(file)), file.deleted ? h("span.tag", {}, "已按期限删除") : file.kind === "original" && session.may("officer") ? h("button.no-print", { type: "button", onclick: () => takeOriginal(file) }, "取原件") : null))));
}

function takeOriginal(file) {
  const reason = h("input", { type: "text", required: true, maxlength: "500", "aria-label": "调取理由", placeholder: "如：行政处罚立案取证" });
  const form = h("form.draw-form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    try {
      save(await api.original(file.sha256, reason.value.trim()), `${file.sha256.slice(0, 12)}.jpg`);
      dialog.close();
    } catch (error) {
      toast(`未能取得原件：${error.message}`, { bad: true });
    }
  } }, h("p", {}, "原件未作遮挡处理。调取人、时间和理由将记录在案。"), reason, h("div.form-end", {}, h("button.primary", { type: "submit" }, "调取")));
  const dialog = openDialog("调取原件", form);
}

function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function download(button, one) {
  button.disabled = true;
  try {
    const blob = await api.dossier(one.id);
    if (!blob) throw new Error("服务器尚未提供证据包");
    save(blob, `${one.number}.zip`);
  } catch (error) {
    toast(`证据包未能下载：${error.message}`, { bad: true });
  } finally {
    button.disabled = false;
  }
}

function withdraw(one, reload) {
  const reason = h("textarea", { rows: "3", required: true, maxlength: "500", "aria-label": "撤回理由" });
  const form = h("form.draw-form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    try {
      await api.withdrawCase(one.id, reason.value.trim());
      dialog.close();
      await reload();
    } catch (error) {
      toast(`未能撤回：${error.message}`, { bad: true });
    }
  } }, h("p", {}, "撤回后平台将收到撤回通知，案卷号不再使用。"), reason, h("div.form-end", {}, h("button.primary", { type: "submit" }, "撤回案卷")));
  const dialog = openDialog(`撤回 ${one.number}`, form);
}

function form(one, patrol) {
  return [
    ["类别", `${familyText(one.family)}　${labelText(one.label)}`], ["代码", h("span.mono", {}, `${one.code}　${one.code_set}`)], ["立案条件", one.condition ?? "—"],
    ["问题描述", one.description], ["位置描述", one.address], ["坐标", h("span.mono", {}, placeText(one.lon, one.lat))],
    ["单元网格", h("span.mono", {}, one.cell ?? "—")], ["区 / 街道 / 社区", h("span.mono", {}, [one.district, one.street, one.community].filter(Boolean).join(" / ") || "—")],
    ["面积", areaText(one.area_m2)], ["高度变化", heightText(one.height_change_m)], ["模型可能性", percentText(one.probability)],
    ["巡查", patrol], ["发现时间", timeText(one.seen_at)], ["上报时间", timeText(one.filed_at)], ["办理时限", timeText(one.deadline_at)],
    ["审核员", one.reviewer], ["平台案卷号", one.platform_no ?? "—"], ["平台时间", timeText(one.platform_at)], ["平台意见", one.platform_reason ?? "—"],
  ];
}

function chainTag(history) {
  if (!history) return null;
  return history.intact ? h("span.tag.good", { title: "每一条记录的哈希值均与前一条相接" }, "记录链完整") : h("span.tag.bad", {}, "记录链已被改动");
}

function historyList(history) {
  if (!history) return h("p.muted", {}, "暂不可查看");
  return h("ol.history", {}, history.events.map((event) => h("li", {},
    h("div", {}, h("strong", {}, EVENTS[event.type] ?? event.type), "　", eventText(event), h("span.muted.right", {}, momentText(event.time))),
    h("div.muted", {}, event.actor, "　", h("code", { title: event.hash }, event.hash.slice(0, 16))))));
}

function mergedText(data) {
  if (data.number) return `并入案卷 ${data.number}`;
  if (data.verdict) return `沿用该地点的结论：${reasonText(data.verdict)}`;
  const other = data.into ?? data.into_candidate;
  return other ? `并入疑点 ${String(other).split("/").pop()}` : data.why === "revised" ? "识别结果已更新" : "与同一地点的疑点归并";
}

/** What an event says beyond its kind, in a line. */
export function eventText({ type, data }) {
  if (type === "candidate.reviewed") return { accept: "属实", reject: `不属实：${data.reason_name || reasonText(data.reason)}`, look: data.note === "undo" ? "撤销结论" : "再看", verified: "现场属实" }[data.decision] ?? "";
  if (type === "case.platform") return [data.state_name ?? CASE_STATES[data.state] ?? data.state, data.platform_no, data.reason].filter(Boolean).join("　");
  if (type === "case.filed") return [data.number, data.address].filter(Boolean).join("　");
  if (type === "case.evidence") return data.collected ? `证据归集 ${data.collected.length} 份` : [data.as === "attachment" ? "补充附件" : "并入新发现", data.area_m2 && areaText(data.area_m2)].filter(Boolean).join("　");
  if (type === "case.withdrawn") return data.reason ?? "";
  if (type === "candidate.merged") return mergedText(data);
  if (type.startsWith("candidate.")) return [labelText(data.label), data.area_m2 && areaText(data.area_m2)].filter(Boolean).join("　");
  return data.reason ?? "";
}
