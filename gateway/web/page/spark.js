// A small line of the last values. Gaps stay gaps.
import { svg } from "./dom.js";

const WIDTH = 150, HEIGHT = 26, POINTS = 120;

/** Draw the last points into an SVG element. */
export function drawSpark(element, points) {
  const shown = points.slice(-POINTS);
  const numbers = shown.map((p) => p.v).filter((v) => v !== null);
  if (numbers.length < 2) { element.replaceChildren(); return; }
  const low = Math.min(...numbers), high = Math.max(...numbers), span = high - low || 1;
  const begin = shown[0].t, length = Math.max(shown.at(-1).t - begin, 1);
  const lines = [];
  let line = [];
  for (const p of shown) {
    if (p.v === null) { if (line.length > 1) lines.push(line); line = []; continue; }
    const y = high === low ? HEIGHT / 2 : HEIGHT - 3 - ((p.v - low) / span) * (HEIGHT - 6);
    line.push(`${(((p.t - begin) / length) * (WIDTH - 4) + 2).toFixed(1)},${y.toFixed(1)}`);
  }
  if (line.length > 1) lines.push(line);
  element.replaceChildren(...lines.map((one) => svg("polyline", { points: one.join(" ") })));
}

export const spark = () => svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" });
