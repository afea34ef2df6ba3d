// What a scenario works with: one client, a mock of its own, and sidecars in front of it with the settings that it needs.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { startMock, startSidecar } from "./sidecar.mjs";

/** The first heartbeat comes at once, and the next after the shortest interval there is. */
const beating = { SIDECAR_COMMIT_AFTER: "0s", SIDECAR_HEARTBEAT_INTERVAL: "10s" };

/** The settings that scenarios ask for by name. */
const settings = {
  open: {},
  // One may wait.
  full: { SIDECAR_QUEUE_CAPACITY: "1" },
  // One may pass, and the next in a minute.
  slow: { SIDECAR_QUEUE_CAPACITY: "1", SIDECAR_LIMITS: "1-M", SIDECAR_BURST: "1" },
  hasty: { SIDECAR_LIMITS: "1-M", SIDECAR_BURST: "1", SIDECAR_MAX_WAIT: "1s" },
  leaving: { SIDECAR_LIMITS: "1-M", SIDECAR_BURST: "1" },
  limited: {},
  small: { SIDECAR_MAX_BODY: "1KB" },
  poor: { SIDECAR_MAX_BODY: "20KB", SIDECAR_QUEUE_MAX_BYTES: "20KB" },
  impatient: { SIDECAR_HEAD_TIMEOUT: "1s" },
  guarded: { SIDECAR_CLIENT_KEYS: "somebody:0123456789abcdef0123456789abcdef" },
  beating,
  waiting: beating,
  spacing: { ...beating, SIDECAR_HEARTBEAT_PLAIN: "whitespace" },
};

const filling = "/v1/chat/completions"; // where Bench.fill asks
const nowhere = "http://127.0.0.1:1"; // nobody listens there

export class Bench {
  #mock;
  #sidecars = {};
  #models = 0;

  constructor(client) {
    this.client = client;
  }

  /** A model of its own for each scenario, since the sidecar remembers what a model answered. */
  model = () => `compat/m${++this.#models}`;

  mock = async (method, what, body) => (await (this.#mock ??= startMock())).control(method, what, body);
  arm = (fault) => this.mock("POST", "faults", fault);

  /** The sidecar with the settings of that name; "gone" stands before no upstream. */
  async sidecar(name = "open") {
    const upstream = name === "gone" ? nowhere : (await (this.#mock ??= startMock())).url;
    return (this.#sidecars[name] ??= startSidecar(upstream, { ...this.client.settings, ...settings[name] }));
  }

  /** Tells the sidecar to end, and returns when it has. */
  async end(name) {
    const { stop } = await this.#sidecars[name];
    delete this.#sidecars[name];
    await stop();
  }

  /** Asks through the client. */
  async ask(verb, { at = "open", ...call }) {
    const { origin } = await this.sidecar(at);
    return this.client.ask(verb, { url: origin, key: "held-by-the-sidecar", ...call });
  }

  /** Asks for the same model without an SDK. */
  async fill(at, model, { headers, text = "", signal } = {}) {
    const { origin } = await this.sidecar(at);
    const body = JSON.stringify({ model, messages: [{ role: "user", content: text }] });
    const type = { "content-type": "application/json" };
    return fetch(`${origin}${filling}`, { method: "POST", body, signal, headers: { ...type, ...headers } });
  }

  /** What the mock answers to these bytes with nothing in between. */
  async direct({ path, body }) {
    const { url } = await this.#mock;
    const headers = { "content-type": "application/json", authorization: "Bearer any", "x-api-key": "any" };
    return (await fetch(url + path, { method: "POST", body, headers })).text();
  }

  /** The sum of a sidecar's metrics whose line begins so. */
  async metric(at, begin) {
    const { metrics } = await this.sidecar(at);
    const lines = (await (await fetch(metrics)).text()).split("\n").filter((line) => line.startsWith(begin));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  /** Goes through a scenario. What came to the upstream must have come to the client's path there, if it has one. */
  async through({ run }) {
    const model = this.model();
    await run(this, model);
    const { path } = this.client;
    if (!path) return;
    const strays = (await this.arrivals(model)).map((a) => a.path).filter((p) => !p.startsWith(path) && p !== filling);
    assert.deepEqual(strays, [], `paths at the upstream that are not ${path}`);
  }

  arrivals = async (model) => (await this.mock("GET", "arrivals")).filter((a) => a.model === model);

  async stop() {
    const started = [...Object.values(this.#sidecars), this.#mock];
    await Promise.all(started.map(async (process) => (await process)?.stop()));
  }
}

/** Asks again until a check holds, for at most that long. */
export async function within(ms, check) {
  const deadline = performance.now() + ms;
  for (;;) {
    try {
      return await check();
    } catch (err) {
      if (performance.now() > deadline) throw err;
    }
    await pause(20);
  }
}

/** The outcome of a call that must have succeeded. */
export function good(outcome) {
  assert.equal(outcome.error, undefined, `failed: ${JSON.stringify(outcome.error)}`);
  return outcome;
}
