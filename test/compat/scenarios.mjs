// What every client goes through, written once for all. A scenario says which verb the client must have, if it is not plain,
// and what must come of it. A patient one mostly waits.

import assert from "node:assert/strict";
import { good, within } from "./bench.mjs";
import { beatsIn, withoutBeats } from "./heartbeat.mjs";
import { events, httpxLines, objects, sdkLines } from "./python.mjs";

const synthetic = /^This is a synthetic answer .* nothing in ?$/;
const words = 16; // of an answer of the mock
const blocked = (model, seconds) => ({ fault: "quota", model, headers: { "Retry-After": `${seconds}` } });

/** Five megabytes that are no picture, which nobody on the way can know. */
const picture = () => {
  const bytes = Buffer.alloc(5_000_000);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  return `data:image/png;base64,${bytes.toString("base64")}`;
};

const letters = (n) => `data:image/png;base64,${"A".repeat(n)}`;

function answered(outcome) {
  good(outcome);
  assert.match(outcome.text, synthetic);
  assert.equal(outcome.finish, "stop");
  assert.equal(outcome.usage.output, words);
  assert.ok(outcome.usage.input > 0);
}

function called(outcome) {
  good(outcome);
  assert.equal(outcome.finish, "tool");
  assert.deepEqual(outcome.tool, { name: "get_time", arguments: { zone: "synthetic" } });
}

/** The error is one of the client's own for a status, and shows the sidecar's words. */
function refused(client, outcome, { status, reason, says, type }) {
  const { error, sent } = outcome;
  assert.ok(error, `it succeeded with ${JSON.stringify(outcome.text)}; want ${reason}`);
  const { headers } = sent.at(-1);
  assert.equal(headers["x-sidecar-reason"], reason, JSON.stringify({ error, headers }));
  assert.equal(error.class, client.errorClass(status), JSON.stringify(error));
  assert.equal(error.status, status);
  assert.match(error.message, says);
  assert.doesNotMatch(error.message, /no body/);
  if (client.dialect === "openai") assert.equal(error.code, reason);
  assert.equal(error.type, type[client.dialect]);
  const { "retry-after": after } = headers;
  if (after) assert.ok(/^\d+$/.test(after) && after >= 1 && after <= 60, `Retry-After is ${after}`);
}

const types = (openai, anthropic) => ({ openai, anthropic });
const server = types("server_error", "api_error");
const overloaded = types("server_error", "overloaded_error");
const invalid = types("invalid_request_error", "invalid_request_error");
const tooMany = types("rate_limit_error", "rate_limit_error");

/** Each error of the sidecar's own that can be had from the outside. */
const refusals = [
  {
    reason: "bad_request", status: 400, type: invalid, says: /X-Sidecar-Priority.*yesterday.*urgent/,
    provoke: (bench, model) => bench.ask("plain", { model, headers: { "X-Sidecar-Priority": "yesterday" } }),
  },
  {
    reason: "unauthorized", status: 401, type: types("authentication_error", "authentication_error"), says: /SIDECAR_CLIENT_KEYS/,
    provoke: (bench, model) => bench.ask("plain", { at: "guarded", model }),
  },
  {
    reason: "forbidden_origin", status: 403, type: types("permission_error", "permission_error"), says: /origin/i,
    provoke: (bench, model) => bench.ask("plain", { model, headers: { Origin: "https://evil.example" } }),
  },
  {
    reason: "body_too_large", status: 413, type: types("invalid_request_error", "request_too_large"), says: /max_body/,
    provoke: (bench, model) => bench.ask("plain", { at: "small", model, image: letters(4000) }),
  },
  {
    reason: "overloaded", status: 503, type: overloaded, says: /./,
    async provoke(bench, model) {
      await bench.arm({ fault: "delay", model, delay: "500ms" });
      const first = bench.fill("poor", model, { text: "A".repeat(15_000) });
      await within(2000, async () => assert.equal((await bench.arrivals(model)).length, 1));
      const outcome = await bench.ask("plain", { at: "poor", model, image: letters(12_000) });
      await first;
      return outcome;
    },
  },
  {
    reason: "queue_full", status: 429, type: tooMany, says: /queue/,
    async provoke(bench, model) {
      await bench.fill("slow", model);
      return crowded(bench, model, {}, () => bench.ask("plain", { at: "slow", model }));
    },
  },
  {
    reason: "displaced", status: 429, type: tooMany, says: /urgent/,
    async provoke(bench, model) {
      await bench.fill("slow", model);
      const waiting = bench.ask("plain", { at: "slow", model, headers: { "X-Sidecar-Priority": "low" } });
      await queued(bench, "slow");
      return crowded(bench, model, { "X-Sidecar-Priority": "urgent" }, () => waiting);
    },
  },
  {
    reason: "deadline", status: 503, type: types("rate_limit_error", "overloaded_error"), says: /\d ?s/,
    async provoke(bench, model) {
      await bench.fill("slow", model);
      const outcome = await bench.ask("plain", { at: "slow", model, headers: { "X-Sidecar-Max-Wait": "2s" } });
      assert.ok(outcome.took < 1000, `it was said after ${outcome.took} ms; want it at once`);
      return outcome;
    },
  },
  {
    reason: "queue_timeout", status: 503, type: types("rate_limit_error", "overloaded_error"), says: /waited as long as it may/,
    async provoke(bench, model) {
      await bench.fill("hasty", model);
      return bench.ask("plain", { at: "hasty", model });
    },
  },
  {
    reason: "draining", status: 503, type: overloaded, says: /shutting down/,
    async provoke(bench, model) {
      await bench.fill("leaving", model);
      const outcome = bench.ask("plain", { at: "leaving", model });
      await queued(bench, "leaving");
      await bench.end("leaving");
      return outcome;
    },
  },
  {
    reason: "upstream_rate_limited", status: 429, type: tooMany, says: /upstream/i,
    async provoke(bench, model) {
      await bench.arm(blocked(model, 30));
      return bench.ask("plain", { at: "limited", model, headers: { "X-Sidecar-Max-Wait": "2s" } });
    },
  },
  {
    reason: "upstream_unreachable", status: 502, type: server, says: /upstream/i,
    provoke: (bench, model) => bench.ask("plain", { at: "gone", model }),
  },
  {
    reason: "upstream_timeout", status: 504, type: server, says: /./,
    async provoke(bench, model) {
      await bench.arm({ fault: "hang", model, times: -1 });
      return bench.ask("plain", { at: "impatient", model });
    },
  },
];

