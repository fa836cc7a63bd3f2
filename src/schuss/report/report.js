"use strict";
// Pointing at a run, in a figure or in the table, shows it everywhere. Without this script the page only lacks that.
const readout = document.getElementById("readout");
const parts = [...document.querySelectorAll("[data-run]")];

function show(run) {
  document.body.classList.toggle("pointing", run !== null);
  for (const part of parts) part.classList.toggle("shown", part.dataset.run === run);
  const words = run === null ? null : document.querySelector(`svg [data-run="${CSS.escape(run)}"] > title`);
  if (readout) readout.textContent = words ? words.textContent : "";
}

for (const part of parts) {
  part.addEventListener("pointerenter", () => show(part.dataset.run));
  part.addEventListener("pointerleave", () => show(null));
  if (part.tagName === "TR") {
    part.tabIndex = 0;
    part.addEventListener("focus", () => show(part.dataset.run));
    part.addEventListener("blur", () => show(null));
  }
}
if (readout) readout.hidden = false;

const copy = document.querySelector(".command button");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(".command code").textContent);
    copy.textContent = "Copied";
  });
}
