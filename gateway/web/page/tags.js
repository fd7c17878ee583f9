// The value of each tag now: search, filter, and only the rows in sight, however many there are.
import { fill, h } from "./dom.js";
import * as f from "./format.js";
import { ask, live, on, seenOf, watch } from "./live.js";
import { drawSpark, spark } from "./spark.js";

const PAGE = 100;
const MARGIN = 8;

export function show(main, _, query) {
  const list = new TagList();
  const q = h("input", { type: "search", id: "q", placeholder: "Words of device or tag", value: query.get("q") ?? "", autocomplete: "off", spellcheck: "false" });
  const device = h("select", { id: "device" }), quality = h("select", { id: "quality" });
  const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);
  const wanted = query.get("device") ?? "";
  const drawDevices = () => fill(device, option("", "All devices", wanted), live.devices.map((d) => option(d.name, d.name, device.value || wanted)),
    wanted && !live.devices.some((d) => d.name === wanted) && option(wanted, wanted, wanted));
  drawDevices();
  fill(quality, [["", "Any quality"], ["good", "Good"], ["uncertain", "Uncertain"], ["bad", "Bad"]].map(([value, text]) => option(value, text, query.get("quality") ?? "")));
  let timer = 0;
  const search = () => {
    const keys = new URLSearchParams(Object.entries({ q: q.value.trim(), device: device.value, quality: quality.value }).filter(([, value]) => value));
    history.replaceState(null, "", `#/tags${keys.size ? `?${keys}` : ""}`);
    list.search(keys);
  };
  q.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 200); });
  device.addEventListener("change", search);
  quality.addEventListener("change", search);
  main.append(h("h1", {}, "Tags"),
    h("form", { class: "filters", role: "search", onsubmit: (event) => { event.preventDefault(); search(); } },
      h("label", { class: "grow", for: "q" }, "Search", q), h("label", { for: "device" }, "Device", device), h("label", { for: "quality" }, "Quality", quality)),
    list.element);
  list.start();
  search();
  const off = on("devices", () => { if (device.options.length !== live.devices.length + 1) drawDevices(); });
  return () => { clearTimeout(timer); off(); list.stop(); };
}

class TagList {
  constructor() {
    this.total = 0;
    this.pages = new Map();
    this.asked = new Set();
    this.rows = new Map();
    this.keys = new URLSearchParams();
    this.generation = 0;
    this.count = h("p", { class: "small", role: "status", id: "total" });
    this.sizer = h("div", { class: "sizer", role: "rowgroup" });
    const head = ["Tag", "Value", "Unit", "Lately", "Quality", "Read"];
    this.viewport = h("div", { class: "viewport", tabindex: "0", role: "table", "aria-label": "Tags", "aria-colcount": "6", onscroll: () => this.draw() },
      h("div", { role: "rowgroup" }, h("div", { class: "ghead", role: "row", "aria-rowindex": "1" }, head.map((text, at) => h("span", { role: "columnheader", class: at === 1 ? "right" : "" }, text)))), this.sizer);
    this.grid = h("div", { class: "card grid" }, this.viewport);
    this.element = h("div", {}, this.grid, this.count);
  }

  start() {
    this.off = on("values", (content) => this.take(content));
    this.resized = new ResizeObserver(() => { this.rows.forEach((row) => row.element.remove()); this.rows.clear(); this.draw(); });
    this.resized.observe(this.viewport);
    this.again = setInterval(() => { if (this.keys.get("quality")) this.refresh(); }, 5000);
  }

  stop() { this.off(); this.resized.disconnect(); clearInterval(this.again); this.generation += 1; }

  search(keys) {
    this.keys = keys;
    this.viewport.scrollTop = 0;
    this.refresh();
  }

  refresh() {
    this.generation += 1;
    this.pages.clear();
    this.asked.clear();
    this.load(Math.floor(this.first() / PAGE));
  }

  get height() { return innerWidth <= 760 ? 56 : 38; }
  first() { return Math.max(0, Math.floor(this.viewport.scrollTop / this.height) - MARGIN); }

  async load(page) {
    if (this.asked.has(page)) return;
    this.asked.add(page);
    const generation = this.generation;
    try {
      const answer = await ask(`tags?${new URLSearchParams([...this.keys, ["offset", page * PAGE], ["limit", PAGE]])}`);
      if (generation !== this.generation) return;
      this.total = answer.total;
      this.pages.set(page, answer.tags);
      if (this.pages.size > 30) { const oldest = this.pages.keys().next().value; this.pages.delete(oldest); this.asked.delete(oldest); }
      this.count.textContent = this.total === 0 ? "No tag fits." : `${f.count(this.total)} ${this.total === 1 ? "tag" : "tags"}`;
      this.draw();
    } catch (error) {
      this.asked.delete(page);
      this.count.textContent = error.message;
    }
  }

  draw() {
    const height = this.height, first = this.first();
    const end = Math.min(this.total, first + Math.ceil(this.viewport.clientHeight / height) + 2 * MARGIN);
    this.sizer.style.height = `${this.total * height}px`;
    this.viewport.setAttribute("aria-rowcount", this.total + 1);
    const kept = new Set(), ids = [];
    for (let at = first; at < end; at += 1) {
      const page = Math.floor(at / PAGE), tag = this.pages.get(page)?.[at % PAGE];
      if (!tag) { this.load(page); continue; }
      ids.push(tag.tag);
      kept.add(at);
      let row = this.rows.get(at);
      if (!row || row.tag !== tag.tag) {
        row?.element.remove();
        row = makeRow(tag, at);
        row.element.style.top = `${at * height}px`;
        this.rows.set(at, row);
        this.sizer.append(row.element);
      }
    }
    for (const [at, row] of this.rows) if (!kept.has(at)) { row.element.remove(); this.rows.delete(at); }
    clearTimeout(this.watching);
    this.watching = setTimeout(() => watch(ids.slice(0, 500)), 150);
  }

  take(content) {
    const at = new Map(content.tag.map((tag, n) => [tag, n]));
    for (const row of this.rows.values()) {
      const n = at.get(row.tag);
      if (n !== undefined) drawValue(row, content.value[n], content.quality[n], content.reason[n], content.time_ms[n]);
    }
  }
}

function makeRow(tag, at) {
  const cell = (kind, ...children) => h("span", { role: "cell", class: kind }, ...children);
  const row = { tag: tag.tag, value: cell("c-value right num"), quality: cell("c-quality"), time: cell("c-time num small"), line: spark() };
  const path = `#/tag/${encodeURIComponent(tag.device)}/${encodeURIComponent(tag.name)}`;
  if (tag.unit) row.value.dataset.unit = tag.unit;
  row.element = h("div", { class: "grow-row", role: "row", "aria-rowindex": at + 2 },
    cell("c-name", h("a", { href: path }, h("span", { class: "dev" }, `${tag.device} / `), tag.name)), row.value, cell("c-unit", tag.unit), cell("c-spark", row.line), row.quality, row.time);
  drawValue(row, tag.value, tag.quality, tag.reason, tag.time_ms);
  return row;
}

function drawValue(row, value, quality, reason, time) {
  const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  set(row.value, f.value(value));
  set(row.quality, f.quality(quality, reason));
  set(row.time, f.time(time));
  row.quality.className = `c-quality ${quality}`;
  drawSpark(row.line, seenOf(row.tag));
}
