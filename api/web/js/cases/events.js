/** 动态: events newest first, and new ones as they happen. */

import * as api from "../api.js";
import { h, select, toast } from "../dom.js";
import { EVENTS, FAMILIES, familyText, momentText } from "../words.js";
import { eventText } from "./detail.js";

const PAGE = 50;
const KEEP = 500;
const AGAIN_MS = 3000;

/** Mounts the list into `body`, its filter into `bar`. */
export async function mountEvents(bar, body) {
  const off = new AbortController();
  const list = h("ol.events", { "aria-label": "动态，最新在前", "aria-live": "off" });
  const more = h("button", { type: "button", onclick: () => older() }, "更早");
  const live = h("span.tag", { role: "status" });
  let family = "";
  const shown = new Set();
  const add = (event, front) => {
    if (shown.has(event.id) || (family && event.data?.family !== family)) return;
    shown.add(event.id);
    list[front ? "prepend" : "append"](row(event));
    if (front) none.hidden = true;
    if (front && list.children.length > KEEP) list.lastElementChild.remove();
  };
  let next = null;
  const older = async (fresh = false) => {
    const page = await api.recentEvents({ before: fresh ? null : next, limit: PAGE, family });
    if (fresh) { shown.clear(); list.replaceChildren(); }
    for (const event of page.events) add(event, false);
    next = page.before;
    more.hidden = page.events.length < PAGE;
    none.hidden = list.children.length > 0;
  };
  bar.append(select("类别", [["", "全部类别"], ...Object.entries(FAMILIES)], "", (value) => { family = value; older(true); }), h("span.spring"), live);
  const none = h("div.empty", { hidden: true }, h("strong", {}, "还没有动态"));
  body.append(list, none, h("div.more", {}, more));
  await older(true);
  follow(() => list.firstElementChild?.dataset.id ?? "now", (event) => add(event, true), (on) => {
    live.textContent = on ? "实时更新" : "连接中断，正在重连";
    live.className = `tag ${on ? "good" : "warn"}`;
  }, off.signal);
  return () => off.abort();
}

/** Reads the stream from the newest event known, again and again until aborted. */
async function follow(from, take, tell, signal) {
  while (!signal.aborted) {
    try {
      const response = await api.eventStream(from(), signal);
      tell(true);
      await readLines(response.body, (line) => {
        if (line.startsWith("data: {")) take(JSON.parse(line.slice(6)));
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 410) toast("离线过久，较早的动态请刷新查看");
    }
    tell(false);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function readLines(stream, take) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
}

function row(event) {
  const { data = {} } = event;
  const isCase = event.type.startsWith("case.");
  const href = isCase ? `#/cases/${event.subject}` : `#/map?candidate=${encodeURIComponent(event.subject)}`;
  return h("li", { dataset: { id: event.id, type: event.type } },
    h("time.mono", { datetime: event.time }, momentText(event.time)),
    h("span.tag", { class: tone(event) }, EVENTS[event.type] ?? event.type),
    data.family ? h("span.tag", { class: data.family }, familyText(data.family)) : h("span"),
    h("a", { href }, isCase ? data.number ?? "案卷" : `疑点 ${event.subject.split("/").pop()}`),
    h("span.text", {}, isCase && event.type === "case.filed" ? data.address : eventText(event)), h("span.muted", {}, data.actor ?? event.actor ?? ""));
}

function tone({ type, data }) {
  if (type === "case.filed") return "good";
  if (type === "case.withdrawn") return "bad";
  if (type === "candidate.reviewed") return data.decision === "reject" ? "" : "info";
  return type === "case.platform" ? "warn" : "";
}
