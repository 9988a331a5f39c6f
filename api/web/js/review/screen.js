/** 审核: one candidate after the other, by keyboard alone. */

import * as api from "../api.js";
import { fill, h, isTyping, segmented, select, toast } from "../dom.js";
import * as session from "../session.js";
import { CANDIDATE_STATES, FAMILIES, countText, labelText, reasonText } from "../words.js";
import { AHEAD, Images, chipOf } from "./images.js";
import { actionOf, showHelp } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Panel } from "./panel.js";
import { Photos } from "./photos.js";
import { Queue } from "./queue.js";
import { MODES, Viewer } from "./viewer.js";

// One desk for the whole visit: leaving for the map and coming back finds the same candidate, zoom and undo list.
let desk = null;

/** The reviewer's queue and outbox, made at first use and again for another person. */
export function openDesk() {
  const name = session.person()?.name ?? "";
  if (desk?.name !== name) {
    desk?.outbox.close();
    desk = { name, queue: new Queue(), outbox: new Outbox(name), images: new Images(), messages: new Map() };
    desk.queue.remember(name);
    desk.queue.isTaken = (id) => desk.outbox.holds(id);
    desk.queue.unsent = () => desk.outbox.size;
    watchOutbox(desk);
  }
  return desk;
}

function watchOutbox({ queue, outbox, messages }) {
  outbox.addEventListener("sent", ({ detail: { entry, answer } }) => {
    const candidate = answer?.candidate ?? answer;
    if (!candidate?.id) return;
    outbox.rebase(candidate.id, candidate.version);
    queue.refresh({ id: candidate.id, version: candidate.version, state: candidate.state });
    if (entry.kind === "decide" && entry.body.decision === "accept" && candidate.state === "accepted" && !candidate.case_id) queue.lacking.add(candidate.id);
    queue.changed();
  });
  outbox.addEventListener("refused", ({ detail: { entry, problem } }) => refused(queue, messages, entry, problem));
}

/** The server would not have it: say why, and bring the candidate back unless somebody else was first. */
async function refused(queue, messages, entry, problem) {
  const step = queue.done.find((one) => one.entryKey === entry.key);
  const name = step ? labelText(step.candidate.label) : entry.id;
  let fresh = null;
  try {
    fresh = await api.candidate(entry.id);
  } catch {
    // Gone or out of reach: the message below is all there is to say.
  }
  if (fresh && saysTheSame(entry, fresh)) { queue.refresh(fresh); return; }
  if (entry.kind === "undo") { queue.remove(entry.id); toast(`撤销未成：${problem.message}`, { bad: true, ms: 8000 }); return; }
  queue.forgetStep(entry.key);
  const elsewhere = fresh?.lease_by && fresh.lease_by !== session.person()?.name && new Date(fresh.lease_until) > new Date();
  if (fresh && !elsewhere && ["pending", "second"].includes(fresh.state)) {
    messages.set(entry.id, `刚才的结论未被接受：${problem.message}。请再审一次。`);
    queue.comeBack({ ...step?.candidate, ...fresh });
    return;
  }
  queue.remove(entry.id);
  const by = fresh?.reviewer ? `${fresh.reviewer} 已定为“${CANDIDATE_STATES[fresh.state] ?? fresh.state}${fresh.reason ? "：" + reasonText(fresh.reason) : ""}”` : problem.message;
  toast(`${name}：${elsewhere ? `${fresh.lease_by} 正在审核` : by}，您的结论未采用`, { bad: true, ms: 8000 });
}

function verdictText({ decision, reason }) {
  return { accept: "属实", look: "再看", reject: reasonText(reason) }[decision];
}

/** Whether the server holds already what was sent: the first sending arrived, and its answer was lost. */
function saysTheSame(entry, fresh) {
  if (entry.kind === "undo") return fresh.state === "pending";
  const me = session.person()?.name;
  const { decision, reason } = entry.body;
  if (decision === "reject") return fresh.state === "rejected" && fresh.reviewer === me && fresh.reason === reason;
  if (decision === "accept") return fresh.state === "accepted" ? fresh.reviewer === me : ["second", "on_site"].includes(fresh.state) && fresh.first_reviewer === me;
  return fresh.state === "second" && fresh.first_reviewer === me;
}

