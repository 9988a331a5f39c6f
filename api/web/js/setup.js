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
  const kept = h("section.panel", { "aria-label": "留存与容量" }, h("h2", {}, "留存与容量"), h("p.muted", {}, "统计中…"));
  fill(root, h("div.page", {}, h("div.toolbar", {}, h("h1", {}, "设置")), h("div.page-scroll.setup", {},
    h("section.panel", { "aria-label": "数据导入" }, h("h2", {}, "数据导入"), standard,
      importer("单元网格", "GeoJSON 面，属性 cell（14–16 位编码）；整体替换", ".geojson,.json", (file) => putGeo("cells", file)),
      importer("地名", "GeoJSON 点，属性 name；用于自动填写位置描述", ".geojson,.json", (file) => putGeo("places", file)),
      admin && importer("分类代码", "XLSX：代码、立案条件、时限、节假日各一表", ".xlsx", putCodes)),
    kept, accounts)));
  api.retention().then((told) => showKept(kept, told), (error) => fill(kept, h("h2", {}, "留存与容量"), h("p.muted", {}, `未能统计：${error.message}`)));
  api.codes().then((found) => { standard.textContent = `现行分类标准：${found.standard}，${countText(found.codes.length)} 类`; }, () => {});
  if (admin) await showAccounts(accounts);
  return null;
}

// The rules' own sentences, in the bureau's words; numbers stay where they are.
const RULES = [
  [/^shows no candidate: one in (\d+) is kept$/, "无疑点照片，每 $1 张留 1 张"], [/^shows no candidate, within (\d+) days$/, "无疑点照片，$1 天内"], [/^shows no candidate, over (\d+) days$/, "无疑点照片，超过 $1 天"],
  [/^shows rejected candidates alone, (within|over) (\d+) days$/, (_, how, n) => `仅含不属实疑点的照片，${how === "over" ? `超过 ${n} 天` : `${n} 天内`}`],
  [/^shows a case, (within|over) (\d+) days$/, (_, how, n) => `含已上报问题的照片，${how === "over" ? `超过 ${n} 天` : `${n} 天内`}`], [/^shows a candidate that waits for review$/, "含待审疑点的照片"],
  [/^a job of its patrol is open$/, "正在处理的巡查照片"], [/^mosaics and other products: kept$/, "正射影像等成果（长期保留）"], [/^evidence of a case that is not ended$/, "未办结案卷的证据"],
  [/^evidence of an ended case, within its term$/, "已办结案卷的证据，保存期内"], [/^evidence of a closed case, over (\d+) years$/, "已结案卷的证据，超过 $1 年"],
  [/^evidence of a case that was refused or taken back, over (\d+) years$/, "不予受理或撤回案卷的证据，超过 $1 年"],
];

function ruleText(rule) {
  const found = RULES.find(([pattern]) => pattern.test(rule));
  return found ? rule.replace(...found) : rule;
}

function sizeText(bytes) {
  return bytes >= 1e12 ? `${(bytes / 1e12).toFixed(2)} TB` : bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** What is kept, what tonight's rules would delete, and how that stands to the budget. */
function showKept(holder, told) {
  const rows = (tallies, verb, tone) => Object.entries(tallies).filter(([, one]) => one.files).map(([rule, one]) => h("tr", {}, h("td", {}, ruleText(rule)), h("td", {}, h("span.tag", { class: tone }, verb)), h("td", {}, countText(one.files)), h("td", {}, sizeText(one.size_bytes))));
  const { sweep } = told;
  fill(holder, h("h2", {}, "留存与容量"),
    h("p", { class: told.over_budget ? "notice bad" : "muted" }, `已用 ${sizeText(told.used_gb * 1e9)}，预算 ${sizeText(told.budget_gb * 1e9)}，磁盘剩余 ${sizeText(told.free_gb * 1e9)}。${told.over_budget ? "已超预算：请扩容或缩短留存期。" : ""}${told.enabled ? "到期文件由系统每夜删除，逐件留痕。" : "自动删除未启用，下列“到期”文件不会被删除。"}`),
    h("table.list", {}, h("thead", {}, h("tr", {}, ["内容", "处理", "件数", "容量"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows(told.going, "到期", "warn"), rows(told.staying, "保留", "good"))),
    h("p.muted", {}, `全市巡查一遍约 ${countText(sweep.photos)} 张照片、${sizeText(sweep.sweep_gb * 1e9)}；按规则抽稀后留 ${sizeText(sweep.kept_of_a_sweep_gb * 1e9)}，长期稳定占用约 ${sizeText(sweep.steady_gb * 1e9)}。`));
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
