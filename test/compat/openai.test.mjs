// The official OpenAI SDK against the sidecar: what its users see. Its own retries are off, so that whatever is cured here was
// cured by the sidecar.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import OpenAI from "openai";
import { providerKey, start } from "./sidecar.mjs";

const model = "meta/llama-3.3-70b-instruct";
const messages = [{ role: "user", content: "Say hello." }];
const tools = [
  {
    type: "function",
    function: { name: "get_time", description: "the time in a city", parameters: { type: "object", properties: {} } },
  },
];

let sidecar, client;
before(async () => {
  sidecar = await start();
  client = new OpenAI({ baseURL: sidecar.url, apiKey: "held-by-the-sidecar", maxRetries: 0 });
});
after(() => sidecar?.stop());
beforeEach(async () => {
  await sidecar.mock("POST", "reset");
  await sidecar.mock("PUT", "limits", { limits: "none" });
});

test("a chat is answered, and the headers say how", async () => {
  const { data, response } = await client.chat.completions
    .create({ model, messages }, { headers: { "X-Sidecar-Priority": "urgent", "X-Request-Id": "compat-1" } })
    .withResponse();
  assert.match(data.choices[0].message.content, /synthetic/);
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(response.headers.get("x-request-id"), "compat-1");
  assert.match(response.headers.get("x-sidecar-priority"), /^urgent$/i);
  assert.equal(response.headers.get("x-sidecar-attempts"), "1");
  assert.match(response.headers.get("x-sidecar-queue-wait-ms"), /^\d+$/);
});

