/** 设置: accounts, and the tables that the city hands over: grid, gazetteer, codes. */

import * as api from "./api.js";
import { fill, h, toast } from "./dom.js";
import * as session from "./session.js";
import { ROLES, countText } from "./words.js";

/** Mounts the screen; accounts and codes are an admin's, the grid an officer's. */
export async function mount(root) {
  const admin = session.may("admin");
  const accounts = h("section.panel", { "aria-label": "账号", hidden: !admin });
  const standard = h("p.muted");
  fill(root, h("div.page", {}, h("div.toolbar", {}, h("h1", {}, "设置")), h("div.page-scroll.setup", {},
    h("section.panel", { "aria-label": "数据导入" }, h("h2", {}, "数据导入"), standard,
      importer("单元网格", "GeoJSON 面，属性 cell（14–16 位编码）；整体替换", ".geojson,.json", (file) => putGeo("cells", file)),
      importer("地名", "GeoJSON 点，属性 name；用于自动填写位置描述", ".geojson,.json", (file) => putGeo("places", file)),
      admin && importer("分类代码", "XLSX：代码、立案条件、时限、节假日各一表", ".xlsx", putCodes)),
    accounts)));
  api.codes().then((found) => { standard.textContent = `现行分类标准：${found.standard}，${countText(found.codes.length)} 类`; }, () => {});
  if (admin) await showAccounts(accounts);
  return null;
}

function importer(name, help, accept, work) {
  const id = `import-${name}`;
  const status = h("span.muted", { role: "status" }, help);
  const pick = h("input.visually-hidden", { type: "file", id, accept, onchange: async () => {
    const [file] = pick.files;
    if (!file) return;
    status.textContent = `正在导入 ${file.name}…`;
    try {
      status.textContent = await work(file);
    } catch (error) {
      status.textContent = `未导入：${error.message}`;
      toast(`${name}未导入：${error.message}`, { bad: true, ms: 8000 });
    }
    pick.value = "";
  } });
  return h("div.import", {}, h("strong", {}, name), status, h("div", {}, pick, h("label.button", { for: id, tabindex: "0", role: "button", onkeydown: (event) => { if (["Enter", " "].includes(event.key)) pick.click(); } }, "选择文件")));
}

async function putGeo(what, file) {
  let body = null;
  try {
    body = JSON.parse(await file.text());
  } catch {
    throw new Error("文件不是 JSON");
  }
  const { loaded } = await api.putGeoJson(what, body);
  return `已导入 ${countText(loaded)} 条`;
}

async function putCodes(file) {
  const words = { codes: "代码", rules: "规则", conditions: "立案条件", deadlines: "时限", holidays: "节假日" };
  const taken = await api.putCodes(file);
  return `已导入：${Object.entries(words).filter(([key]) => taken[key]).map(([key, text]) => `${text} ${countText(taken[key])}`).join("，") || "无"}`;
}

async function showAccounts(holder) {
  const users = await api.users();
  const name = h("input", { type: "text", required: true, maxlength: "64", autocomplete: "off", size: "10" });
  const password = h("input", { type: "password", required: true, minlength: "10", maxlength: "256", autocomplete: "new-password", size: "14" });
  const role = h("select", {}, Object.entries(ROLES).map(([code, text]) => h("option", { value: code }, text)));
  const districts = h("input", { type: "text", size: "14", placeholder: "不限", pattern: "\\d{6}([ ,，]+\\d{6})*" });
  const run = async (work, done) => {
    try {
      await work();
      toast(done);
      await showAccounts(holder);
    } catch (error) {
      toast(error.message, { bad: true, ms: 8000 });
    }
  };
  const add = (event) => {
    event.preventDefault();
    const body = { name: name.value.trim(), role: role.value, password: password.value, districts: districts.value.match(/\d{6}/g) ?? [] };
    run(() => api.addUser(body), `已建立账号 ${body.name}`);
  };
  const close = (user) => confirm(`停用账号 ${user.name}？其登录将立即失效，历史记录保留。`) && run(() => api.closeUser(user.name), `已停用 ${user.name}`);
  const row = (user) => h("tr", {}, h("td", {}, user.name), h("td", {}, ROLES[user.role] ?? user.role), h("td.mono", {}, user.districts.join(" ") || "不限"),
    h("td", {}, user.active ? h("span.tag.good", {}, "启用") : h("span.tag", {}, "停用")),
    h("td", {}, user.active && user.name !== session.person().name ? h("button", { type: "button", onclick: () => close(user) }, "停用") : null));
  fill(holder, h("h2", {}, "账号"),
    h("table.list", {}, h("thead", {}, h("tr", {}, ["账号", "角色", "区县", "状态", ""].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, users.map(row))),
    h("form", { onsubmit: add, "aria-label": "新建账号" }, h("label", {}, "账号", name), h("label", {}, "密码（至少 10 位）", password), h("label", {}, "角色", role), h("label", {}, "限区县代码", districts), h("button.primary", { type: "submit" }, "新建")));
}
