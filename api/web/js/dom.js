/** Elements by function: the app has no framework and no build step. Text is always text, never markup. */

/**
 * Makes an element.
 * @param {string} tag - Name, with `.class` and `#id` allowed: "div.row#x".
 * @param {Object} [props] - `on*` are listeners, `dataset` an object, `style` an object, other names attributes; null and false are left out.
 * @param {...*} children - Elements, strings, numbers, arrays of those; null and false are left out.
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const [, name, rest] = /^([a-z0-9-]+)(.*)$/i.exec(tag);
  const element = document.createElement(name);
  for (const part of rest.match(/[.#][^.#]+/g) ?? []) {
    if (part[0] === ".") element.classList.add(part.slice(1));
    else element.id = part.slice(1);
  }
  setProps(element, props ?? {});
  append(element, children);
  return element;
}

function setProps(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.classList.add(...String(value).split(/\s+/).filter(Boolean));
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces what `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A set of buttons of which one is chosen, worked by arrow keys as a radio group is. */
export function segmented(label, options, chosen, onchoose) {
  const group = h("div.seg", { role: "radiogroup", "aria-label": label });
  const show = (value) => {
    for (const button of group.children) {
      const on = button.dataset.value === String(value);
      button.setAttribute("aria-checked", on);
      button.tabIndex = on ? 0 : -1;
    }
  };
  for (const [value, text, title] of options) {
    const choose = () => { show(value); onchoose(value); };
    group.append(h("button", { type: "button", role: "radio", dataset: { value: String(value) }, title, onclick: choose }, text));
  }
  group.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = [...group.children];
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
  show(chosen);
  group.show = show;
  return group;
}

/** A drop-down: `options` are [value, text] pairs. After a choice the keys belong to the screen again. */
export function select(label, options, chosen, onchange) {
  const element = h("select", { "aria-label": label, onchange: () => { element.blur(); onchange(element.value); } });
  for (const [value, text] of options) element.append(h("option", { value }, text));
  element.value = chosen ?? "";
  return element;
}

/** A short message at the corner. With `action` it has a button and stays longer. */
export function toast(text, { bad = false, action = null, ms = action ? 9000 : 4000 } = {}) {
  const box = document.getElementById("toasts");
  const item = h("div.toast", { class: bad ? "bad" : "" }, h("span", {}, text));
  const close = () => item.remove();
  if (action) item.append(h("button", { type: "button", onclick: () => { close(); action.run(); } }, action.text));
  box.append(item);
  while (box.children.length > 4) box.firstElementChild.remove();
  setTimeout(close, ms);
  return close;
}

/** Opens a modal dialog; it leaves the document when closed. */
export function openDialog(title, body, buttons = []) {
  const dialog = h("dialog", { "aria-label": title });
  const close = () => dialog.close();
  dialog.append(
    h("header", {}, h("h2", {}, title), h("button.quiet", { type: "button", "aria-label": "关闭", onclick: close }, "✕")),
    h("div.body", {}, body),
  );
  if (buttons.length) dialog.append(h("footer", {}, buttons));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  // The first thing to do is in the body, not the button that closes.
  dialog.querySelector(".body :is(input, select, textarea), footer button")?.focus();
  return dialog;
}

/** Whether a key press belongs to a field that is being typed in. */
export function isTyping(event) {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true;
  return target.tagName === "INPUT" && !["checkbox", "radio", "button", "range"].includes(target.type);
}
