// One tag: its value now, its past as a band of extremes, its alarms. Gaps stay gaps.
import { fill, h, pill } from "./dom.js";
import * as f from "./format.js";
import { ask, live, on, seenOf, watch } from "./live.js";
import { colour, plot } from "./plot.js";

const SPANS = [["live", "Live"], [3600e3, "1 h"], [6 * 3600e3, "6 h"], [86400e3, "1 day"], [7 * 86400e3, "7 days"], [35 * 86400e3, "35 days"]];

export function show(main, [device, name]) {
  const now = h("div", { class: "card" }), place = h("div", { class: "chart" }), note = h("p", { class: "small", role: "status" }), events = h("div");
  const buttons = SPANS.map(([span, text]) => h("button", { type: "button", class: "ghost", "aria-pressed": "false", onclick: () => choose(span) }, text));
  main.append(h("p", { class: "small" }, h("a", { href: `#/tags?device=${encodeURIComponent(device)}` }, device), " /"), h("h1", {}, name), now,
    h("div", { class: "card" }, h("div", { class: "row spread" }, h("h2", {}, "Course"), h("div", { class: "row", role: "group", "aria-label": "Span of time" }, buttons)), place, note), events);
  let tag = null, chart = null, span = "live", gone = false, refresh = 0;

  const draw = (columns) => {
    if (gone) return;
    chart?.destroy();
    place.replaceChildren();
    const [times, low, mean, high] = columns;
    const banded = low.some((v, at) => v !== high[at]);
    const line = { label: tag.unit ? `${name} (${tag.unit})` : name, stroke: colour("accent"), width: 1.8, spanGaps: false, points: { show: times.length < 60, size: 4 }, value: (_, v) => f.value(v) };
    const edge = (label) => ({ label, stroke: "transparent", points: { show: false }, value: (_, v) => f.value(v) });
    const alarms = marks();
    const hooks = { draw: [(u) => drawMarks(u, alarms)] };
    chart = banded
      ? plot(place, 320, [edge("highest"), edge("lowest"), line], [times, high, low, mean], { bands: [{ series: [1, 2], fill: colour("band") }], hooks })
      : plot(place, 320, [line], [times, mean], { hooks });
  };

  const marks = () => [...live.events, ...past].filter((one) => one.device === device && one.tag === name && (one.kind === "alarm" || one.kind === "anomaly"));
  let past = [];

  const drawLive = () => {
    const seen = seenOf(tag.tag);
    const values = seen.map((p) => p.v);
    note.textContent = seen.length < 2 ? "Values are drawn as they come." : `What this page has seen: ${f.count(seen.length)} values.`;
    draw([seen.map((p) => p.t / 1000), values, values, values]);
  };

  const choose = async (chosen) => {
    span = chosen;
    clearTimeout(refresh);
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(SPANS[at][0] === span)));
    if (!tag) return;
    if (span === "live") { drawLive(); return; }
    try {
      const end = Date.now();
      const found = await ask(`history?tag=${tag.tag}&from=${end - span}&to=${end}&points=${Math.min(2000, Math.max(200, place.clientWidth))}`);
      if (gone || span !== chosen) return;
      draw([found.time_ms.map((t) => t / 1000), found.min, found.mean, found.max]);
      note.textContent = found.time_ms.length === 0 ? "Nothing is kept of this span." : found.complete ? "" : "A part of this span is not kept.";
      refresh = setTimeout(() => choose(span), 10_000);
    } catch (error) {
      note.textContent = error.status === 404 ? "This gateway keeps no values of the past; the live chart shows what this page has seen." : error.message;
    }
  };

  const drawNow = (v, quality, reason, time) => fill(now,
    h("div", { class: "row spread" }, h("div", { class: "big" }, f.value(v), tag.unit && h("span", { class: "unit" }, tag.unit)), pill(quality, f.quality(quality, reason))),
    h("p", { class: "small" }, `read ${f.time(time)}`, tag.interval_ms ? ` · every ${tag.interval_ms / 1000} s` : "", tag.range ? ` · in normal operation ${f.value(tag.range[0])} to ${f.value(tag.range[1])} ${tag.unit}` : ""));

  const drawEvents = () => {
    const rows = marks().slice(0, 50);
    fill(events, rows.length > 0 && h("div", { class: "card" }, h("h2", {}, "Alarms and anomalies"), h("table", {}, h("tbody", {}, rows.map((one) =>
      h("tr", {}, h("td", { class: "tight small" }, h("time", {}, f.time(one.time_ms))), h("td", {}, h("span", { class: `sev ${f.severity(one.severity)}`, "aria-hidden": "true" }), f.eventText(one))))))));
  };

  (async () => {
    try {
      tag = await ask(`tag?${new URLSearchParams({ device, name })}`);
      past = (await ask(`events?${new URLSearchParams({ device, limit: 1000 })}`)).events;
      if (gone) return;
      past = past.filter((one) => !live.events.some((seen) => seen.version === one.version));
    } catch (error) { fill(now, h("p", { class: "empty" }, error.message)); return; }
    drawNow(tag.value, tag.quality, tag.reason, tag.time_ms);
    drawEvents();
    watch([tag.tag]);
    choose(await keepsHistory() ? 3600e3 : "live");
  })();

  const keepsHistory = () => ask(`history?tag=${tag.tag}&points=2`).then(() => true, () => false);

  let ticks = 0;
  const offs = [on("values", (content) => {
    const at = tag ? content.tag.indexOf(tag.tag) : -1;
    if (at < 0) return;
    drawNow(content.value[at], content.quality[at], content.reason[at], content.time_ms[at]);
    if (span !== "live") return;
    ticks += 1;
    const seen = seenOf(tag.tag);
    if (!chart || seen.length < 60 || ticks % 30 === 0) drawLive();
    else { chart.setData([seen.map((p) => p.t / 1000), seen.map((p) => p.v)]); note.textContent = `What this page has seen: ${f.count(seen.length)} values.`; }
  }), on("events", drawEvents)];
  return () => { gone = true; clearTimeout(refresh); offs.forEach((off) => off()); chart?.destroy(); };
}

/** Draw a line where an alarm began or ended. */
function drawMarks(u, alarms) {
  const { ctx } = u;
  ctx.save();
  for (const one of alarms) {
    const x = u.valToPos(one.time_ms / 1000, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    ctx.strokeStyle = colour(one.payload.state === "active" ? "bad" : "ok");
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x, u.bbox.top);
    ctx.lineTo(x, u.bbox.top + u.bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}
