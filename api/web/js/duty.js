/** 值班: what waits, what is due, what was found, who decided how much, which patrols are under way. */

import * as api from "./api.js";
import { fill, h, toast } from "./dom.js";
import * as session from "./session.js";
import { CASE_STATES, JOB_KINDS, JOB_STATES, clockText, countText, familyText, percentText, timeText } from "./words.js";

const AGAIN_MS = 20_000;
const PATROLS = 12;
// Below this share of gold items answered as is known, an officer should look.
const AGREE = 0.85;
const ENDED = ["closed", "withdrawn", "voided", "refused"];

/** Mounts the officer's screen. */
export async function mount(root) {
  let timer = null;
  let gone = false;
  const body = h("div.page-scroll.duty");
  const at = h("span.muted", { role: "status" });
  fill(root, h("div.page", {}, h("div.toolbar", {}, h("h1", {}, "值班"), h("span.spring"), at, h("button", { type: "button", onclick: () => refresh() }, "刷新")), body));
  const refresh = async () => {
    clearTimeout(timer);
    try {
      const [facets, counts, { items }] = await Promise.all([api.facets(), api.reviewCounts(), api.patrols({ limit: PATROLS })]);
      const failed = await api.deliveries("failed").catch(() => []);
      const jobs = await Promise.all(items.map((one) => api.patrolJobs(one.id).then((all) => all[0] ?? null, () => null)));
      if (gone) return;
      show(body, facets, counts, items.map((patrol, i) => ({ patrol, job: jobs[i] })), failed, refresh);
      at.textContent = `${clockText(Date.now())} 更新`;
      at.className = "muted";
    } catch (error) {
      at.textContent = `未能更新：${error.message}`;
      at.className = "tag bad";
    }
    if (!gone) timer = setTimeout(refresh, AGAIN_MS);
  };
  await refresh();
  return () => { gone = true; clearTimeout(timer); };
}

function show(body, facets, counts, patrols, failed, refresh) {
  const today = facets.by_day.at(-1) ?? { construction: 0, sanitation: 0 };
  const most = (n) => (n >= facets.counted_to ? `${countText(facets.counted_to)}+` : countText(n));
  fill(body,
    h("div.tiles", {},
      tile("待审核", most(counts.pending + counts.second + counts.on_site), "#/review", counts.pending > 500 ? "warn" : ""),
      tile("待补位置", most(counts.needs_address), "#/cases?tab=address", counts.needs_address ? "warn" : ""),
      tile("今日已审", most(counts.all_today), null), tile("今日上报", countText(today.construction + today.sanitation), "#/cases"),
      tile("今日到期", most(facets.due.today), "#/cases", facets.due.today ? "warn" : ""), tile("已超期", most(facets.due.overdue), "#/cases", facets.due.overdue ? "bad" : "")),
    h("div.duty-grid", {},
      h("div", {}, panel("近 14 日上报", chart(facets.by_day)),
        panel("案卷状态", bars(Object.entries(facets.by_state).map(([key, n]) => [CASE_STATES[key] ?? key, n, ENDED.includes(key)]), facets.total)),
        panel("区县", bars(Object.entries(facets.by_district).map(([key, n]) => [key || "未落网格", n]).sort((a, b) => b[1] - a[1]), facets.total))),
      h("div", {}, panel("审核员（今日）", reviewers(facets.reviewers)), panel("巡查进展", patrolTable(patrols)),
        failed.length ? panel(`平台未收 ${failed.length}`, undelivered(failed, refresh)) : null)));
}

const panel = (title, content) => h("section.panel", { "aria-label": title }, h("h2", {}, title), content);

function tile(name, value, href, tone = "") {
  return h(href ? "a.tile" : "div.tile", { href, class: tone }, h("span", {}, name), h("b", {}, value));
}

/** Stacked columns of the two families, drawn as SVG. */
function chart(days) {
  const top = Math.max(...days.map((day) => day.construction + day.sanitation), 1);
  const column = (day) => {
    const part = (family) => h("i", { class: family, style: { height: `${(100 * day[family]) / top}%` } });
    const text = `${day.day}：${familyText("construction")} ${day.construction}，${familyText("sanitation")} ${day.sanitation}`;
    return h("li", { title: text }, h("div.bar", { role: "img", "aria-label": text }, part("sanitation"), part("construction")), h("span", {}, day.day.slice(8)));
  };
  return [h("ol.columns", {}, days.map(column)), h("p.legend", {}, h("i.construction"), familyText("construction"), h("i.sanitation"), familyText("sanitation"), h("span.muted", {}, `最高 ${countText(top)} 件/日`))];
}

function bars(rows, total) {
  if (!rows.length) return h("p.muted", {}, "还没有案卷");
  return h("ul.bars", {}, rows.map(([name, n, dim]) => h("li", {}, h("span", {}, name), h("div", {}, h("i", { class: dim ? "dim" : "", style: { width: `${(100 * n) / Math.max(total, 1)}%` } })), h("b", {}, countText(n)))));
}

function reviewers(rows) {
  if (!rows.length) return h("p.muted", {}, "今日还没有审核");
  const agreed = (one) => (one.gold_answered ? h("span", { class: one.gold_agreed / one.gold_answered < AGREE ? "tone-bad" : "", title: "与标准样本一致 / 已答标准样本" }, `${percentText(one.gold_agreed / one.gold_answered)}（${one.gold_agreed}/${one.gold_answered}）`) : "—");
  return [table(["姓名", "已审", "属实率", "件/小时", "中位用时", "一致率"], rows.map((one) => [one.name, countText(one.decided_today),
    h("span", { title: `属实 ${one.accepted}，不属实 ${one.rejected}` }, one.decided_today ? percentText(one.accepted / one.decided_today) : "—"), countText(one.per_hour), one.median_s == null ? "—" : `${one.median_s} 秒`, agreed(one)])),
    h("p.muted", {}, "件/小时不计一分钟以上的停顿；一致率为对标准样本的回答与已知结论相符的比例。")];
}

function patrolTable(rows) {
  if (!rows.length) return h("p.muted", {}, "还没有巡查");
  return table(["巡查", "飞手", "时间", "任务"], rows.map(({ patrol, job }) => [
    h("a", { href: `#/patrols/${encodeURIComponent(patrol.id)}` }, patrol.name), patrol.pilot ?? "—", timeText(patrol.flown_at ?? patrol.created_at), jobText(patrol, job),
  ]));
}

/** Cases that the city's platform did not take, and why. */
function undelivered(rows, refresh) {
  const again = async () => {
    try {
      await api.retryDeliveries();
      await refresh();
    } catch (error) {
      toast(`未能重投：${error.message}`, { bad: true });
    }
  };
  return [table(["案卷号", "次数", "原因"], rows.map((one) => [h("a.mono", { href: `#/cases/${one.case_id}` }, one.number), countText(one.attempts), one.error ?? "—"])),
    session.may("admin") && h("p", {}, h("button", { type: "button", onclick: again }, "全部重投"))];
}

function jobText(patrol, job) {
  if (!job) return h("span.tag", { class: patrol.has_mosaic ? "good" : "" }, patrol.has_mosaic ? "已成图" : "未成图");
  const share = job.state === "running" && job.total ? ` ${percentText(job.done / job.total)}` : "";
  const tone = { done: "good", failed: "bad", running: "info" }[job.state] ?? "";
  return h("span.tag", { class: tone, title: job.error ?? job.what ?? "" }, `${JOB_KINDS[job.kind] ?? job.kind} ${JOB_STATES[job.state] ?? job.state}${share}`);
}

function table(heads, rows) {
  return h("table.list", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))));
}
