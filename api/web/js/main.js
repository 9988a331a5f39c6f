/** The front door: log-in, the bar at the top, and which screen stands below it. */

import { fill, h, toast } from "./dom.js";
import { finishSignOn, login, logout, singleSignOn } from "./http.js";
import * as session from "./session.js";
import { ROLES } from "./words.js";

// [route, name, role that may see it, module]. Modules load when first opened.
const SCREENS = [
  ["review", "审核", "reviewer", () => import("./review/screen.js")],
  ["map", "地图", "any", () => import("./map/screen.js")],
  ["cases", "案卷", "any", () => import("./cases/screen.js")],
  ["patrols", "巡查", "pilot", () => import("./patrols/screen.js")],
  ["duty", "值班", "officer", () => import("./duty.js")],
  ["setup", "设置", "officer", () => import("./setup.js")],
];

const top = document.getElementById("top");
const main = document.getElementById("main");
let takeDown = null;
let turn = 0;

const allowed = () => SCREENS.filter(([, , role]) => (role === "any" ? true : session.may(role)));

/** `#/cases/ID?tab=x` as {name, id, query}. */
export function parseRoute(hash) {
  const [path, search] = hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  return { name, id: rest.map(decodeURIComponent).join("/"), query: new URLSearchParams(search ?? "") };
}

async function open() {
  const mine = (turn += 1);
  takeDown?.();
  takeDown = null;
  if (!session.current()) return showLogin();
  const screens = allowed();
  const route = parseRoute(location.hash);
  const found = screens.find(([name]) => name === route.name) ?? screens[0];
  drawTop(screens, found[0]);
  document.title = `${found[1]} · 云巡`;
  const root = h("div.screen", {}, h("p.loading", { role: "status" }, "载入中…"));
  fill(main, root);
  try {
    const module = await found[3]();
    if (mine !== turn) return undefined;
    const down = await module.mount(root, route);
    if (mine === turn) takeDown = down;
    else down?.();
  } catch (error) {
    if (mine !== turn) return undefined;
    console.error(error);
    fill(root, h("div.empty", {}, h("strong", {}, "页面未能打开"), error.message, h("p", {}, h("button", { type: "button", onclick: open }, "重试"))));
  }
  return undefined;
}

function drawTop(screens, here) {
  const { name, role } = session.person();
  top.hidden = false;
  fill(top,
    h("div.brand", {}, h("img", { src: "icon.svg", alt: "" }), "云巡"),
    h("nav", { "aria-label": "主导航" }, screens.map(([route, text]) => h("a", { href: `#/${route}`, "aria-current": route === here ? "page" : null }, text))),
    h("div.right", {}, h("span", {}, `${name}　${ROLES[role] ?? role}`), h("button", { type: "button", onclick: leave }, "退出")));
}

/** Logs out; what is still unsent stays on this machine until the same person is back. */
async function leave() {
  const unsent = Object.keys(localStorage).filter((key) => key.startsWith(`yunxun.outbox.${session.person()?.name}.`)).length;
  if (unsent && !confirm(`还有 ${unsent} 条结论未上传，将保存在本机，待您再次登录后补传。仍要退出？`)) return;
  await logout();
}

// Why the identity provider's log-in led nowhere, in words.
const SIGN_ON = {
  "no-role": "您的用户组未授予本系统角色，请联系管理员", "no-district": "您的用户组未对应任何区县，请联系管理员", closed: "您在本系统的账号已停用，请联系管理员",
  unavailable: "统一身份认证暂时无法连接，请稍后再试或使用本地账号", unauthorized: "统一身份认证未通过，请重试",
};

/** Comes back from the identity provider: `/?sso=ok`, or why not. */
async function comeBack() {
  const said = new URLSearchParams(location.search).get("sso");
  if (!said) return open();
  history.replaceState(null, "", location.pathname + location.hash);
  if (said !== "ok") return session.current() ? open() : showLogin(SIGN_ON[said] ?? SIGN_ON.unauthorized);
  try {
    await finishSignOn();
  } catch {
    return showLogin(SIGN_ON.unauthorized);
  }
  return open();
}

function showLogin(message = "") {
  top.hidden = true;
  document.title = "登录 · 云巡";
  const name = h("input", { name: "name", autocomplete: "username", required: true, value: localStorage.getItem("yunxun.name") ?? "" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const remember = h("input", { type: "checkbox", checked: true });
  const error = h("p.error", { role: "alert" }, message);
  const button = h("button.primary", { type: "submit" }, "登录");
  const other = h("div.login-other");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.textContent = "";
    try {
      await login(name.value.trim(), password.value, remember.checked);
      localStorage.setItem("yunxun.name", name.value.trim());
      await open();
    } catch (problem) {
      error.textContent = problem.status === 401 ? "账号或密码不正确" : problem.status === 0 ? "连接不上服务器，请检查网络" : problem.message;
      password.select();
    } finally {
      button.disabled = false;
    }
  };
  fill(main, h("div.login", {}, h("form", { onsubmit: submit, "aria-label": "登录" },
    h("div.title", {}, h("img", { src: "icon.svg", alt: "" }), h("div", {}, h("strong", {}, "云巡"), h("span", {}, "城市管理无人机巡查"))),
    h("label", {}, "账号", name), h("label", {}, "密码", password),
    h("label.check", {}, remember, "在本机保持登录"), error, button, other)));
  singleSignOn().then((found) => found && fill(other, h("a.button", { href: found.href }, found.title)), () => {});
  (name.value ? password : name).focus();
}

addEventListener("hashchange", open);
session.onEnded((why) => {
  takeDown?.();
  takeDown = null;
  turn += 1;
  showLogin(why === "expired" ? "登录已过期，请重新登录；未上传的结论已保存在本机。" : "");
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") return;
  toast(event.reason?.message ?? "出现意外错误", { bad: true });
});
comeBack();
