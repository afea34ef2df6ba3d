/** Light or dark: what the system prefers, until the user says otherwise. */
import { computed, effect, signal } from "@preact/signals";
import { recall, remember } from "./memory";

export const themes = ["auto", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", () => (systemDark.value = system.matches));

const recalled = recall("theme");
export const theme = signal<Theme>(themes.find((name) => name === recalled) ?? "auto");
export const dark = computed(() => (theme.value === "auto" ? systemDark.value : theme.value === "dark"));

export function choose(next: Theme): void {
  theme.value = next;
  remember("theme", next);
}

effect(() => {
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
});
