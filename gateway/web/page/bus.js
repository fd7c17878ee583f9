// What is asked of each connection, how busy that keeps it, and what has come of it.
import { fill, h, pill, table } from "./dom.js";
import * as f from "./format.js";
import { ask } from "./live.js";

const FIRST = ["requests", "timeouts", "bad_replies", "exceptions", "overruns", "round_trip_ms", "values", "publish_ms", "lost", "reconnects", "connection_busy", "connection_load"];

export function show(main) {
  const now = h("div"), plan = h("div");
  main.append(h("h1", {}, "Bus load"), h("p", { class: "lead" }, "Each connection to the field: its state, what was counted since the start, and what is planned."), now, plan);
  let gone = false, timer = 0;
  const update = async () => {
    try {
      const answer = await ask("connections");
      if (!gone) fill(now, answer.connections.map(connection));
    } catch (error) { if (!gone) fill(now, h("p", { class: "empty" }, error.message)); }
    if (!gone) timer = setTimeout(update, 3000);
  };
  update();
  ask("plan").then((answer) => { if (!gone) fill(plan, answer.sections.map(section)); }, (error) => { if (!gone) fill(plan, h("p", { class: "empty" }, error.message)); });
  return () => { gone = true; clearTimeout(timer); };
}

function connection(c, at) {
  const names = [...new Set(Object.values(c.stats).flatMap((stats) => Object.entries(stats).filter(([, v]) => typeof v === "number").map(([key]) => key)))];
  const shown = FIRST.filter((name) => names.includes(name));
  const title = c.devices.length > 4 ? `${c.devices.slice(0, 4).join(", ")} and ${c.devices.length - 4} more` : c.devices.join(", ");
  const load = loadOf(c);
  const rest = names.filter((name) => !shown.includes(name));
  return h("div", { class: "card" },
    h("div", { class: "row spread" }, h("h2", {}, title, h("span", { class: "small" }, `  since ${f.time(c.since_ms)}`)), c.up ? pill("ok", "up") : pill("down", "down")),
    c.reason && h("p", { class: "reason" }, c.reason),
    load !== null && h("div", {}, meter(load, `Load of ${title}`), h("p", { class: "small" }, `busy for ${(load * 100).toFixed(1)} % of the time just now`)),
    table([["Device"], ...shown.map((name) => [name.replaceAll("_", " "), "num"])], Object.entries(c.stats).slice(0, 60).map(([device, stats]) => [device, ...shown.map((name) => f.value(stats[name]))]), `Counters of ${title}`),
    rest.length > 0 && h("details", { id: `more-${at}`, ontoggle: (event) => opened[event.currentTarget.open ? "add" : "delete"](at), open: opened.has(at) }, h("summary", {}, "All counters"),
      table([["Device"], ["Counter"], ["Value", "num"]], Object.entries(c.stats).slice(0, 20).flatMap(([device, stats]) => Object.entries(stats).map(([name, v]) => [device, name.replaceAll("_", " "), f.value(v)])), `All counters of ${title}`)));
}

const opened = new Set();
const busy = new Map();

/** The share of its time that a connection was busy since the look before; null where it does not say. */
function loadOf(c) {
  const now = Object.values(c.stats)[0]?.connection_busy_s, key = c.devices.join(), before = busy.get(key), at = performance.now() / 1000;
  if (now === undefined) return null;
  if (before && at - before.at < 1) return before.load;
  const load = before && now >= before.now ? Math.min(1, (now - before.now) / (at - before.at)) : null;
  busy.set(key, { now, at, load });
  return load;
}

function meter(share, label) {
  const bar = h("span", { class: share > 0.9 ? "bad" : share > 0.7 ? "warn" : "" });
  bar.style.width = `${Math.max(share * 100, 0.5)}%`;
  return h("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(share * 100)) }, bar);
}

function section(s) {
  return h("div", { class: "card" }, h("h2", {}, `Plan: ${s.title}`),
    s.rows.length > 0 && table(s.headings.map((text) => [text, ["device", "reads"].includes(text) ? "" : "num"]), s.rows.slice(0, 400), `Plan of ${s.title}`),
    s.lines.slice(0, 20).map((line) => h("p", { class: "small" }, line)));
}
