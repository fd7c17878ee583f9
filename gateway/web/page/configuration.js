// Which value has each setting, and from where.
import { fill, h, table } from "./dom.js";
import * as f from "./format.js";
import { ask } from "./live.js";

export function show(main) {
  const box = h("div", {}, h("p", { class: "empty" }, "reading the files")), words = h("input", { type: "search", id: "words", placeholder: "Words of a key", autocomplete: "off" });
  const only = h("input", { type: "checkbox", id: "only", checked: true });
  main.append(h("h1", {}, "Settings"), h("p", { class: "lead" }, "As they run. Secrets are not shown; nothing can be changed here."),
    h("div", { class: "filters" }, h("label", { class: "grow", for: "words" }, "Search", words), h("label", { for: "only", class: "check" }, "Only what is set", only)), box);
  let settings = [], gone = false;
  const draw = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = settings.filter((one) => (!only.checked || one.origin !== "default") && wanted.every((word) => `${one.file} ${one.key}`.toLowerCase().includes(word)));
    const files = Map.groupBy ? Map.groupBy(fits.slice(0, 600), (one) => one.file) : group(fits.slice(0, 600));
    fill(box, fits.length === 0 && h("p", { class: "empty" }, "No setting fits."), [...files].map(([file, rows]) => h("div", { class: "card" }, h("h2", {}, file),
      table([["Key"], ["Value"], ["From"]], rows.map((one) => [h("code", {}, one.key), h("span", { class: one.origin === "default" ? "small" : "changed" }, f.value(one.value) || "(empty)"), h("span", { class: "small" }, one.origin)]), `Settings of ${file}`))),
      fits.length > 600 && h("p", { class: "small" }, `and ${f.count(fits.length - 600)} more: search for them`));
  };
  words.addEventListener("input", draw);
  only.addEventListener("change", draw);
  ask("configuration").then((answer) => { settings = answer.settings; if (!gone) draw(); }, (error) => { if (!gone) fill(box, h("p", { class: "empty" }, error.message)); });
  return () => { gone = true; };
}

function group(rows) {
  const found = new Map();
  for (const one of rows) found.set(one.file, [...(found.get(one.file) ?? []), one]);
  return found;
}
