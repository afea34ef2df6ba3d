// A stage for the page: a small server that plays the sidecar's part with made-up snapshots, so that a test can show any
// state, however rare, and cut the line when it likes. What it says follows internal/dash/openapi.yaml.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { root } from "./browser.mjs";

export const dist = path.join(root, "internal", "dash", "dist");
/** Not /sidecar/: the page must work under any prefix. */
const prefix = "/deep/below/sidecar/";
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

const classNames = ["URGENT", "HIGH", "NORMAL", "LOW"];
const models = ["meta/llama-3.3-70b-instruct", "deepseek-ai/deepseek-r1", "nvidia/llama-3.1-nemotron-ultra-253b-v1", "qwen/qwen3-coder-480b-a35b-instruct"];
const agents = ["planner", "coder-1", "coder-2", "reviewer", "night-batch", "you"];

/** A quiet sidecar: all that a snapshot has, with nothing in it. */
export function quiet() {
  const now = Date.now();
  return {
    seq: 1, now, version: "0.1.0", uptime_s: 60, settings_version: 1, settings_error: null, demo: false, draining: false, healthy: true,
    state_dir: true, store_degraded: false, state: "NORMAL", state_reason: "", state_since: null, tokens_available: 12,
    rate: { effective: null, ceiling: null, configured: null, sent: 0 }, utilisation: null, refused_share: null,
    queue: { total: 0, capacity: 1000, bytes: 0, classes: classNames.map((name) => ({ class: name, waiting: 0, oldest_ms: null, p50_ms: null, p95_ms: null })) },
    waiting: [], waiting_more: 0, limits: [], requests: [], providers: [], batches: [],
  };
}

/** A sidecar at work, with so many waiting. */
export function busy(waiting = 34) {
  const s = quiet();
  const { now } = s;
  const list = Array.from({ length: waiting }, (_, i) => {
    const rank = i < 1 ? 0 : i < waiting * 0.15 ? 1 : i < waiting * 0.55 ? 2 : 3;
    return {
      id: `req-${String(i).padStart(4, "0")}`, class: classNames[rank], agent: rank === 0 ? "you" : agents[i % 5], client: i % 4 === 0 ? "alice" : null,
      model: models[(i * 7) % 4], provider: "nvidia", waited_ms: 1_500 + i * 3_700, place: i + 1, eta_ms: i % 11 === 10 ? null : 800 + i * 1_500, repeat: i % 9 === 4,
    };
  });
  const ofClass = (name) => list.filter((each) => each.class === name);
  return Object.assign(s, {
    seq: 412, uptime_s: 84_000, state_reason: "", state_since: now - 1_934_000, tokens_available: 3,
    rate: { effective: 38.2, ceiling: 40, configured: 40, sent: 37.5 }, utilisation: 0.94, refused_share: 0.004,
    queue: {
      total: waiting, capacity: 1000, bytes: waiting * 23_400,
      classes: classNames.map((name, i) => ({ class: name, waiting: ofClass(name).length, oldest_ms: ofClass(name).length ? 4_000 + i * 31_000 : null, p50_ms: [140, 900, 8_400, 61_000][i], p95_ms: [820, 4_300, 31_000, 185_000][i] })),
    },
    waiting: list.slice(0, 200), waiting_more: Math.max(0, waiting - 200),
    limits: limits(now), requests: requests(now), providers: providers(now),
  });
}

