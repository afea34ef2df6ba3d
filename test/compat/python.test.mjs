// The oracle for the Python SDK, against what its authors and users have written down about it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { events, httpxLines, objects, sdkLines } from "./python.mjs";

const readers = { sdk: sdkLines, httpx: httpxLines };
const chunk = (n) => `data: {"n":${n}}\n\n`;

const streams = [
  ["two events", chunk(1) + chunk(2) + "data: [DONE]\n\n", [1, 2]],
  ["a comment before an event", `: queued pos=3 eta=12s\n${chunk(1)}`, [1]],
  ["a comment between events", `${chunk(1)}: queued pos=1 eta=2s\n${chunk(2)}`, [1, 2]],
  ["a comment with a blank line of its own", `${chunk(1)}: ping\n\n${chunk(2)}`, [1, 2]],
  ["a hundred comments", ": ping\n".repeat(100) + chunk(1), [1]],
  ["lines that end in \\r\\n", "data: {\"n\":1}\r\n\r\ndata: {\"n\":2}\r\n\r\n", [1, 2]],
  ["lines that end in \\r", "data: {\"n\":1}\r\rdata: {\"n\":2}\r\r", [1, 2]],
  ["data of two lines", 'data: {"n":\ndata: 1}\n\n', [1]],
  ["data without a space", 'data:{"n":1}\n\n', [1]],
  ["what comes after [DONE]", `data: [DONE]\n\n${chunk(1)}`, []],
  ["an event without a blank line at the end", 'data: {"n":1}\n', []],
  ["an event with a name", 'event: ping\ndata: {"n":1}\n\n', [1]],
];

// What the sidecar must therefore never send: openai-python#2722 and the table of forms that broke clients.
const deadly = [
  ["empty data", "data:\n\n", /JSON/],
  ["a retry alone", "retry: 1000\n\n", /JSON/],
  ["a comment with a blank line, after an id", `id: 7\n${chunk(1)}: ping\n\n${chunk(2)}`, /JSON/],
  ["an error", 'data: {"error":{"message":"the queue is full"}}\n\n', /APIError: the queue is full/],
];

for (const [reader, lines] of Object.entries(readers)) {
  for (const [name, stream, want] of streams) {
    test(`${reader}: ${name}, however it is cut`, () => {
      for (const chunks of cuts(stream)) {
        const got = objects(events(lines(chunks))).map(({ n }) => n);
        assert.deepEqual(got, want, `cut so: ${JSON.stringify(chunks.map(String))}`);
      }
    });
  }
  for (const [name, stream, want] of deadly) {
    test(`${reader}: ${name} is raised`, () => {
      assert.throws(() => objects(events(lines([Buffer.from(stream)]))), ({ name, message }) => want.test(`${name}: ${message}`));
    });
  }
  test(`${reader}: an id does not end a comment's harmlessness if it has one line feed`, () => {
    assert.equal(objects(events(lines([Buffer.from(`id: 7\n${chunk(1)}: ping\n${chunk(2)}`)]))).length, 2);
  });
}

test("httpx cuts a line where no server would expect it", () => {
  const stream = Buffer.from('data: {"n":1,"text":"a\u2028b"}\n\n');
  assert.equal(objects(events(sdkLines([stream]))).length, 1);
  assert.throws(() => objects(events(httpxLines([stream]))), SyntaxError);
});

/** Cut nowhere, everywhere, and once at each place. */
function cuts(text) {
  const bytes = Buffer.from(text);
  const each = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
  return [[bytes], each, ...Array.from(bytes, (_, i) => [bytes.subarray(0, i), bytes.subarray(i)])];
}
