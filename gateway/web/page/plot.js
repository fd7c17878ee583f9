// Charts in the page's colours, as wide as their place.
import uPlot from "./vendor/uplot.js";

/** A colour of the stylesheet. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The text of a tick: 24 hours, seconds where ticks are close, the date where a day begins. */
function clockText(seconds, step, before) {
  const t = new Date(seconds * 1000), pad = (n) => String(n).padStart(2, "0");
  const day = `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())}`;
  if (step >= 86400) return day;
  const text = `${pad(t.getHours())}:${pad(t.getMinutes())}${step < 60 ? `:${pad(t.getSeconds())}` : ""}`;
  return before === undefined || new Date(before * 1000).getDate() !== t.getDate() ? `${text}\n${day}` : text;
}

const time = { label: "Time", value: (_, v) => (v === null ? "–" : clockText(v, 1)) };

/** Draw a chart into an element; returns it with `setData` and `destroy`. */
export function plot(place, height, series, data, more = {}) {
  const axis = { stroke: colour("dim"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui, sans-serif" };
  const options = {
    width: Math.max(place.clientWidth, 200), height, ...more,
    series: [time, ...series],
    axes: [{ ...axis, values: (_, splits, __, ___, step) => splits.map((s, at) => clockText(s, step, splits[at - 1])) }, { ...axis, size: 62, ...(more.axis ?? {}) }],
    cursor: { drag: { x: true, y: false } },
  };
  const chart = new uPlot(options, data, place);
  const watcher = new ResizeObserver(() => chart.setSize({ width: Math.max(place.clientWidth, 200), height }));
  watcher.observe(place);
  const destroy = chart.destroy.bind(chart);
  chart.destroy = () => { watcher.disconnect(); destroy(); };
  return chart;
}
