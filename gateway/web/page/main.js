// The shell: which screen is shown, how the gateway is, light or dark.
import { fill, h, svg } from "./dom.js";
import { live, on, watch } from "./live.js";
import * as alarms from "./alarms.js";
import * as bus from "./bus.js";
import * as configuration from "./configuration.js";
import * as delivery from "./delivery.js";
import * as overview from "./overview.js";
import * as tag from "./tag.js";
import * as tags from "./tags.js";

const SCREENS = [
  ["", "Overview", overview, "M3 11l9-7 9 7v9a1 1 0 0 1-1 1h-5v-7H9v7H4a1 1 0 0 1-1-1z"],
  ["tags", "Tags", tags, "M4 6h16M4 12h16M4 18h10"],
  ["alarms", "Alarms", alarms, "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 21h4"],
  ["delivery", "Delivery", delivery, "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01"],
  ["bus", "Bus", bus, "M4 12h16M7 12V7M12 12v5M17 12V7M5 4h4v3H5zM10 17h4v3h-4zM15 4h4v3h-4z"],
  ["configuration", "Settings", configuration, "M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M10 15v4"],
];
const NAMES = { ok: "All is well", degraded: "Degraded", red: "Needs help" };

let leave = null;

function show() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decodeURIComponent);
  const screen = name === "tag" ? tag : SCREENS.find(([key]) => key === name)?.[2] ?? overview;
  leave?.();
  const main = document.getElementById("main");
  main.replaceChildren();
  window.scrollTo(0, 0);
  leave = screen.show(main, rest, new URLSearchParams(query ?? "")) ?? null;
  if (screen !== tags && screen !== tag) watch([]);
  const title = main.querySelector("h1")?.textContent ?? "Gateway";
  document.title = `${title} · ${live.status?.name ?? "Gateway"}`;
  for (const link of document.querySelectorAll("#nav a")) {
    const current = link.dataset.name === (name === "tag" ? "tags" : name ?? "");
    if (current) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
}

function drawNav() {
  fill(document.getElementById("nav"), h("ul", {}, SCREENS.map(([name, text, , path]) =>
    h("li", {}, h("a", { href: `#/${name}`, "data-name": name },
      svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: path })), h("span", {}, text),
      h("span", { class: "count", hidden: true, "data-count": name }))))));
}

function drawHealth() {
  const pill = document.getElementById("health");
  const level = live.connected && live.status ? live.status.health.level : "down";
  const text = live.connected ? (live.status ? NAMES[level] : "connecting") : "No answer";
  pill.className = `pill ${level}`;
  if (pill.textContent !== text) pill.textContent = text;
  if (live.status) document.getElementById("name").textContent = live.status.name;
  mark("", live.devices.filter((device) => device.state !== "ok").length);
  mark("alarms", live.alarms.length);
}

function mark(name, count) {
  const badge = document.querySelector(`[data-count="${name}"]`);
  badge.hidden = count === 0;
  badge.textContent = count > 99 ? "99+" : String(count);
}

function theme() {
  const root = document.documentElement;
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    show();
  });
}

theme();
drawNav();
for (const name of ["status", "devices", "alarms", "connected"]) on(name, drawHealth);
on("configuration", show);
addEventListener("hashchange", () => { show(); document.getElementById("main").focus({ preventScroll: true }); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main").focus(); });
watch([]);
show();
