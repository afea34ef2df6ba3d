import { expect, test } from "vitest";
import { timeline } from "./timeline";

test("a request that waited, was refused, waited again and was answered", () => {
  const parts = timeline({
    queued_ms: 2000, first_byte_ms: 6000, total_ms: 10_000,
    attempts: [{ at_ms: 2000, took_ms: 500, outcome: "quota" }, { at_ms: 5000, took_ms: 5000, outcome: "ok" }],
  });
  expect(parts).toEqual([
    { kind: "queued", from: 0, width: 20 }, { kind: "refused", from: 20, width: 5 }, { kind: "queued", from: 25, width: 25 },
    { kind: "silent", from: 50, width: 10 }, { kind: "answer", from: 60, width: 40 },
  ]);
});

test("one that was never sent only waited", () => {
  expect(timeline({ queued_ms: 900, first_byte_ms: null, total_ms: 900, attempts: [] })).toEqual([{ kind: "queued", from: 0, width: 100 }]);
});

test("a refusal that took no time can still be seen", () => {
  const [part] = timeline({ queued_ms: 0, first_byte_ms: null, total_ms: 60_000, attempts: [{ at_ms: 0, took_ms: 0, outcome: "broken" }] });
  expect(part).toEqual({ kind: "refused", from: 0, width: 0.8 });
});

test("numbers that contradict each other never leave the line", () => {
  const parts = timeline({ queued_ms: -5, first_byte_ms: 99_999, total_ms: 0, attempts: [{ at_ms: 300, took_ms: -20, outcome: "ok" }, { at_ms: 100, took_ms: 50, outcome: "ok" }] });
  for (const part of parts) {
    expect(part.from).toBeGreaterThanOrEqual(0);
    expect(part.from + part.width).toBeLessThanOrEqual(101);
  }
});
