// A burst of users against a limit that really refuses: the whole promise of the sidecar, in a few seconds.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { start } from "./sidecar.mjs";

const limit = 8; // a second
const requests = 3 * limit;

let sidecar;
before(async () => (sidecar = await start({ SIDECAR_LIMITS: `${limit}-S` })));
after(() => sidecar?.stop());

test("more requests than the limit allows, and no 429 for anybody", async () => {
  await sidecar.mock("PUT", "limits", { limits: `${limit}-S` });
  const client = new OpenAI({ baseURL: sidecar.url, apiKey: "held-by-the-sidecar", maxRetries: 0 });
  const model = "meta/llama-3.3-70b-instruct";
  const answers = await Promise.all(
    Array.from({ length: requests }, (_, i) =>
      client.chat.completions.create({ model, messages: [{ role: "user", content: `Say ${i}.` }] }),
    ),
  );
  assert.equal(answers.length, requests);
  const { accepted, refused, scopes } = await sidecar.mock("GET", "stats");
  assert.deepEqual({ accepted, refused }, { accepted: requests, refused: 0 });
  const fullest = scopes[0].windows[0].most_accepted; // counted by the mock, which shares no code with the pacing
  assert.ok(fullest <= limit, `${fullest} passed within a second; the limit is ${limit}`);
});