const refusal = (reason) => refusals.find((r) => r.reason === reason);

/** Runs while the one place in the queue is taken by a request with these headers. */
async function crowded(bench, model, headers, run) {
  const leave = new AbortController();
  const waiting = bench.fill("slow", model, { headers, signal: leave.signal }).catch(() => {});
  await queued(bench, "slow");
  const outcome = await run();
  leave.abort();
  await waiting;
  await within(10_000, async () => assert.equal(await bench.metric("slow", "sidecar_queue_depth{"), 0));
  return outcome;
}

const queued = (bench, at) =>
  within(10_000, async () => assert.equal(await bench.metric(at, "sidecar_queue_depth{"), 1, "waiting in the queue"));

/** What a stream with heartbeats must have come to. */
function unnoticed(outcome) {
  answered(outcome);
  assert.equal(outcome.pieces.length, words, "the pieces that came");
  assert.equal(outcome.pieces.join(""), outcome.text);
  assert.deepEqual(outcome.finishes, ["stop"]);
  assert.equal(outcome.sent.length, 1, "requests sent");
}

/** The SDK for Python reads the same from a stream with heartbeats as from one without, wherever the network cuts it. */
function readable(raw, direct) {
  for (const lines of [sdkLines, httpxLines]) {
    const want = objects(events(lines([Buffer.from(direct)])));
    for (let size = 1; size < raw.length; size = Math.ceil(size * 1.7)) {
      const chunks = [];
      for (let i = 0; i < raw.length; i += size) chunks.push(Buffer.from(raw.slice(i, i + size)));
      assert.deepEqual(objects(events(lines(chunks))), want, `cut into ${size} bytes each`);
    }
  }
}

