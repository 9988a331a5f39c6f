/** 动态: events newest first, and new ones as they happen. */

import * as api from "../api.js";
import { h, select, toast } from "../dom.js";
import { EVENTS, FAMILIES, familyText, labelText, momentText } from "../words.js";
import { eventText } from "./detail.js";

const PAGE = 50;
const KEEP = 500;
const AGAIN_MS = 3000;

/** Mounts the list into `body`, its filter into `bar`. */
export async function mountEvents(bar, body) {
  const off = new AbortController();
  const list = h("ol.events", { "aria-label": "动态，最新在前", "aria-live": "off" });
  const more = h("button", { type: "button", onclick: () => older() }, "更早");
  const live = h("span.tag");
  let family = "";
  const shown = new Set();
  const add = (event, front) => {
    if (shown.has(event.id) || (family && event.data?.family !== family)) return;
    shown.add(event.id);
    list[front ? "prepend" : "append"](row(event));
    if (front && list.children.length > KEEP) list.lastElementChild.remove();
  };
  const older = async () => {
    const before = list.lastElementChild?.dataset.id;
    const events = await api.recentEvents({ before, limit: PAGE, family });
    for (const event of events) add(event, false);
    more.hidden = events.length < PAGE;
  };
  bar.append(select("类别", [["", "全部类别"], ...Object.entries(FAMILIES)], "", (value) => { family = value; shown.clear(); list.replaceChildren(); older(); }), h("span.spring"), live);
  body.append(list, h("div.more", {}, more));
  await older();
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
    h("a", { href }, isCase ? data.number ?? "案卷" : labelText(data.label) || event.subject.split("/").pop()),
    h("span.text", {}, eventText(event)), h("span.muted", {}, data.actor ?? event.actor ?? ""));
}

function tone({ type, data }) {
  if (type === "case.filed") return "good";
  if (type === "case.withdrawn") return "bad";
  if (type === "candidate.reviewed") return data.decision === "reject" ? "" : "info";
  return type === "case.platform" ? "warn" : "";
}
