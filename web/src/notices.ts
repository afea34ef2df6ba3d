/** What the page has to say: one sentence at a time, spoken by screen readers, gone after a while unless it is an error. */
import { signal } from "@preact/signals";

export interface Notice {
  text: string;
  bad: boolean;
}
export const notice = signal<Notice | null>(null);
/** What is only spoken: changes of state. */
export const spoken = signal("");

let timer = 0;

export function say(text: string, bad = false): void {
  clearTimeout(timer);
  notice.value = { text, bad };
  timer = window.setTimeout(() => (notice.value = null), bad ? 12_000 : 4_000);
}
