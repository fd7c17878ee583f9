// What waits, what was lost, where it goes, which certificates end, and how the machine is.
import { fill, h, pill } from "./dom.js";
import * as f from "./format.js";
import { ask, live, on } from "./live.js";
import { colour, plot } from "./plot.js";

const HOST = {
  process_resident_bytes: ["Memory of the gateway", f.bytes], process_descriptors: ["Open descriptors", f.count], process_cpu_seconds: ["Processor time", (s) => f.span(s * 1000)],
  host_temperature_celsius: ["Temperature", (c) => `${c.toFixed(0)} °C`], host_throttled: ["Processor slowed down", (v) => (v ? "yes" : "no")],
  host_disk_free_bytes: ["Disk free", f.bytes], host_disk_bytes: ["Disk", f.bytes], host_load1: ["Load", (v) => v.toFixed(2)],
  host_throttle_events: ["Slowed down by heat", (n) => `${n} times`], host_disk_wear_ratio: ["Disk worn", (r) => `${Math.round(r * 100)} % at most`],
  host_clock_synchronized: ["Clock kept by a time service", (v) => (v ? "yes" : "no")], host_clock_error_seconds: ["Clock wrong by at most", (s) => `${(s * 1000).toFixed(0)} ms`],
};

const SPANS = [[600e3, "10 min"], [3600e3, "1 h"], [86400e3, "1 day"], [7 * 86400e3, "7 days"]];

export function show(main) {
  const outbox = h("div", { class: "card" }), sink = h("div", { class: "card" }), certificates = h("div", { class: "card" }), host = h("div", { class: "card" });
  const waiting = h("div", { class: "chart low" }), rates = h("div", { class: "chart low" });
  const buttons = SPANS.map(([wanted, text]) => h("button", { type: "button", class: "ghost", "aria-pressed": "false", onclick: () => choose(wanted) }, text));
  main.append(h("h1", {}, "Delivery"), h("div", { class: "two" }, outbox, sink),
    h("div", { class: "row spans", role: "group", "aria-label": "Span of time" }, buttons),
    h("div", { class: "two" }, h("div", { class: "card" }, h("h2", {}, "Waiting messages"), waiting), h("div", { class: "card" }, h("h2", {}, "Lost and merged since the start"), rates)),
    h("div", { class: "two" }, certificates, host));
  const line = (label, name) => ({ label, stroke: colour(name), width: 1.8, points: { show: false }, value: (_, v) => (v === null ? "–" : f.count(v)) });
  let course = null, span = 600e3, timer = 0, gone = false;
  const columns = (names) => seenSince(course, span, names);
  const WAITING = ["waiting", "events", "summaries", "windows"], LOST = ["lost", "thinned"];
  const charts = [
    plot(waiting, 190, [line("waiting", "accent"), line("events on disk", "bad"), line("summaries on disk", "ok"), line("windows on disk", "warn")], columns(WAITING)),
    plot(rates, 190, [line("lost", "bad"), line("merged", "warn")], columns(LOST)),
  ];
  const drawCourse = () => { charts[0].setData(columns(WAITING)); charts[1].setData(columns(LOST)); };
  const choose = async (wanted) => {
    span = wanted;
    clearTimeout(timer);
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(SPANS[at][0] === span)));
    const found = await ask(`course?from=${Math.round((live.status?.now_ms ?? Date.now()) - span)}&points=1000`).catch(() => null);
    if (gone || span !== wanted) return;
    course = found ?? course;
    drawCourse();
    timer = setTimeout(() => choose(span), 10_000);
  };
  const draw = () => {
    const s = live.status;
    if (!s) return;
    drawOutbox(outbox, s.outbox);
    drawSink(sink, s.outbox);
    drawCertificates(certificates, s);
    fill(host, h("h2", {}, "Machine"), facts(Object.entries(HOST).filter(([key]) => key in s.host).map(([key, [text, show]]) => [text, show(s.host[key])])
      .concat(Object.entries(s.links).map(([name, up]) => [`Link of ${name}`, up ? "up" : "down"]))));
  };
  draw();
  choose(span);
  const off = on("status", draw);
  return () => { gone = true; clearTimeout(timer); off(); charts.forEach((chart) => chart.destroy()); };
}

/** Return the course as columns, over all of the span: no axis of years around one point. */
function seenSince(course, span, names) {
  const times = course?.time_ms ?? [], end = times.length ? times.at(-1) : Date.now(), begin = end - span;
  const pad = times.length === 0 || times[0] > begin + 30e3 ? [begin] : [];
  return [[...pad, ...times].map((t) => t / 1000), ...names.map((name) => [...pad.map(() => null), ...(course?.[name] ?? [])])];
}

const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

function meter(share, label) {
  const bar = h("span", { class: share > 0.9 ? "bad" : share > 0.7 ? "warn" : "" });
  bar.style.width = `${Math.min(100, Math.max(share * 100, 0.5))}%`;
  return h("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(share * 100)) }, bar);
}

function drawOutbox(card, o) {
  const disk = o.disk_bytes / o.limits.max_bytes, memory = o.memory_bytes / o.limits.memory_bytes;
  fill(card, h("div", { class: "row spread" }, h("h2", {}, "Outbox"), o.refused ? pill("bad", "disk refuses") : pill("ok", "on disk")),
    o.refused && h("p", { class: "bad" }, `The disk takes nothing: ${o.refused}`),
    h("div", { class: "big" }, f.count(o.messages), h("span", { class: "unit" }, o.messages === 1 ? "message waits" : "messages wait")),
    meter(disk, "Outbox on disk"), h("p", { class: "small" }, `${f.bytes(o.disk_bytes)} of ${f.bytes(o.limits.max_bytes)} on disk`),
    meter(memory, "Outbox in memory"), h("p", { class: "small" }, `${f.bytes(o.memory_bytes)} of ${f.bytes(o.limits.memory_bytes)} in memory; kept for ${f.span(o.limits.max_age_ms)} at most`),
    facts([["Lost since the start", h("span", { class: o.lost ? "bad" : "" }, f.count(o.lost))], ["Merged into longer windows", f.count(o.thinned)]]));
}

const COUNTERS = { sent: "Sent", acked: "Acknowledged", refused: "Refused by the sink", released: "Sent again", connects: "Connected so often" };

function drawSink(card, o) {
  fill(card, h("div", { class: "row spread" }, h("h2", {}, `Sink ${o.sink}`), o.connected ? pill("ok", "connected") : pill("bad", "not connected")),
    o.sinks.length > 0 && facts(o.sinks.map((one) => [one.name, h("span", { class: one.connected ? "" : "bad" }, `${one.connected ? "connected" : "not connected"}, ${f.count(one.messages)} waiting, ${f.count(one.lost)} lost`)])),
    facts(Object.entries(COUNTERS).filter(([key]) => key in o.counters).map(([key, text]) => [text, f.count(o.counters[key])])));
}

function drawCertificates(card, s) {
  const all = Object.entries(s.certificates);
  fill(card, h("h2", {}, "Certificates"), all.length === 0 ? h("p", { class: "empty" }, "The connection to the sink uses none.") : all.map(([owner, end]) => {
    const days = (end - s.now_ms) / 86400e3;
    const level = days > 30 ? "ok" : days > 7 ? "degraded" : "down";
    return h("div", { class: "row spread" }, h("span", {}, owner === "gateway" ? "of this gateway" : `of the ${owner}`), h("span", { class: "small" }, `ends ${f.time(end)}`), pill(level, days < 0 ? "has ended" : `${Math.floor(days)} days`));
  }));
}