export const scenarios = [
  {
    name: "plain",
    run: async (bench, model) => answered(await bench.ask("plain", { model })),
  },
  {
    name: "stream",
    async run(bench, model) {
      unnoticed(await bench.ask("stream", { model }));
    },
  },
  { name: "tool", run: async (bench, model) => called(await bench.ask("tool", { model })) },
  { name: "tool stream", run: async (bench, model) => called(await bench.ask("tool stream", { model })) },
  {
    name: "structured output", verb: "object",
    async run(bench, model) {
      const { object } = good(await bench.ask("object", { model }));
      assert.deepEqual(object, { city: "synthetic", degrees: 0 });
    },
  },
  {
    name: "embeddings", verb: "embed",
    async run(bench, model) {
      const { vectors } = good(await bench.ask("embed", { model }));
      assert.deepEqual(vectors.map((v) => v.length), [16, 16, 16]);
      assert.deepEqual(vectors[0], vectors[2]);
      assert.notDeepEqual(vectors[0], vectors[1]);
    },
  },
  {
    name: "count tokens", verb: "count",
    run: async (bench, model) => assert.ok(good(await bench.ask("count", { model })).tokens > 0),
  },
  {
    name: "5 MB image",
    async run(bench, model) {
      const outcome = await bench.ask("plain", { model, image: picture() });
      answered(outcome);
      const [arrival] = await bench.arrivals(model);
      const [{ sha256, bytes }] = outcome.sent;
      assert.ok(bytes > 6_600_000 && arrival.bytes > 6_600_000, `${bytes} bytes were sent and ${arrival.bytes} came`);
      if (bench.client.translated) return;
      assert.deepEqual({ sha256: arrival.sha256, bytes: arrival.bytes }, { sha256, bytes });
    },
  },
  ...refusals.map(({ provoke, ...want }) => ({
    name: want.reason,
    async run(bench, model) {
      const outcome = await provoke(bench, model);
      refused(bench.client, outcome, want);
    },
  })),
  {
    name: "retries what is worth it",
    async run(bench, model) {
      await bench.arm(blocked(model, 2));
      const waiting = bench.fill("full", model);
      await queued(bench, "full");
      const outcome = await bench.ask("plain", { at: "full", model, retries: 2 });
      await waiting;
      if (bench.client.retries === "never") return refused(bench.client, outcome, refusal("queue_full"));
      answered(outcome);
      assert.ok(outcome.sent.length >= 2 && outcome.sent.at(-1).status === 200, `${outcome.sent.length} were sent`);
      if (bench.client.retries === "obeys") assert.deepEqual(outcome.sent.map((s) => s.retry).slice(0, 2), ["0", "1"]);
    },
  },
  {
    name: "does not retry what is not",
    async run(bench, model) {
      await bench.fill("slow", model);
      const outcome = await bench.ask("plain", { at: "slow", model, retries: 1, headers: { "X-Sidecar-Max-Wait": "2s" } });
      assert.equal(outcome.sent.at(-1).headers["x-should-retry"], "false");
      assert.equal(outcome.sent.length, bench.client.retries === "by status" ? 2 : 1, "requests sent");
    },
  },
  {
    name: "its time-out is known",
    async run(bench, model) {
      await bench.fill("slow", model);
      const outcome = await bench.ask("plain", { at: "slow", model, timeout: 3000 });
      if (bench.client.announces) {
        assert.equal(outcome.sent[0].timeout, "3");
        refused(bench.client, outcome, refusal("deadline"));
        assert.ok(outcome.took < 1000, `it was told after ${outcome.took} ms; want it at once`);
        return;
      }
      assert.ok(outcome.error && outcome.took < 4000, `it gave up after ${outcome.took} ms`);
      await within(1000, async () => assert.ok((await bench.metric("slow", 'sidecar_client_aborts_total{phase="queued"}')) > 0));
    },
  },
  {
    name: "interim answers",
    async run(bench, model) {
      await bench.arm(blocked(model, 2));
      answered(await bench.ask("plain", { at: "beating", model }));
    },
  },
  {
    name: "white space before JSON",
    async run(bench, model) {
      await bench.arm(blocked(model, 3));
      const outcome = await bench.ask("plain", { at: "spacing", model });
      answered(outcome);
      const [{ head }] = outcome.sent;
      assert.ok(head < 2000 && outcome.took > 3000, `the head came after ${head} ms, the answer after ${outcome.took}`);
    },
  },
  {
    name: "error after a heartbeat", verb: "stream",
    async run(bench, model) {
      await bench.arm(blocked(model, 30));
      const headers = { "X-Sidecar-Max-Wait": "3s" };
      const { error, sent, finishes } = await bench.ask("stream", { at: "beating", model, headers });
      assert.equal(sent[0].status, 200);
      assert.ok(beatsIn(bench.client, sent[0].raw) > 0, sent[0].raw);
      assert.ok(error, "it ended as if it had been answered");
      assert.match(error.message, bench.client.deaf ?? /upstream/);
      assert.deepEqual(finishes, []);
    },
  },
  {
    name: "hangs up mid-stream", verb: "stream",
    async run(bench, model) {
      const before = (await bench.mock("GET", "stats")).aborted;
      await bench.arm({ fault: "slow_stream", model, delay: "100ms" });
      const outcome = await bench.ask("stream", { model, enough: 3 });
      const came = outcome.pieces.length; // maybe one or two that were under way, too
      assert.ok(came >= 3 && came < 8, `${came} pieces came`);
      await within(1000, async () => assert.equal((await bench.mock("GET", "stats")).aborted, before + 1));
    },
  },
  {
    name: "cut stream", verb: "stream",
    async run(bench, model) {
      await bench.arm({ fault: "cut", model, chunks: 5 });
      const outcome = await bench.ask("stream", { model });
      assert.ok(outcome.error, "the cut stream ended as if it were whole");
      assert.deepEqual(outcome.finishes, [], "it says that it finished");
      assert.ok(outcome.pieces.length > 0, "no piece came");
    },
  },
  {
    name: "40 s in the queue, 11 s mid-stream", verb: "stream", patient: true,
    async run(bench, model) {
      const { client } = bench;
      await bench.arm(blocked(model, 40));
      await bench.arm({ fault: "pause", model, chunks: 8, delay: "11s" });
      const outcome = await bench.ask("stream", { at: "waiting", model });
      unnoticed(outcome);
      assert.ok(outcome.took > 51_000, `it took ${outcome.took} ms`);
      const [sent] = outcome.sent;
      const [before, inside] = sent.raw.split(/(?=synthetic)/, 2).map((part) => beatsIn(client, part));
      assert.ok(before >= 4 && before <= 6 && inside === 1, `${before} heartbeats before and ${inside} inside:\n${sent.raw}`);
      if (client.dialect === "openai") assert.match(sent.raw, /^: queued, position 1, about \d+s$/m);
      if (client.translated) return;
      const direct = await bench.direct(sent);
      assert.equal(withoutBeats(client, sent.raw), direct, "without the heartbeats it is what the upstream sent, byte for byte");
      if (client.dialect === "openai") readable(sent.raw, direct);
    },
  },
];
