// What passes between an SDK and the sidecar, seen from the SDK's side: each adapter hands its SDK this fetch.

import { createHash } from "node:crypto";

/** A fetch that takes down what it sends and gets. */
export function recorder() {
  const sent = [];
  const recording = async (input, init = {}) => {
    const headers = new Headers(init.headers);
    const request = {
      path: new URL(input.url ?? input).pathname,
      retry: headers.get("x-stainless-retry-count"),
      timeout: headers.get("x-stainless-timeout"),
      ...digest(init.body),
    };
    sent.push(request);
    const began = performance.now();
    const answer = await fetch(input, init);
    request.head = performance.now() - began; // ms
    request.status = answer.status;
    request.headers = Object.fromEntries(answer.headers);
    request.raw = "";
    if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) return answer;
    const decoder = new TextDecoder();
    const watch = new TransformStream({
      transform(chunk, out) {
        request.raw += decoder.decode(chunk, { stream: true });
        out.enqueue(chunk);
      },
    });
    return new Response(answer.body.pipeThrough(watch), answer);
  };
  return { fetch: recording, sent };
}

function digest(body) {
  if (typeof body !== "string" && !(body instanceof Uint8Array)) return {};
  const bytes = Buffer.from(body);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { body: bytes.length < 1e5 ? bytes.toString() : "", bytes: bytes.length, sha256 };
}
