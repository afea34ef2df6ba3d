/**
 * Words in two languages, each a file of its own: only the one that is spoken is fetched. A key that is not in en.json is a
 * type error where it is used; that both files have the same keys and places to fill in is a test.
 */
import { batch, signal } from "@preact/signals";
import type en from "./i18n/en.json";
import english from "./i18n/en.json?url";
import chinese from "./i18n/zh.json?url";
import { recall, remember } from "./memory";

export type Key = keyof typeof en;
export const languages = { en: "English", zh: "中文" } as const;
export type Lang = keyof typeof languages;

const files: Record<Lang, string> = { en: english, zh: chinese };
const words = signal<Partial<Record<string, string>>>({});

/** The language to begin with: the one chosen here before, else the first of the browser's that we speak. */
export function firstLanguage(chosen: string | null, wanted: readonly string[]): Lang {
  const spoken = (tag: string | null) => (Object.keys(languages) as Lang[]).find((l) => tag?.toLowerCase().split("-")[0] === l);
  return spoken(chosen) ?? wanted.map(spoken).find(Boolean) ?? "en";
}

export const lang = signal<Lang>(firstLanguage(recall("lang"), navigator.languages ?? [navigator.language]));

/** Fetches a language's words and then speaks it; where they do not come, the page goes on as it was. */
export async function speak(next: Lang): Promise<void> {
  const got = await (await fetch(files[next])).json();
  batch(() => {
    words.value = got;
    lang.value = next;
  });
}

export function chooseLanguage(next: Lang): void {
  speak(next).then(() => remember("lang", next), () => {});
}

/** Fills the {names} of a text. What it fills in is text, too: nothing here is ever HTML. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The text of a key in the current language; a component that calls it is drawn again when the language changes. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return fill(words.value[key] ?? key, values);
}

/** The text of a key that is put together at run time, or null where there is none. */
export function maybe(key: string): string | null {
  return words.value[key] ?? null;
}
