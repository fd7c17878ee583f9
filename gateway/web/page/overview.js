// Is everything well? If not: what, why, and which command finds out more.
import { fill, h, pill } from "./dom.js";
import * as f from "./format.js";
import { live, on } from "./live.js";

const ORDER = { down: 0, degraded: 1, ok: 2 };
const TITLES = { ok: "All is well", degraded: "Something is not as it should be", red: "The gateway does not do its work" };

export function show(main) {
  const banner = h("div"), tiles = h("div", { class: "tiles" }), devices = h("div", { class: "card" }), more = h("div");
  main.append(h("h1", {}, "Overview"), banner, tiles, devices, more);
  const offs = [on("status", () => drawStatus(banner, tiles)), on("devices", () => drawDevices(devices)), on("events", () => drawNews(more))];
  if (live.status) drawStatus(banner, tiles);
  drawDevices(devices);
  drawNews(more);
  return () => offs.forEach((off) => off());
}

function drawStatus(banner, tiles) {
  const s = live.status, level = s.health.level;
  const text = JSON.stringify(s.health);
  if (banner.dataset.shown !== text) {
    banner.dataset.shown = text;
    fill(banner, h("div", { class: `banner ${level}` }, TITLES[level], s.health.reasons.length > 0 && h("ul", {}, s.health.reasons.map((one) => h("li", {}, one)))));
  }
  const up = s.devices.ok ?? 0, all = Object.values(s.devices).reduce((a, b) => a + b, 0);
  const rate = ratePerSecond(s);
  fill(tiles,
    tile("Devices read", `${f.count(up)} of ${f.count(all)}`, up === all ? "all of them" : `${f.count(all - up)} not as they should be`),
    tile("Tags", f.count(s.tags), rate === null ? `${f.count(s.samples)} samples since the start` : `${f.count(rate)} samples a second`),
    tile("Active alarms", f.count(s.alarms), s.alarms ? h("a", { href: "#/alarms" }, "show them") : "none"),
    tile("Waiting", f.count(s.outbox.messages), s.outbox.connected ? `${s.outbox.sink} is connected` : `${s.outbox.sink} is not connected`),
    tile("Lost", f.count(s.outbox.lost), "messages since the start"),
    tile("Runs for", f.span(s.now_ms - s.started_ms), `version ${s.version.split("+")[0]}`));
}

let last = null;
function ratePerSecond(s) {
  const before = last;
  if (!before || s.now_ms - before.now > 3000 || s.now_ms <= before.now) { last = { now: s.now_ms, samples: s.samples, rate: null }; return null; }
  if (s.now_ms - before.now < 500) return before.rate;
  const rate = Math.round(((s.samples - before.samples) / (s.now_ms - before.now)) * 1000);
  last = { now: s.now_ms, samples: s.samples, rate: before.rate === null ? rate : Math.round(before.rate * 0.7 + rate * 0.3) };
  return last.rate;
}

const tile = (label, value, note) => h("div", { class: "tile" }, h("div", { class: "label" }, label), h("div", { class: "value" }, value), h("div", { class: "note" }, note));

function drawDevices(card) {
  const sorted = [...live.devices].sort((a, b) => ORDER[a.state] - ORDER[b.state] || a.name.localeCompare(b.name, "en", { numeric: true }));
  fill(card, h("h2", {}, "Devices"), sorted.length === 0 && h("p", { class: "empty" }, "waiting for the gateway"), sorted.slice(0, 300).map(device),
    sorted.length > 300 && h("p", { class: "small" }, `and ${f.count(sorted.length - 300)} more, all of them ${sorted.at(-1).state}`));
}

function device(d) {
  return h("div", { class: "device" },
    h("div", { class: "who" }, h("a", { href: `#/tags?device=${encodeURIComponent(d.name)}` }, d.name), h("div", { class: "small" }, `${d.protocol} · ${f.count(d.tags)} tags`)),
    h("div", {}, pill(d.state)),
    h("div", { class: "reason" },
      d.reason || h("span", { class: "small" }, d.url),
      h("div", { class: "small" }, d.reason ? `${d.url} · ` : "", `since ${f.time(d.since_ms)}`),
      d.command && h("div", { class: "cure" }, h("span", { class: "small" }, "Find out more:"), h("code", {}, d.command), copy(d.command))));
}

function copy(text) {
  if (!navigator.clipboard) return null;
  return h("button", { type: "button", class: "ghost copy", "aria-label": `Copy ${text}`, onclick: (event) => {
    const button = event.currentTarget;
    navigator.clipboard.writeText(text).then(() => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); }, () => {});
  } }, "copy");
}

function drawNews(box) {
  const news = live.events.slice(0, 6);
  fill(box, news.length > 0 && h("div", { class: "card" }, h("h2", {}, "Just now"), h("table", {}, h("tbody", {}, news.map((one) => h("tr", {},
    h("td", { class: "tight small" }, h("time", {}, f.time(one.time_ms))),
    h("td", {}, h("span", { class: `sev ${f.severity(one.severity)}`, "aria-hidden": "true" }), h("b", {}, [one.device, one.tag].filter(Boolean).join("/") || "gateway"), ` ${f.eventText(one)}`)))))));
}
