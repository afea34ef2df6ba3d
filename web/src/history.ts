/** The time series of the graphs: read when the range is chosen, and again with each step. */
import { effect, signal } from "@preact/signals";
import { getHistory, problemOf } from "./api";
import { fresh } from "./live";
import { recall, remember } from "./memory";
import { type History, type Problem, type Range, ranges } from "./model";

const recalled = recall("range");
export const range = signal<Range>(ranges.find((each) => each === recalled) ?? "15m");
export const history = signal<History | null>(null);
export const historyProblem = signal<Problem | null>(null);

const leastPause = 5_000;
const longestPause = 60_000;

/** How long a series stays as good as new. */
export const pauseOf = (of: History | null): number => Math.min(longestPause, Math.max(leastPause, (of?.step_s ?? 0) * 1000));

export function chooseRange(next: Range): void {
  range.value = next;
  remember("range", next);
}

async function load(wanted: Range): Promise<void> {
  try {
    const got = await getHistory(wanted);
    if (wanted !== range.value) return;
    history.value = got;
    historyProblem.value = null;
  } catch (error) {
    if (wanted === range.value) historyProblem.value = problemOf(error);
  }
}

/** Reads at once, on every change of range, and from time to time while somebody looks. Call it once. */
export function followHistory(): void {
  let timer = 0;
  const again = async (wanted: Range) => {
    clearTimeout(timer);
    if (!document.hidden) await load(wanted);
    clearTimeout(timer);
    timer = window.setTimeout(() => void again(range.value), pauseOf(historyProblem.value ? null : history.value));
  };
  effect(() => {
    if (fresh.value) void again(range.value);
    else clearTimeout(timer);
  });
  document.addEventListener("visibilitychange", () => !document.hidden && fresh.value && void again(range.value));
}