test("a stream arrives whole, with its usage", async () => {
  const whole = await client.chat.completions.create({ model, messages });
  const stream = await client.chat.completions.create({
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let finish, usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text.trim(), whole.choices[0].message.content);
  assert.equal(finish, "stop");
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("a stream begins before it has ended", async () => {
  await sidecar.mock("POST", "faults", { fault: "slow_stream", delay: "30ms" });
  const times = [];
  for await (const _ of await client.chat.completions.create({ model, messages, stream: true })) {
    times.push(performance.now());
  }
  const spread = times.at(-1) - times[0];
  assert.ok(spread > 200, `${times.length} chunks within ${spread} ms: they were held back`);
});

test("the stream helper puts a tool call together", async () => {
  const whole = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  assert.equal(whole.choices[0].finish_reason, "tool_calls");
  assert.equal(whole.choices[0].message.tool_calls[0].function.name, "get_time");
  assert.deepEqual(JSON.parse(whole.choices[0].message.tool_calls[0].function.arguments), {});
});

test("the tool runner goes round: a call, its result, an answer", async () => {
  let asked = 0;
  const runner = client.chat.completions.runTools({
    model,
    messages,
    tools: [
      {
        type: "function",
        function: { ...tools[0].function, function: () => `${++asked} o'clock`, parse: JSON.parse },
      },
    ],
  });
  assert.match(await runner.finalContent(), /synthetic/);
  assert.equal(asked, 1);
  const roles = runner.messages.map((m) => m.role);
  assert.deepEqual(roles, ["user", "assistant", "tool", "assistant"]);
});

test("embeddings come back as numbers", async () => {
  const input = ["one", "two"];
  const encoded = await client.embeddings.create({ model, input }); // the SDK asks for base64
  const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
  assert.equal(encoded.data.length, 2);
  for (const [i, { embedding }] of encoded.data.entries()) {
    assert.ok(embedding.length > 0);
    assert.deepEqual(embedding, plain.data[i].embedding.map(Math.fround));
  }
});

test("the models are listed, without a slot", async () => {
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  assert.ok(ids.includes("mock/any"), `models are ${ids}`);
  assert.equal((await sidecar.mock("GET", "stats")).accepted, 0);
});

// NVIDIA's ids hold a slash, which the SDK sends as %2F.
test("a model is described by its id", async () => {
  assert.equal((await client.models.retrieve(model)).id, model);
});

// NVIDIA's errors have no member "error", and the SDK alone shows them as "404 status code (no body)".
for (const [fault, status, text] of [
  ["not_entitled", 404, /Not found for account/],
  ["no_such_model", 404, /Model does not exist by the name of compat\/no_such_model/],
  ["gone", 410, /end of life/],
  ["credits", 402, /Cloud credits expired/],
  ["worker_invalid", 400, /unsupported parameter/],
]) {
  test(`the upstream's ${fault} keeps its status and shows its message`, async () => {
    const model = `compat/${fault}`; // one of its own, since the sidecar remembers what a model answered
    await sidecar.mock("POST", "faults", { fault, model, times: -1 });
    const err = await failure(client.chat.completions.create({ model, messages }));
    assert.equal(err.status, status);
    assert.match(err.message, text);
    assert.doesNotMatch(err.message, /no body/);
  });
}

test("a wrong header is refused with a sentence that names it", async () => {
  const headers = { "X-Sidecar-Priority": "yesterday" };
  const err = await failure(client.chat.completions.create({ model, messages }, { headers }));
  assert.ok(err instanceof OpenAI.BadRequestError, `${err}`);
  assert.equal(err.code, "bad_request");
  assert.equal(err.headers.get("x-sidecar-reason"), "bad_request");
  for (const part of ["X-Sidecar-Priority", "yesterday", "urgent"]) assert.ok(err.message.includes(part), err.message);
});

for (const stream of [false, true]) {
  test(`a 429 of the upstream is waited out, ${stream ? "streaming" : "not streaming"}`, async () => {
    await sidecar.mock("POST", "faults", { fault: "quota", headers: { "Retry-After": "1" } });
    const { data, response } = await client.chat.completions.create({ model, messages, stream }).withResponse();
    let text = data.choices?.[0].message.content ?? "";
    if (stream) for await (const chunk of data) text += chunk.choices[0]?.delta?.content ?? "";
    assert.match(text, /synthetic/);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("x-sidecar-attempts"), "2");
    assert.equal((await sidecar.mock("GET", "stats")).verdicts.quota, 1);
  });
}

test("a cut stream is an error, never a finished answer", async () => {
  await sidecar.mock("POST", "faults", { fault: "cut", chunks: 3 });
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  let chunks = 0;
  const err = await failure(
    (async () => {
      for await (const chunk of stream) {
        chunks++;
        assert.notEqual(chunk.choices[0]?.finish_reason, "stop");
      }
    })(),
  );
  assert.equal(chunks, 3);
  assert.ok(err, "the cut stream ended as if it were whole");
});

test("a client that hangs up frees its place", async () => {
  const model = "compat/hang-up"; // one of its own, since the one that was refused above is paced for a while
  await sidecar.mock("POST", "faults", { fault: "hang" });
  const hangUp = new AbortController();
  const lost = failure(client.chat.completions.create({ model, messages }, { signal: hangUp.signal }));
  setTimeout(() => hangUp.abort(), 100);
  assert.ok((await lost) instanceof OpenAI.APIUserAbortError);
  assert.match((await client.chat.completions.create({ model, messages })).choices[0].message.content, /synthetic/);
  const aborts = /sidecar_client_aborts_total\{phase="upstream"\} 1/;
  assert.match(await (await fetch(sidecar.metrics)).text(), aborts);
});

test("the key never leaves the sidecar but to the provider", async () => {
  const seen = [sidecar.log(), await (await fetch(sidecar.metrics)).text()];
  const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
  seen.push(JSON.stringify(data), JSON.stringify([...response.headers]));
  for (const text of seen) assert.ok(!text.includes(providerKey));
});

/** The error a call ends with. */
async function failure(call) {
  try {
    await call;
  } catch (err) {
    return err;
  }
  assert.fail("the call succeeded; want an error");
}