function limits(now) {
  const base = { provider: "nvidia", account: "default", state: "NORMAL", reason: null, confidence: "confirmed", paused_until: null, burst: 20, in_flight: 3, in_flight_max: 16, last_refusal: now - 412_000, refusals: 12, charged: 18_234 };
  const minute = { period: "M", limit: 40, learned: true, configured: 40, used: 31, resets: now + 23_400 };
  return [
    { ...base, model: models[0], windows: [minute, { period: "D", limit: 12_000, learned: true, configured: null, used: 4_310, resets: now + 9_400_000 }] },
    { ...base, model: models[1], state: "RETREAT", reason: "refused at 41 of 40 in the window", confidence: "suspected", windows: [{ ...minute, limit: 22, used: 22, resets: now + 41_000 }], paused_until: now + 9_000, in_flight: 0, last_refusal: now - 3_000, refusals: 3, charged: 912 },
    { ...base, model: models[2], state: "RECOVER", reason: "canary succeeded", confidence: "learning", windows: [{ ...minute, limit: 33, used: 8, resets: now + 51_000 }], burst: null, in_flight_max: null, refusals: 1, charged: 77 },
    { ...base, model: null, account: "team-b", confidence: "told", windows: [{ period: "H", limit: 1000, learned: false, configured: 1000, used: 268, resets: now + 1_802_000 }], last_refusal: null, refusals: 0, charged: 268 },
  ];
}

function requests(now) {
  return Array.from({ length: 30 }, (_, i) => {
    const queued = (i * 2_711) % 29_000;
    const refused = i % 6 === 2;
    const first = queued + (refused ? 9_200 : 0) + 600 + ((i * 347) % 2_600);
    const total = first + 900 + ((i * 1_913) % 12_000);
    const lost = i === 7;
    return {
      id: `done-${1000 - i}`, class: classNames[i % 7 === 0 ? 0 : 1 + (i % 3)], agent: agents[i % 6], model: models[i % 4], provider: "nvidia", key: "default-1", path: "/v1/chat/completions", stream: i % 3 !== 0,
      status: lost ? 503 : 200, reason: lost ? "queue_timeout" : null, started: now - total - i * 1_600, queued_ms: lost ? 900_000 : queued, first_byte_ms: lost ? null : first, total_ms: lost ? 900_000 : total,
      attempts: lost ? [] : [...(refused ? [{ at_ms: queued, took_ms: 380, outcome: "quota" }] : []), { at_ms: refused ? queued + 9_200 : queued, took_ms: total - queued - (refused ? 9_200 : 0), outcome: "ok" }],
      input_tokens: lost ? null : 512 + i * 97, output_tokens: lost ? null : 64 + i * 31,
    };
  });
}

function providers(now) {
  return [
    { name: "nvidia", url_host: "integrate.api.nvidia.com", default: true, healthy: true, paused: false, breaker: "closed", accounts: [
      { name: "default", keys: [{ alias: "default-1", healthy: true, benched_until: null, reason: null }, { alias: "default-2", healthy: true, benched_until: now + 72_000, reason: "worker exhaustion" }] },
      { name: "team-b", keys: [{ alias: "team-b-1", healthy: false, benched_until: null, reason: "401 from the provider" }] },
    ] },
    { name: "local", url_host: "127.0.0.1:8000", default: false, healthy: false, paused: false, breaker: "half_open", accounts: [] },
  ];
}

/** A history of so many steps, with a retreat in its middle. */
export function past(range, filled = true) {
  const [step, n] = { "15m": [5, 180], "1h": [15, 240], "6h": [60, 360], "24h": [300, 288] }[range];
  const end = Math.floor(Date.now() / (step * 1000)) * step * 1000;
  const make = (f) => Array.from({ length: n }, (_, i) => (filled && i > n * 0.12 ? Math.round(f(i / n, i) * 1000) / 1000 : null));
  const dip = (x) => (x > 0.5 && x < 0.56 ? 0.35 : x >= 0.56 && x < 0.7 ? 0.35 + (x - 0.56) * 4.4 : 1);
  const perClass = (f) => Object.fromEntries(classNames.map((name, rank) => [name, make((x, i) => f(rank, x, i))]));
  return {
    step_s: step, from: end - n * step * 1000,
    series: {
      t: Array.from({ length: n }, (_, i) => end - (n - i) * step * 1000),
      granted: make((x, i) => Math.round((step / 60) * 38 * dip(x) + (i % 3 === 0 ? 1 : 0))), refused: make((x) => (x > 0.495 && x < 0.52 ? Math.ceil(step / 15) : 0)),
      rate: make((x) => 38.2 * dip(x)), ceiling: make((x) => (x > 0.5 ? 40 : 42)), utilisation: make((x, i) => Math.min(1, dip(x) * (0.93 + 0.05 * Math.sin(i / 7)))),
      wait_p50: perClass((rank, x, i) => (40 + rank ** 3 * 2_300) * (1.2 + Math.sin(i / 19 + rank) * 0.4) * (2 - dip(x))),
      wait_p95: perClass((rank, x, i) => (160 + rank ** 3 * 6_400) * (1.2 + Math.sin(i / 19 + rank) * 0.4) * (2 - dip(x))),
      depth: perClass((rank, x) => Math.round(rank * 6 * (2 - dip(x)))),
    },
  };
}

