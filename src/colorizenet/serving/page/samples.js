/** Sample photos for people who have none at hand; servers have them, other sites may not. */

import { byId, make } from "./elements.js";
import { t } from "./strings.js";
import { showNotice } from "./summary.js";

/** File names below `samples/`. */
const NAMES = [
  "dust-bowl-home.jpg",
  "moose.jpg",
  "cameraman.jpg",
  "nagasaki-boats-1865.jpg",
  "black-canyon-1871.jpg",
  "astronaut.jpg",
];

/**
 * @param {import("./jobs.js").Jobs} jobs Where a photo is added that a person chooses.
 */
export function offerSamples(jobs) {
  const list = byId("samples").querySelector("ul");
  for (const name of NAMES) {
    const address = `samples/${name}`;
    const title = name.replace(/(-\d+)?\.jpg$/, "").replaceAll("-", " ");
    const picture = make("img", { src: address, alt: "", width: "160", height: "120" });
    const label = t("app.samples.one", { name: title });
    const button = make("button", { type: "button", "aria-label": label }, picture);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const response = await fetch(address);
        if (!response.ok) throw new Error(`status ${response.status}`);
        const blob = await response.blob();
        jobs.add([{ file: new File([blob], name, { type: blob.type }), path: name }]);
      } catch {
        showNotice(t("error.network"));
      }
      button.disabled = false;
    });
    list?.append(make("li", {}, button));
  }
  byId("samples").hidden = false;
}
