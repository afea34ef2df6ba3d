/** What the page can do to the sidecar, each with what is said of its outcome. */
import { signal } from "@preact/signals";
import { cancelWaiting, problemOf } from "./api";
import { t } from "./i18n";
import type { Json, Problem } from "./model";
import { say } from "./notices";
import { change } from "./settings";

/** Whether the settings panel is open, and whether an action was refused for want of a token. */
export const panel = signal(false);
export const tokenWanted = signal(false);
/** Ids of waiting requests that are being cancelled. */
export const leaving = signal<ReadonlySet<string>>(new Set());

export function complain(problem: Problem): void {
  if (problem.status === 401) {
    tokenWanted.value = true;
    panel.value = true;
    return;
  }
  say(problem.status === 0 ? t("error.network") : problem.message, true);
}

export async function cancel(id: string): Promise<void> {
  leaving.value = new Set(leaving.value).add(id);
  try {
    await cancelWaiting(id);
    say(t("waiting.cancelled"));
  } catch (error) {
    const problem = problemOf(error);
    if (problem.status === 404) say(t("waiting.gone"));
    else complain(problem);
    const rest = new Set(leaving.value);
    rest.delete(id);
    leaving.value = rest;
  }
}

/** Turns one switch. Who turned another one in between is no reason to refuse it: it is tried once more. */
async function turn(changes: Json, done: string): Promise<void> {
  let problem = await change(changes);
  if (problem?.status === 409) problem = await change(changes);
  if (problem) complain(problem);
  else say(done);
}

export const pause = (name: string, paused: boolean) =>
  turn({ providers: [{ name, paused }] }, t(paused ? "providers.nowPaused" : "providers.nowResumed", { name }));

export const drain = (on: boolean) => turn({ drain: on }, t(on ? "drain.on" : "drain.off"));