const text = (description, more = {}) => ({ type: ["string", "null"], description, ...more });
const schema = {
  type: "object",
  properties: {
    providers: { type: "array", items: { type: "object", properties: {
      name: text("The provider's name."), limits: text("A promise: never exceeded."), limits_hint: text("Where learning starts."),
      burst: { type: ["string", "integer", "null"], description: "How many may leave at once." }, pin: text("An exact ceiling."), paused: { type: ["boolean", "null"] },
    } } },
    queue: { type: "object", properties: {
      capacity: { type: ["integer", "null"], minimum: 1, maximum: 1_000_000, description: "How many requests may wait." },
      max_wait: text("The longest time that a request waits."), overflow: text("When the queue is full.", { enum: ["reject", "passthrough", null] }),
    } },
    heartbeat: { type: "object", properties: { mode: text("Heartbeats.", { enum: ["auto", "off", null] }), interval: text("Silence."), plain: text("Whole answers.", { enum: ["auto", "whitespace", "off", null] }), commit_after: text("Commit.") } },
    log: { type: "object", properties: { level: text("The least severe.", { enum: ["debug", "info", "warn", "error", null] }) } },
    drain: { type: ["boolean", "null"] },
  },
};

function settings() {
  return {
    version: 1,
    settings: {
      providers: [{ name: "nvidia", limits: null, limits_hint: "40-M", burst: "auto", pin: null, paused: false }, { name: "local", limits: "10-S,1000-H", limits_hint: null, burst: 4, pin: null, paused: false }],
      queue: { capacity: 1000, max_wait: "15m", overflow: "reject" }, heartbeat: { mode: "auto", plain: "auto", interval: "15s", commit_after: "2s" }, log: { level: "info" }, drain: false,
    },
    schema,
    changed: [{ at: Date.now() - 340_000, by: "file", keys: ["queue.max_wait"] }, { at: Date.now() - 4_000_000, by: "127.0.0.1", keys: ["providers[nvidia].limits_hint", "log.level"] }],
    file: { path_known: true, error: null, read: Date.now() - 340_000 }, read_only: false,
  };
}

