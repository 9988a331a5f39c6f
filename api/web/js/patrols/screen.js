/** 巡查: patrols, their photographs, and the jobs that make mosaics and candidates of them. */

import * as api from "../api.js";
import { fill, h, openDialog, toast } from "../dom.js";
import { newKey } from "../http.js";
import * as session from "../session.js";
import { JOB_KINDS, JOB_STATES, countText, percentText, timeText, workText } from "../words.js";
import { uploader } from "./upload.js";

const POLL_MS = 1500;

/** Mounts the list; `#/patrols/ID` opens one. */
export async function mount(root, route) {
  const screen = new PatrolScreen(root);
  await screen.start(route.id);
  return () => screen.stop();
}

class PatrolScreen {
  constructor(root) {
    this.list = h("ul.patrol-list", { "aria-label": "巡查列表" });
    this.detail = h("section.patrol-detail", { "aria-label": "巡查详情" });
    const fresh = session.may("pilot") ? h("button.primary", { type: "button", onclick: () => this.create() }, "新建巡查") : null;
    fill(root, h("div.page", {}, h("div.toolbar", {}, h("h1", {}, "巡查"), h("span.spring"), fresh), h("div.two", {}, this.list, this.detail)));
  }

  async start(id) {
    await this.refresh();
    const first = id || this.items[0]?.id;
    if (first) await this.open(first);
    else fill(this.detail, h("div.empty", {}, h("strong", {}, "还没有巡查"), "新建一次巡查，上传照片后即可拼接和识别。"));
  }

  stop() {
    clearTimeout(this.poll);
    this.stopped = true;
  }

  async refresh() {
    const { items } = await api.patrols({ limit: 100 });
    this.items = items;
    fill(this.list, items.map((one) => h("li", {}, h("button", {
      type: "button", "aria-current": one.id === this.openId ? "true" : null, onclick: () => { history.replaceState(null, "", `#/patrols/${one.id}`); this.open(one.id); },
    }, h("strong", {}, one.name), h("span.muted", {}, timeText(one.flown_at ?? one.created_at)), h("span.tag", { class: one.has_mosaic ? "good" : "" }, one.has_mosaic ? "已成图" : "未成图")))));
  }

  async open(id) {
    this.openId = id;
    clearTimeout(this.poll);
    for (const button of this.list.querySelectorAll("button")) button.removeAttribute("aria-current");
    const index = this.items.findIndex((one) => one.id === id);
    this.list.children[index]?.firstElementChild.setAttribute("aria-current", "true");
    const patrol = await api.patrol(id);
    if (this.openId !== id || this.stopped) return;
    this.jobs = h("ul.jobs", { "aria-label": "任务", "aria-live": "polite" });
    const sorties = h("section", { "aria-label": "架次" });
    api.sorties(id).then((plan) => showSorties(sorties, id, plan), () => sorties.remove());
    fill(this.detail, heading(patrol), facts(patrol), sorties, session.may("pilot") ? uploader(id, () => this.look(id)) : null,
      h("div.row", {}, h("h2", {}, "任务"), h("span.spring"), session.may("pilot") && h("button.primary", { type: "button", onclick: () => this.run(id) }, "开始拼接与识别")), this.jobs);
    await this.look(id);
  }

  /** Shows the jobs now, and again while any of them moves. */
  async look(id) {
    clearTimeout(this.poll);
    let jobs = [];
    try {
      jobs = await api.patrolJobs(id);
    } catch (error) {
      if (!error.passing) throw error;
    }
    if (this.openId !== id || this.stopped) return;
    fill(this.jobs, jobs.length ? jobs.map((job) => this.job(job, id)) : h("li.muted", {}, "还没有任务"));
    const moving = jobs.some((job) => ["queued", "running"].includes(job.state));
    if (this.moved && !moving) { this.moved = false; await this.refresh(); await this.open(id); return; }
    this.moved = moving;
    this.poll = setTimeout(() => this.look(id), moving ? POLL_MS : POLL_MS * 6);
  }

  job(job, id) {
    const act = (work, text) => h("button", { type: "button", disabled: job.cancel_asked, onclick: async (event) => {
      event.target.disabled = true;
      try { await work(job.id); } catch (error) { toast(error.message, { bad: true }); }
      await this.look(id);
    } }, text);
    const share = job.total ? job.done / job.total : 0;
    const tone = { done: "good", failed: "bad", running: "info" }[job.state] ?? "";
    return h("li.panel.job", { dataset: { state: job.state } },
      h("div.row", {}, h("span.tag", { class: tone }, JOB_STATES[job.state] ?? job.state), h("strong", {}, JOB_KINDS[job.kind] ?? job.kind), h("span.muted", {}, timeText(job.created_at)),
        job.attempts > 1 && h("span.tag.warn", {}, `第 ${job.attempts} 次`), h("span.spring"),
        session.may("pilot") && ["queued", "running"].includes(job.state) && act(api.cancelJob, "取消"),
        session.may("pilot") && ["failed", "cancelled"].includes(job.state) && act(api.retryJob, "重试")),
      job.state === "running" && h("div.row", {}, h("progress", { max: "1", value: String(share), "aria-label": "进度" }), h("span", {}, job.total ? `${percentText(share)}` : ""), h("span.muted", {}, workText(job.what))),
      job.error && h("p.notice.bad", {}, job.state === "failed" ? "" : "上次出错：", job.error), job.result && resultText(job.result));
  }

