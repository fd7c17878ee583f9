// Values, times and sizes for people.

/** A value: numbers with up to seven digits, texts as they are, a dash for none. */
export function value(v) {
  if (v === null || v === undefined) return "–";
  if (typeof v === "number") {
    if (Number.isInteger(v) && Math.abs(v) < 1e15) return v.toLocaleString("en", { useGrouping: Math.abs(v) >= 1e4 });
    const size = Math.abs(v);
    return size !== 0 && (size < 1e-4 || size >= 1e9) ? v.toExponential(4) : String(+v.toPrecision(6));
  }
  if (typeof v === "boolean") return v ? "true" : "false";
  return typeof v === "string" ? v : JSON.stringify(v);
}

export const count = (n) => Number(n).toLocaleString("en");

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${at === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[at]}`;
}

export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const pad = (n) => String(n).padStart(2, "0");

/** The time of day, with its date where that is not today. */
export function time(ms) {
  if (!ms) return "never";
  const then = new Date(ms);
  const day = then.toDateString() === new Date().toDateString() ? "" : `${then.getFullYear()}-${pad(then.getMonth() + 1)}-${pad(then.getDate())} `;
  return `${day}${pad(then.getHours())}:${pad(then.getMinutes())}:${pad(then.getSeconds())}`;
}

const words = (text) => text.replaceAll("_", " ");

/** The reason of a quality, or the quality itself, in words. */
export const quality = (one, reason) => (reason && reason !== "unspecified" ? `${one}: ${words(reason)}` : one);

/** What an event says, in a sentence. */
export function eventText(event) {
  const p = event.payload;
  switch (event.kind) {
    case "device": return p.state === "ok" ? "is read again" : `is ${p.state}${p.reason ? `: ${p.reason}` : ""}`;
    case "alarm": return `${p.condition} ${p.state}: ${value(p.value)}, limit ${value(p.limit)}`;
    case "anomaly": return `anomaly ${p.state}: ${value(p.value)} (${p.detector}, score ${value(p.score)})`;
    case "configuration": return `runs configuration ${p.config}: ${count(p.devices)} devices, ${count(p.tags)} tags`;
    default: {
      const parts = Object.entries(p).filter(([key]) => key !== "severity").map(([key, v]) => `${words(key)} ${value(v)}`);
      return `${words(event.kind)}${parts.length ? `: ${parts.join(", ")}` : ""}`;
    }
  }
}

export const severity = (n) => (n >= 600 ? "high" : n >= 300 ? "mid" : "low");