/** Mounts the screen into `root`; gives back what takes it down. */
export async function mount(root) {
  const screen = new ReviewScreen(root, openDesk());
  await screen.start();
  return () => screen.stop();
}

class ReviewScreen {
  constructor(root, { queue, outbox, images, messages }) {
    Object.assign(this, { root, queue, outbox, images, messages, shownId: undefined, pending: null });
    this.viewer = new Viewer(images);
    this.photos = new Photos(images);
    this.panel = new Panel((action, argument) => this.do(action, argument));
    this.off = new AbortController();
    fill(root, h("div.review", {}, this.toolbar(), h("div.review-body", {},
      h("div.review-main", {}, this.viewer.element, this.photos.element, this.photos.sheet, this.overlay = h("div.review-empty", { hidden: true })), this.panel.element)));
  }

  toolbar() {
    this.family = segmented("类别", [["", "全部"], ...Object.entries(FAMILIES)], this.queue.filter.family ?? "", (family) => this.queue.restart({ ...this.queue.filter, family }));
    this.patrols = h("span");
    this.modes = segmented("对比方式", MODES, this.viewer.mode, (mode) => this.viewer.setMode(mode));
    this.last = h("span.last-step");
    this.progress = h("span.progress-text", { role: "status", "aria-live": "off" });
    this.saved = h("span.saved", { role: "status" });
    return h("div.toolbar", {}, this.family, this.patrols, this.modes, this.last, h("span.spring"), this.progress, this.saved,
      h("button.quiet", { type: "button", onclick: showHelp, "aria-label": "键盘操作帮助" }, "键盘 ", h("kbd", {}, "?")));
  }

  async start() {
    const { signal } = this.off;
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    document.addEventListener("keyup", (event) => { if (event.key === " ") this.viewer.peek(false); }, { signal });
    this.queue.addEventListener("change", () => this.refresh(), { signal });
    this.queue.addEventListener("failed", ({ detail }) => this.failed(detail.error), { signal });
    this.outbox.addEventListener("change", () => this.tell(), { signal });
    this.viewer.addEventListener("shown", ({ detail }) => this.measured(detail.id), { signal });
    this.ticker = setInterval(() => { this.tell(); if (!this.queue.current) this.queue.more(); }, 5000);
    this.refresh();
    this.listPatrols();
    await this.queue.more();
  }

  stop() {
    this.off.abort();
    clearInterval(this.ticker);
    this.images.rest();
    this.viewer.stop();
  }

  async listPatrols() {
    try {
      const { items } = await api.patrols({ limit: 50 });
      const options = [["", "全部巡查"], ...items.map((one) => [one.id, one.name])];
      fill(this.patrols, select("巡查", options, this.queue.filter.patrol_id ?? "", (patrol_id) => this.queue.restart({ ...this.queue.filter, patrol_id })));
    } catch {
      // The filter is a convenience; the queue itself reports what is wrong.
    }
  }

  key(event) {
    if (isTyping(event) || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.target instanceof HTMLButtonElement && [" ", "Enter"].includes(event.key) && event.target.matches(":focus-visible")) return;
    const found = actionOf(event);
    if (!found) return;
    const repeatable = ["pan", "zoom"].includes(found.action);
    event.preventDefault();
    if (event.repeat && !repeatable) return;
    this.do(found.action, found.argument, event.timeStamp);
  }

  do(action, argument, since = performance.now()) {
    const candidate = this.queue.current;
    const simple = {
      undo: () => this.undo(since), help: showHelp, escape: () => this.photos.close(),
      mode: () => { this.viewer.setMode(argument); this.modes.show(argument); },
    }[action];
    if (simple) return simple();
    if (!candidate) return undefined;
    return {
      accept: () => this.decide("accept", null, since), reject: () => this.decide("reject", argument, since), look: () => this.decide("look", null, since),
      skip: () => this.skip(since), peek: () => this.viewer.peek(true), outline: () => this.viewer.toggleOutline(),
      zoom: () => this.viewer.zoom(argument), pan: () => this.viewer.pan(...argument), reset: () => this.viewer.reset(),
      photo: () => this.photos.cycle(), lastPhoto: () => this.photos.cycle(-1),
      address: () => this.panel.address.select(), map: () => { location.hash = `#/map?candidate=${encodeURIComponent(candidate.id)}`; },
    }[action]?.();
  }

