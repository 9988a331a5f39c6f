/** The bureau's words for our codes, and how numbers, times and places are written. */

export const FAMILIES = { construction: "违法建设", sanitation: "市容环卫" };

export const LABELS = {
  new_building: "新建房屋", extension: "加建扩建", shed: "棚屋", steel_roof: "彩钢棚", wall: "围墙", foundation: "地基施工",
  demolished: "拆除", altered: "改建", waste_heap: "垃圾堆", exposed_waste: "暴露垃圾", litter: "散落垃圾",
  construction_waste: "建筑垃圾", spoil: "渣土堆", bulky_waste: "大件垃圾", change: "地物变化",
};

/** Which labels a person may give to what they draw. */
export const DRAWABLE = {
  construction: ["new_building", "extension", "shed", "steel_roof", "wall", "foundation"],
  sanitation: ["waste_heap", "litter", "construction_waste", "spoil"],
};

/** Reasons of a rejection, in the order of their number keys. */
export const REASONS = [
  ["not_a_problem", "非问题", "阴影、车辆、遮阳布等，不构成问题"],
  ["already_on_platform", "平台已有", "平台已有同一问题的案卷"],
  ["lawful", "合法已批", "有审批手续"],
  ["on_record", "历史存量在册", "存量台账已登记"],
  ["unclear", "不清需补拍", "影像不清，下次巡查补拍"],
  ["wrong", "类别位置错", "确有问题，但类别或位置有误"],
];
export const reasonText = (code) => REASONS.find(([key]) => key === code)?.[1] ?? code ?? "";

export const CANDIDATE_STATES = {
  pending: "待审核", second: "待复核", on_site: "现场核实", accepted: "已上报", rejected: "不属实", merged: "已归并", settled: "沿用前次结论", permitted: "审批范围内",
};

export const CASE_STATES = {
  filed: "已上报", accepted: "已受理", refused: "不予受理", registered: "已立案", dispatched: "已派遣", handling: "处置中", reported: "已反馈",
  checking: "核查中", closed: "已结案", returned: "已回退", voided: "已作废", withdrawn: "已撤回",
};

export const JOB_STATES = { queued: "排队", running: "进行中", done: "完成", failed: "失败", cancelled: "已取消" };
export const JOB_KINDS = { process_patrol: "影像拼接与问题识别", stitch: "影像拼接", detect: "问题识别", patrol: "拼接与识别", file: "上报入库" };

/** What a job is doing, by the word its stage says. */
const WORK = {
  features: "提取特征", matching: "影像匹配", adjustment: "平差解算", heights: "高程计算", mosaic: "拼接成图", change: "变化识别", waste: "垃圾识别", photographs: "照片识别", detect: "问题识别", stitch: "拼接",
};
export const workText = (what) => (what ? WORK[what.match(/[a-z]+/g)?.at(-1)] ?? what : "");

export const ROLES = { pilot: "飞手", reviewer: "审核员", officer: "值班员", platform: "平台", admin: "管理员" };

export const EVENTS = {
  "candidate.created": "发现疑点", "candidate.merged": "疑点归并", "candidate.reviewed": "审核", "candidate.reopened": "撤销审核",
  "case.filed": "上报立卷", "case.evidence": "证据", "case.platform": "平台回写", "case.reinspected": "复查", "case.withdrawn": "撤回案卷",
};

export const familyText = (code) => FAMILIES[code] ?? code ?? "";
export const labelText = (code) => LABELS[code] ?? code ?? "";

const ZONE = "Asia/Shanghai";
const full = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

const parts = (format, value) => Object.fromEntries(format.formatToParts(new Date(value)).map((part) => [part.type, part.value]));

/** 2026-11-22 08:30, Beijing time. */
export function timeText(value) {
  if (!value) return "—";
  const p = parts(full, value);
  return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}`;
}

/** 11-22 08:30:05, Beijing time. */
export function momentText(value) {
  if (!value) return "—";
  const p = parts(seconds, value);
  return `${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}`;
}

export const clockText = (value) => (value ? clock.format(new Date(value)) : "—");

export const percentText = (share) => (share == null ? "—" : `${Math.round(share * 100)}%`);
export const areaText = (m2) => (m2 == null ? "—" : m2 >= 100 ? `${Math.round(m2).toLocaleString("zh-CN")} m²` : `${m2.toFixed(1)} m²`);

export function heightText(m) {
  if (m == null) return "无高程对比";
  if (Math.abs(m) < 0.05) return "无变化";
  return m > 0 ? `升高 ${m.toFixed(1)} m` : `降低 ${(-m).toFixed(1)} m`;
}

export function permitText(candidate) {
  if (candidate.permitted == null) return "未提供审批数据";
  if (!candidate.permitted) return "未查到审批";
  const excess = candidate.excess_m2 > 0 ? `，超出 ${areaText(candidate.excess_m2)}` : "";
  return `${candidate.permit_no ?? "有审批"}${excess}`;
}

/** East and north, as a surveyor reads them out. */
export const placeText = (lon, lat) => (lon == null ? "—" : `${Math.abs(lon).toFixed(6)}°${lon < 0 ? "W" : "E"} ${Math.abs(lat).toFixed(6)}°${lat < 0 ? "S" : "N"}`);

export const countText = (n) => (n == null ? "—" : Number(n).toLocaleString("zh-CN"));
