/** Talks to the sidecar. Every address is relative, so the page works under any path prefix and asks no other host. */
import { signal } from "@preact/signals";
import type { History, Json, Problem, Range, Settings, Snapshot } from "./model";

/** The admin token, for what changes something; kept until the page is closed, and nowhere else. */
export const token = signal("");

/** What a request that failed throws; status 0 means that no answer came. */
export class Failure extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

export function problemOf(error: unknown): Problem {
  return error instanceof Failure ? error.problem : { status: 0, message: String(error), param: null };
}

async function ask<T>(method: string, path: string, body?: Json): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  let answer: Response;
  try {
    answer = await fetch(`api/${path}`, { method, headers, body: body === undefined ? null : JSON.stringify(body), cache: "no-store" });
  } catch (error) {
    throw new Failure({ status: 0, message: String(error), param: null });
  }
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  throw new Failure(await readProblem(answer));
}

async function readProblem(answer: Response): Promise<Problem> {
  const fallback = { status: answer.status, message: `HTTP ${answer.status}`, param: null };
  try {
    const { error } = (await answer.json()) as { error: { message: string; param?: string | null } };
    return { status: answer.status, message: error.message || fallback.message, param: error.param ?? null };
  } catch {
    return fallback;
  }
}

export const getSnapshot = () => ask<Snapshot>("GET", "snapshot");
export const getHistory = (range: Range) => ask<History>("GET", `history?range=${range}`);
export const getSettings = () => ask<Settings>("GET", "settings");
export const patchSettings = (version: number, settings: Json) => ask<Settings>("PATCH", "settings", { version, settings });
export const cancelWaiting = (id: string) => ask<void>("DELETE", `queue/${encodeURIComponent(id)}`);
