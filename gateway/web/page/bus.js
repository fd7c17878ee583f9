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
  const rest = names.filter((name) => !shown.includes(name));
  return h("div", { class: "card" },
    h("div", { class: "row spread" }, h("h2", {}, title, h("span", { class: "small" }, `  since ${f.time(c.since_ms)}`)), c.up ? pill("ok", "up") : pill("down", "down")),
    c.reason && h("p", { class: "reason" }, c.reason),
    table([["Device"], ...shown.map((name) => [name.replaceAll("_", " "), "num"])], Object.entries(c.stats).slice(0, 60).map(([device, stats]) => [device, ...shown.map((name) => f.value(stats[name]))]), `Counters of ${title}`),
    rest.length > 0 && h("details", { id: `more-${at}`, ontoggle: (event) => opened[event.currentTarget.open ? "add" : "delete"](at), open: opened.has(at) }, h("summary", {}, "All counters"),
      table([["Device"], ["Counter"], ["Value", "num"]], Object.entries(c.stats).slice(0, 20).flatMap(([device, stats]) => Object.entries(stats).map(([name, v]) => [device, name.replaceAll("_", " "), f.value(v)])), `All counters of ${title}`)));
}

const opened = new Set();

function section(s) {
  return h("div", { class: "card" }, h("h2", {}, `Plan: ${s.title}`),
    s.rows.length > 0 && table(s.headings.map((text) => [text, ["device", "reads"].includes(text) ? "" : "num"]), s.rows.slice(0, 400), `Plan of ${s.title}`),
    s.lines.slice(0, 20).map((line) => h("p", { class: "small" }, line)));
}