/** Starts it. Change `state` and call send(), or cut() and mend() the line; `asked` is all that was asked of it. */
export async function start(state = busy()) {
  const viewers = new Set();
  const stage = { state, settings: settings(), history: past, token: "", cancelled: [], patches: [], asked: [], frozen: false, send, cut, mend, stop };
  let silent = false;
  let seq = state.seq;

  function send() {
    stage.state.seq = ++seq;
    stage.state.settings_version = stage.settings.version;
    const event = `id: ${seq}\nevent: snapshot\ndata: ${JSON.stringify(stage.state)}\n\n`;
    for (const viewer of viewers) viewer.write(event);
  }
  /** Once a second, with all its times moved on. */
  const beat = setInterval(() => {
    if (silent || stage.frozen) return;
    advance(stage.state);
    send();
  }, 1000);
  function cut() {
    silent = true;
    for (const viewer of viewers) viewer.socket?.destroy();
    viewers.clear();
  }
  function mend() {
    silent = false;
  }

  const answer = (res, status, body) => {
    res.writeHead(status, { "Content-Type": "application/json" });
    res.end(status === 204 ? undefined : JSON.stringify(body));
  };
  const refuse = (res, status, message, param = null) => answer(res, status, { error: { message, param, code: "bad_request" } });

  const api = {
    "GET snapshot": (_, res) => answer(res, 200, stage.state),
    "GET events": (req, res) => {
      res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      viewers.add(res);
      req.on("close", () => viewers.delete(res));
      res.write("retry: 500\n\n");
    },
    "GET history": (_, res, url) => answer(res, 200, stage.history(url.searchParams.get("range"))),
    "GET settings": (_, res) => answer(res, 200, stage.settings),
    "PATCH settings": async (req, res) => {
      const chunks = [];
      for await (const chunk of req) chunks.push(chunk);
      const patch = JSON.parse(Buffer.concat(chunks).toString());
      stage.patches.push(patch);
      if (patch.version !== stage.settings.version) return refuse(res, 409, "the settings have changed");
      if (patch.settings.queue?.max_wait === "soon") return refuse(res, 400, 'queue.max_wait is "soon": want a duration such as 90s', "queue.max_wait");
      apply(stage, patch.settings);
      answer(res, 200, stage.settings);
    },
  };

  const server = createServer(async (req, res) => {
    const url = new URL(req.url, "http://stage");
    stage.asked.push(`${req.method} ${url.pathname}`);
    res.setHeader("Content-Security-Policy", policy);
    if (!url.pathname.startsWith(prefix)) return refuse(res, 404, "nothing is here");
    const name = url.pathname.slice(prefix.length);
    if (!name.startsWith("api/")) return file(res, name || "index.html");
    if (silent) return req.socket.destroy();
    if (req.method !== "GET" && stage.token && req.headers.authorization !== `Bearer ${stage.token}`) return refuse(res, 401, "an admin token is needed");
    if (req.method === "DELETE") return end(stage, decodeURIComponent(name.slice("api/queue/".length)), res, answer, refuse);
    const handler = api[`${req.method} ${name.slice("api/".length)}`];
    return handler ? handler(req, res, url) : refuse(res, 404, "there is no such path");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  stage.url = `http://127.0.0.1:${server.address().port}${prefix}`;
  async function stop() {
    clearInterval(beat);
    cut();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
  return stage;
}

function advance(state) {
  state.now += 1000;
  for (const each of state.waiting) {
    each.waited_ms += 1000;
    if (each.eta_ms !== null) each.eta_ms = Math.max(0, each.eta_ms - 1000);
  }
  for (const each of state.queue.classes) if (each.oldest_ms !== null) each.oldest_ms += 1000;
}

function end(stage, id, res, answer, refuse) {
  const at = stage.state.waiting.findIndex((each) => each.id === id);
  if (at < 0) return refuse(res, 404, "no such request waits", "id");
  const [gone] = stage.state.waiting.splice(at, 1);
  stage.state.queue.total--;
  stage.state.queue.classes.find((each) => each.class === gone.class).waiting--;
  stage.cancelled.push(id);
  answer(res, 204);
}

/** Merges a patch; things in lists are told by their names. */
function apply(stage, patch) {
  const keys = [];
  const merge = (into, from, at) => {
    for (const [name, value] of Object.entries(from)) {
      if (Array.isArray(value) && value[0]?.name) for (const item of value) merge(into[name].find((each) => each.name === item.name), item, `${at}${name}[${item.name}].`);
      else if (value && typeof value === "object" && !Array.isArray(value)) merge(into[name], value, `${at}${name}.`);
      else if (name !== "name") {
        into[name] = value;
        keys.push(at + name);
      }
    }
  };
  merge(stage.settings.settings, patch, "");
  stage.settings.version++;
  stage.settings.changed.unshift({ at: Date.now(), by: "127.0.0.1", keys });
  stage.state.draining = stage.settings.settings.drain;
  for (const each of stage.state.providers) each.paused = stage.settings.settings.providers.find((p) => p.name === each.name)?.paused ?? false;
}

async function file(res, name) {
  try {
    const body = await readFile(path.join(dist, path.normalize(`/${name}`)));
    res.writeHead(200, { "Content-Type": types[path.extname(name)] ?? "application/octet-stream" });
    res.end(body);
  } catch {
    res.writeHead(404);
    res.end();
  }
}
