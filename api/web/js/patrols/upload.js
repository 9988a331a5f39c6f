/** Uploading a memory card: a few photographs a request, each tried again, what was refused named. */

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { countText } from "../words.js";

// A dropped connection costs at most this many photographs sent again; the server keeps equal bytes once.
const BATCH = 4;
const TRIES = 4;

/** The upload box of a patrol. `ondone()` when all that could be sent has been. */
export function uploader(patrolId, ondone) {
  const status = h("div.upload-status", { role: "status" });
  const sortie = h("input", { type: "text", maxlength: "32", value: "S01", size: "6", "aria-label": "架次" });
  const pick = h("input.visually-hidden", { type: "file", multiple: true, accept: "image/jpeg,image/tiff,.jpg,.jpeg,.tif,.tiff", id: "frames-pick", onchange: () => run([...pick.files]) });
  const box = h("div.upload", {}, h("label.button", { for: "frames-pick", tabindex: "0", role: "button", onkeydown: (event) => { if (["Enter", " "].includes(event.key)) pick.click(); } }, "选择照片"),
    pick, h("span.muted", {}, "或将照片拖到此处"), h("label.field", {}, "架次 ", sortie), status);
  for (const name of ["dragover", "dragleave", "drop"]) {
    box.addEventListener(name, (event) => {
      event.preventDefault();
      box.classList.toggle("over", name === "dragover");
      if (name === "drop") run([...event.dataTransfer.files]);
    });
  }
  const run = async (files) => {
    if (!files.length) return;
    pick.disabled = true;
    await send(patrolId, sortie.value.trim(), files, status);
    pick.disabled = false;
    pick.value = "";
    ondone();
  };
  return box;
}

async function send(patrolId, sortie, files, status) {
  const bar = h("progress", { max: String(files.length), value: "0", "aria-label": "上传进度" });
  const text = h("span");
  const refused = h("ul.refused");
  fill(status, bar, text, refused);
  let stored = 0;
  let known = 0;
  for (let i = 0; i < files.length; i += BATCH) {
    const part = files.slice(i, i + BATCH);
    const answer = await sendPart(patrolId, sortie, part, refused);
    stored += answer.stored;
    known += answer.known;
    bar.value = i + part.length;
    text.textContent = `${countText(i + part.length)} / ${countText(files.length)}`;
  }
  text.textContent = `已上传 ${countText(stored)} 张${known ? `，${countText(known)} 张此前已有` : ""}${refused.children.length ? `，${refused.children.length} 张未收` : ""}`;
}

/** One request; a refusal is found out file by file, so that one bad photograph stops no other. */
async function sendPart(patrolId, sortie, part, refused) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await api.uploadFrames(patrolId, sortie, part);
      return { stored: answer.stored.length, known: answer.known?.length ?? 0 };
    } catch (error) {
      if (error.passing && attempt < TRIES) {
        await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** attempt));
        continue;
      }
      if (part.length > 1) return sendSingly(patrolId, sortie, part, refused);
      refused.append(h("li", {}, `${part[0].name}：${error.message}`));
      return { stored: 0, known: 0 };
    }
  }
}

async function sendSingly(patrolId, sortie, part, refused) {
  const sum = { stored: 0, known: 0 };
  for (const file of part) {
    const one = await sendPart(patrolId, sortie, [file], refused);
    sum.stored += one.stored;
    sum.known += one.known;
  }
  return sum;
}
