/** What each key does on the review screen; the help is made from the same table. */

import { h, openDialog } from "../dom.js";
import { REASONS } from "../words.js";

/** [keys, name of the action, argument, help text, shown keys]. Keys are `event.key` in lower case, or `event.code`. */
export const KEYS = [
  [["a", "enter"], "accept", null, "属实，立案上报", "A"],
  [["r", "x"], "reject", "not_a_problem", "不属实（非问题）", "R"],
  ...REASONS.map(([code, text], i) => [[String(i + 1)], "reject", code, `不属实：${text}`, String(i + 1)]),
  [["l"], "look", null, "交他人再看一次", "L"],
  [["z", "u", "backspace"], "undo", null, "撤销上一步（次数不限）", "Z / U"],
  [["s", "j"], "skip", null, "跳过，稍后再审", "S"],
  [["e"], "address", null, "填写位置描述", "E"],
  [[" "], "peek", null, "按住：前后对调", "空格"],
  [["b"], "mode", "side", "并排", "B"],
  [["w"], "mode", "swipe", "卷帘", "W"],
  [["f"], "mode", "flicker", "闪烁", "F"],
  [["o"], "outline", null, "显示或隐藏轮廓", "O"],
  [["v"], "photo", null, "照片放大，再按换下一张", "V"],
  [["p"], "lastPhoto", null, "上一张照片", "P"],
  [["+", "="], "zoom", 1.4, "放大", "+"],
  [["-", "_"], "zoom", 1 / 1.4, "缩小", "−"],
  [["0"], "reset", null, "恢复原大", "0"],
  [["arrowleft"], "pan", [-0.12, 0], "平移", "方向键"],
  [["arrowright"], "pan", [0.12, 0]],
  [["arrowup"], "pan", [0, -0.12]],
  [["arrowdown"], "pan", [0, 0.12]],
  [["m"], "map", null, "在地图上查看", "M"],
  [["escape"], "escape", null, "关闭放大的照片", "Esc"],
  [["?", "h"], "help", null, "本帮助", "?"],
];

const BY_KEY = new Map(KEYS.flatMap(([keys, action, argument]) => keys.map((key) => [key, { action, argument }])));

/** The action of a key press, or null. Chords with Ctrl, Alt or Meta belong to the browser, except Ctrl+Z. */
export function actionOf(event) {
  if (event.altKey || event.metaKey) return null;
  if (event.ctrlKey) return event.key.toLowerCase() === "z" ? { action: "undo", argument: null } : null;
  // Under a Chinese input method `key` is "Process"; `code` still tells the letter.
  const letter = /^(?:Key([A-Z])|Digit(\d)|Numpad(\d))$/.exec(event.code ?? "");
  const key = event.key === "Process" && letter ? (letter[1] ?? letter[2] ?? letter[3]).toLowerCase() : event.key.toLowerCase();
  return BY_KEY.get(key) ?? null;
}

/** Opens the table of keys. */
export function showHelp() {
  const rows = KEYS.filter(([, , , text]) => text).map(([, , , text, keys]) => h("li", {}, h("span.keys", {}, keys.split(" / ").map((key) => h("kbd", {}, key))), text));
  openDialog("键盘操作", [h("ul.key-list", {}, rows),
    h("p.muted", {}, "放大倍数和对比方式在换下一条时保持不变。结论先存在本机再上传，断网或刷新不会丢失。")]);
}
