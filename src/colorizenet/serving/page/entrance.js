/** The ways in which photos come to the page: chosen, photographed, dropped, pasted. */

import { byId } from "./elements.js";
import { hasFiles, readChosenFiles, readTransferredFiles } from "./files.js";
import { t } from "./strings.js";
import { announce, showNotice } from "./summary.js";

/** @typedef {import("./jobs.js").Jobs} Jobs */

/** @param {Jobs} jobs Where the photos are added. */
export function connectFiles(jobs) {
  /** @param {import("./files.js").Files} files */
  const add = ({ found, leftOut }) => {
    if (found.length) {
      jobs.add(found);
      announce(t("app.added", { count: found.length }));
    } else if (!leftOut) {
      showNotice(t("app.nofiles"));
    }
    if (leftOut) showNotice(t("app.leftout", { count: leftOut }));
  };
  for (const id of ["files", "folder", "camera"]) {
    /** @type {HTMLInputElement} */
    const input = byId(id);
    const read = () => {
      if (input.files?.length) add(readChosenFiles(input.files));
      input.value = ""; // so that the same file can be chosen again
    };
    input.addEventListener("change", read);
    if (input.files?.length) read(); // chosen while the page was starting
    for (const button of document.querySelectorAll(`button[data-choose="${id}"]`)) {
      button.addEventListener("click", () => input.click());
      /** @type {HTMLButtonElement} */ (button).disabled = false;
    }
  }
  document.addEventListener("paste", async (event) => {
    if (!hasFiles(event.clipboardData) || !event.clipboardData) return;
    event.preventDefault();
    add(await readTransferredFiles(event.clipboardData));
  });
  connectDrop(add);
}

/** @param {(files: import("./files.js").Files) => void} add */
function connectDrop(add) {
  const overlay = byId("overlay"); // a popover, which dialogs do not cover
  let depth = 0; // elements entered less elements left
  const show = (/** @type {number} */ entered) => {
    depth = entered;
    overlay.togglePopover(depth > 0);
  };
  addEventListener("dragenter", (event) => hasFiles(event.dataTransfer) && show(depth + 1));
  addEventListener("dragleave", (event) => hasFiles(event.dataTransfer) && show(depth - 1));
  addEventListener("dragover", (event) => {
    if (!hasFiles(event.dataTransfer) || !event.dataTransfer) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event.dataTransfer) || !event.dataTransfer) return;
    event.preventDefault();
    show(0);
    add(await readTransferredFiles(event.dataTransfer));
  });
}