  /** Notes the verdict (on disk first), then shows the next. */
  decide(decision, reason, since) {
    const candidate = this.queue.current;
    const body = { decision, address: decision === "accept" ? this.panel.writtenAddress : undefined, reason: reason ?? undefined };
    this.messages.delete(candidate.id);
    const entry = this.outbox.add("decide", candidate, body);
    this.pending = { since, id: this.queue.items[1]?.id };
    this.queue.decide({ decision, reason }, entry.key);
  }

  undo(since) {
    const step = this.queue.done.at(-1);
    if (!step) { toast("没有可撤销的操作"); return; }
    this.pending = { since, id: step.candidate.id };
    if (!this.outbox.cancel(step.entryKey)) this.outbox.add("undo", { id: step.candidate.id, version: null });
    this.queue.undo();
  }

  skip(since) {
    this.pending = { since, id: this.queue.items[1]?.id };
    if (!this.queue.skip()) toast("只剩这一条了");
  }

  /** Draws what changed; the pair first, for that is what the eye waits for. */
  refresh() {
    const { current, items, done } = this.queue;
    const message = current ? this.messages.get(current.id) ?? "" : "";
    if (this.shownId !== current?.id || message !== this.shownMessage) {
      this.shownId = current?.id;
      this.shownMessage = message;
      this.viewer.show(current);
      this.photos.show(current);
      this.panel.show(current, done.length > 0, message);
    }
    this.panel.undo.disabled = !done.length;
    this.images.prepare(items.slice(0, AHEAD + 1), done.map((step) => step.candidate));
    this.empty();
    this.tell();
  }

  empty() {
    const none = this.queue.loaded && !this.queue.current;
    this.overlay.hidden = !none;
    if (!none) return;
    const lacking = this.queue.lacking.size;
    fill(this.overlay, h("div.empty", {}, h("strong", {}, "审核队列已清空"),
      this.queue.waiting ? `其余 ${this.queue.waiting} 条正由他人审核。` : "新的疑点到达后会自动出现在这里。",
      lacking ? h("p", {}, `本次有 ${lacking} 条属实但缺少位置描述，暂未立卷：`, h("a", { href: "#/cases?tab=address" }, "补填位置")) : null));
  }

  tell() {
    const { queue, outbox } = this;
    const { perHour, medianS } = queue.pace();
    const left = queue.waiting === null ? "—" : countText(Math.max(queue.waiting, queue.items.length));
    fill(this.progress, "本次 ", h("b", {}, countText(queue.done.length)), "　待审 ", h("b", {}, left),
      perHour ? ["　速度 ", h("b", {}, countText(perHour)), ` 条/时（${medianS.toFixed(1)} 秒/条）`] : null);
    const step = queue.done.at(-1);
    fill(this.last, step ? ["上一条：", labelText(step.candidate.label), " ", h("b", { class: step.verdict.decision }, verdictText(step.verdict))] : null);
    if (!outbox.size) fill(this.saved, h("span.tag.good", {}, "已全部保存"));
    else if (!outbox.stuck) fill(this.saved, h("span.tag.info", {}, `正在保存 ${outbox.size}`));
    else fill(this.saved, h("span.tag.bad", {}, `${outbox.size} 条待上传`), " ", h("button", { type: "button", onclick: () => outbox.kick() }, "立即重试"));
  }

  failed(error) {
    this.viewer.show(null);
    fill(this.overlay, h("div.empty", {}, h("strong", {}, "审核队列载入失败"), error.message, h("p", {},
      h("button", { type: "button", onclick: () => this.queue.more() }, "重试"))));
    this.overlay.hidden = Boolean(this.queue.current);
    this.shownId = this.queue.current ? this.shownId : undefined;
  }

  /** From the key to the frame in which the next picture stands, as the browser's own timeline has it. */
  measured(id) {
    if (!this.pending || this.pending.id !== id) return;
    const { since } = this.pending;
    this.pending = null;
    const ready = this.images.get(chipOf(this.queue.current, "after")).state === "ready";
    requestAnimationFrame(() => requestAnimationFrame(() => performance.measure("key-to-image", { start: since, end: performance.now(), detail: { id, ready } })));
  }
}