  async run(id) {
    try {
      await api.startJob(id, {}, newKey());
    } catch (error) {
      toast(error.status === 409 ? "这次巡查还没有照片，请先上传" : error.message, { bad: true, ms: 6000 });
    }
    await this.look(id);
  }

  create() {
    const today = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai" }).format(new Date());
    const field = (name, text, props = {}) => h("label.field", {}, h("span", {}, text), h("input", { name, type: "text", maxlength: "64", ...props }));
    const baselines = h("select", { name: "baseline_patrol_id" }, h("option", { value: "" }, "无"), this.items.filter((one) => one.has_mosaic).map((one) => h("option", { value: one.id }, one.name)));
    const form = h("form.draw-form", { method: "dialog" }, field("name", "名称", { required: true, value: `${today}-`, maxlength: "120" }), field("place", "地点", { placeholder: "如：兰山区北园路片区", maxlength: "200" }),
      h("label.field", {}, h("span", {}, "前期"), baselines), field("pilot", "飞手", { value: session.person().name }), field("aircraft", "飞行器"), field("approval_no", "批复号"),
      h("div.form-end", {}, h("button.primary", { type: "submit" }, "建立")));
    const dialog = openDialog("新建巡查", form);
    const key = newKey();
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
      try {
        const made = await api.newPatrol(body, key);
        dialog.close();
        await this.refresh();
        await this.open(made.id);
      } catch (error) {
        toast(`未能建立：${error.message}`, { bad: true });
      }
    });
  }
}

/** The plan's sorties: what is flown over the link, and what a pilot has to fly with a file. */
function showSorties(holder, id, plan) {
  const take = async (one, kind) => {
    const blob = await api.sortieFile(id, one.name, kind);
    if (!blob) { toast("文件不在服务器上，请重新规划", { bad: true }); return; }
    const link = h("a", { href: URL.createObjectURL(blob), download: `${id}-${one.name}.${kind}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const byHand = plan.sorties.filter((one) => one.by_hand).length;
  const row = (one) => h("tr", {}, h("td", {}, one.name), h("td", {}, one.crew), h("td", {}, timeText(one.start_at)), h("td", {}, `${Math.round(one.duration_s / 60)} 分钟`), h("td", {}, `${(one.distance_m / 1000).toFixed(1)} km`), h("td", {}, countText(one.photos)),
    h("td", {}, one.by_hand ? h("span.tag.warn", {}, "请飞手执行") : h("span.tag.info", {}, "数传自动执行")), h("td", {}, one.files.map((kind) => h("button", { type: "button", title: FILES[kind], onclick: () => take(one, kind) }, `.${kind}`))));
  fill(holder, h("h2", {}, `架次 ${countText(plan.sorties.length)}`),
    byHand > 0 && h("p.notice", { role: "note" }, `机型 ${plan.aircraft}：${countText(byHand)} 个架次请飞手执行。下载 .kmz 拷入遥控器（DJI Pilot 2 › 航线 › 导入），在起飞点核对首航点与高度后起飞；降落后把存储卡照片按架次上传。`),
    h("div.sorties", {}, h("table.list", {}, h("thead", {}, h("tr", {}, ["架次", "机组", "计划起飞", "时长", "航程", "照片", "执行方式", "航线文件"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, plan.sorties.map(row)))));
}

const FILES = { kmz: "大疆航线（DJI Pilot 2）", plan: "QGroundControl 航线", waypoints: "Mission Planner 航点" };

/** What came of a job: candidates, how long each stage took, which photographs were set aside and why. */
function resultText(result) {
  const { candidates, stages = {}, frames_set_aside: aside = [] } = result;
  const took = Object.entries(stages).map(([name, { wall_s, resumed }]) => `${workText(name)} ${resumed ? "沿用" : secondsText(wall_s)}`);
  const lines = [typeof candidates === "number" ? `疑点 ${countText(candidates)}` : null, ...took].filter(Boolean);
  return [lines.length > 0 && h("p.muted", {}, lines.join("　")), aside.length > 0 && h("details", {}, h("summary", {}, `搁置照片 ${countText(aside.length)} 张`), h("ul.refused", {}, aside.map((one) => h("li", {}, `${one.file}：${one.why}`))))];
}

const secondsText = (s) => (s >= 90 ? `${Math.round(s / 60)} 分钟` : `${Math.round(s)} 秒`);

function heading(patrol) {
  return h("div.row", {}, h("h2.big", {}, patrol.name), h("span.spring"),
    patrol.has_mosaic && h("a.button", { href: `#/map?patrol=${encodeURIComponent(patrol.id)}` }, "在地图上查看"));
}

function facts(patrol) {
  const { report } = patrol;
  const rows = [
    ["地点", patrol.place ?? "—"], ["飞行时间", timeText(patrol.flown_at)], ["飞手", patrol.pilot ?? "—"], ["飞行器", patrol.aircraft ?? "—"], ["批复号", patrol.approval_no ?? "—"],
    ["前期影像", patrol.has_before ? "有" : "无"], ["编号", h("span.mono", {}, patrol.id)],
  ];
  if (report) {
    rows.push(["照片", `${countText(report.frames_matched)} / ${countText(report.frames_total)} 张匹配`], ["地面分辨率", report.gsd_m ? `${(report.gsd_m * 100).toFixed(1)} cm` : "—"],
      ["连接点误差", report.tie_rms_px ? `${report.tie_rms_px.toFixed(2)} 像素` : "—"]);
  }
  return h("dl.facts.wide-facts", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
