// What holds now, and what has happened.
import { fill, h, table } from "./dom.js";
import * as f from "./format.js";
import { ask, live, on } from "./live.js";

export function show(main) {
  const active = h("div", { class: "card" }), events = h("div", { class: "card" });
  main.append(h("h1", {}, "Alarms and events"), active, events);
  const drawActive = () => fill(active, h("h2", {}, live.alarms.length ? `Active now: ${f.count(live.alarms.length)}` : "Active now"),
    live.alarms.length === 0 ? h("p", { class: "empty" }, "No condition holds.") : table(
      [["Tag"], ["Condition"], ["Value", "num"], ["Limit", "num"], ["Since", "tight"], ["For", "tight"]],
      live.alarms.map((one) => [
        h("span", {}, h("span", { class: `sev ${f.severity(one.severity)}`, "aria-hidden": "true" }), link(one)), one.condition, f.value(one.payload.value), f.value(one.payload.limit ?? one.payload.threshold),
        h("time", {}, f.time(one.since_ms)), f.span((live.status?.now_ms ?? Date.now()) - one.since_ms)]), "Active alarms"));
  let past = [];
  const drawEvents = () => {
    const known = new Set(live.events.map((one) => one.version));
    const all = [...live.events, ...past.filter((one) => !known.has(one.version))].slice(0, 300);
    fill(events, h("h2", {}, "Events"), all.length === 0 ? h("p", { class: "empty" }, "Nothing has happened since the start.") : table(
      [["When", "tight"], ["What"], ["Severity", "num"]],
      all.map((one) => [h("time", {}, f.time(one.time_ms)), h("span", {}, h("span", { class: `sev ${f.severity(one.severity)}`, "aria-hidden": "true" }), link(one), ` ${f.eventText(one)}`), String(one.severity)]), "Events"));
  };
  drawActive();
  drawEvents();
  ask("events?limit=300").then((answer) => { past = answer.events; drawEvents(); }, (error) => fill(events, h("p", { class: "empty" }, error.message)));
  const offs = [on("alarms", drawActive), on("events", drawEvents)];
  return () => offs.forEach((off) => off());
}

function link(one) {
  if (one.tag) return h("a", { href: `#/tag/${encodeURIComponent(one.device)}/${encodeURIComponent(one.tag)}` }, `${one.device}/${one.tag}`);
  return h("b", {}, one.device || "gateway");
}
