// What the gateway says, as it comes: one stream for the whole page, and what the page has seen of each tag in sight.

const KEPT = 180;
const MOST_TAGS = 1500;

/** The newest of everything. */
export const live = { status: null, devices: [], alarms: [], events: [], connected: false };

const listeners = new Map();
const seen = new Map();
let source = null;
let tags = "";
let timer = 0;

/** Call back when one of `status`, `devices`, `alarms`, `events`, `values`, `connected` has changed; returns how to stop. */
export function on(name, listener) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(listener);
  return () => listeners.get(name).delete(listener);
}

function tell(name, content) {
  for (const listener of listeners.get(name) ?? []) listener(content);
}

/** Ask the API; throws an Error with its sentence. */
export async function ask(path) {
  const response = await fetch(`/api/v1/${path}`);
  const answer = await response.json().catch(() => ({ error: `no answer (${response.status})` }));
  if (!response.ok) throw Object.assign(new Error([answer.error, answer.expected].filter(Boolean).join("; expected ")), { status: response.status });
  return answer;
}

/** Have the values of these tags come, in place of those before. */
export function watch(ids) {
  const wanted = [...ids].sort((a, b) => a - b).join(",");
  if (wanted === tags && source) return;
  tags = wanted;
  clearTimeout(timer);
  timer = setTimeout(open, source ? 250 : 0);
}

function open() {
  source?.close();
  source = new EventSource(`/api/v1/stream${tags ? `?tags=${tags}` : ""}`);
  source.onopen = () => { live.connected = true; tell("connected", true); };
  source.onerror = () => {
    live.connected = false;
    tell("connected", false);
    if (source.readyState === EventSource.CLOSED) { tags = ""; clearTimeout(timer); timer = setTimeout(open, 3000); }
  };
  const take = (name, keep) => source.addEventListener(name, (message) => {
    const content = JSON.parse(message.data);
    keep(content);
    tell(name, content);
  });
  take("status", (content) => {
    const isOther = live.status && live.status.config !== content.config;
    live.status = content;
    if (isOther) { seen.clear(); tell("configuration", content); }
  });
  take("devices", (content) => { live.devices = content.devices; });
  take("alarms", (content) => { live.alarms = content.alarms; });
  take("events", (content) => { live.events = [...content.events, ...live.events].slice(0, 500); });
  take("values", (content) => content.tag.forEach((tag, at) => remember(tag, content.time_ms[at], content.value[at], content.quality[at])));
}

function remember(tag, t, v, quality) {
  let kept = seen.get(tag);
  if (!kept) {
    if (seen.size >= MOST_TAGS) seen.delete(seen.keys().next().value);
    seen.set(tag, kept = []);
  }
  if (kept.length && kept.at(-1).t === t && kept.at(-1).quality === quality) return;
  kept.push({ t, v: typeof v === "number" ? v : null, quality });
  if (kept.length > KEPT * 4) kept.splice(0, kept.length - KEPT * 4);
}

/** What this page has seen of a tag, oldest first. */
export const seenOf = (tag) => seen.get(tag) ?? [];
