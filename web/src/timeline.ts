/** A request's life as parts of a line, in percent of its length. Pure. */
import type { Request } from "./model";

export interface Part {
  kind: "queued" | "refused" | "silent" | "answer";
  from: number;
  width: number;
}

const leastVisible = 0.8;

/** Waiting, then each attempt: red where it failed; where it succeeded, silent until the first byte and then the answer. */
export function timeline(of: Pick<Request, "queued_ms" | "first_byte_ms" | "total_ms" | "attempts">): Part[] {
  const ends = of.attempts.map((each) => each.at_ms + each.took_ms);
  const all = Math.max(of.total_ms, of.queued_ms, ...ends, 1);
  const out: Part[] = [];
  const put = (kind: Part["kind"], from: number, to: number) => {
    const a = Math.min(Math.max(0, from), all);
    const b = Math.min(Math.max(a, to), all);
    if (b > a || kind === "refused") out.push({ kind, from: round((a / all) * 100), width: round(Math.max(((b - a) / all) * 100, leastVisible)) });
  };
  let at = 0;
  for (const each of of.attempts) {
    put("queued", at, each.at_ms);
    const end = each.at_ms + each.took_ms;
    if (each.outcome !== "ok") {
      put("refused", each.at_ms, end);
    } else {
      const first = Math.min(Math.max(of.first_byte_ms ?? end, each.at_ms), end);
      put("silent", each.at_ms, first);
      put("answer", first, Math.max(end, of.total_ms));
    }
    at = end;
  }
  if (of.attempts.length === 0) put("queued", 0, of.queued_ms);
  return out;
}

const round = (n: number) => Math.round(n * 100) / 100;
