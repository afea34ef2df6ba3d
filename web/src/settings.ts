/** The settings that may change while running: read at the start and whenever somebody has changed them. */
import { computed, effect, signal } from "@preact/signals";
import { getSettings, patchSettings, problemOf } from "./api";
import { fields } from "./form";
import { snapshot } from "./live";
import type { Json, Problem, Settings } from "./model";

export const settings = signal<Settings | null>(null);
export const settingsProblem = signal<Problem | null>(null);
export const settingsFields = computed(() => (settings.value ? fields(settings.value.schema, settings.value.settings) : []));

let asked = -1;

export async function readSettings(): Promise<void> {
  try {
    settings.value = await getSettings();
    settingsProblem.value = null;
  } catch (error) {
    settingsProblem.value = problemOf(error);
    asked = -1; // with the next snapshot, again
  }
}

/** Follows the snapshot's settings_version. Call it once. */
export function followSettings(): void {
  const version = computed(() => snapshot.value?.settings_version ?? -1);
  const beat = computed(() => (settingsProblem.value ? snapshot.value?.seq : 0));
  effect(() => {
    beat.value;
    if (version.value === -1 || version.value === asked) return;
    asked = version.value;
    if (settings.peek()?.version !== version.value) void readSettings();
  });
}

/** Changes settings, all of them or none; answers with what was wrong, or null. */
export async function change(changes: Json): Promise<Problem | null> {
  const version = settings.value?.version ?? snapshot.value?.settings_version ?? 0;
  try {
    settings.value = await patchSettings(version, changes);
    return null;
  } catch (error) {
    const problem = problemOf(error);
    if (problem.status === 409) await readSettings();
    return problem;
  }
}
