import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, expect, test, vi } from "vitest";
import en from "./i18n/en.json";
import zh from "./i18n/zh.json";

let firstLanguage: typeof import("./i18n").firstLanguage;
let fill: typeof import("./i18n").fill;
beforeAll(async () => {
  vi.stubGlobal("navigator", { languages: ["en"], language: "en" });
  ({ firstLanguage, fill } = await import("./i18n"));
});

const holes = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort();

test("both languages have the same keys, in the same order, with the same places to fill in", () => {
  expect(Object.keys(zh)).toEqual(Object.keys(en));
  for (const [key, text] of Object.entries(en)) expect([key, ...holes(zh[key as keyof typeof zh])]).toEqual([key, ...holes(text)]);
});

test("no text is empty, and Chinese is not English", () => {
  const same = Object.entries(en).filter(([key, text]) => text === zh[key as keyof typeof zh]).map(([key]) => key);
  expect(same).toEqual(["wait.p95"]);
  expect(Object.values(zh).every(Boolean)).toBe(true);
});

test("every text is used", () => {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => /\.tsx?$/.test(name) && !name.includes(".test."));
  const source = files.map((name) => readFileSync(`src/${name}`, "utf8")).join("\n");
  const built = [...source.matchAll(/`([a-z]+\.)\$\{/g)].map(([, prefix]) => prefix ?? "");
  const unused = Object.keys(en).filter((key) => !source.includes(`"${key}"`) && !built.some((prefix) => key.startsWith(prefix)));
  expect(unused).toEqual([]);
});

test.each([
  [null, ["zh-CN", "en"], "zh"], [null, ["fr-FR", "zh-TW"], "zh"], [null, ["de"], "en"], [null, [], "en"], ["zh", ["en"], "zh"], ["en", ["zh"], "en"], ["xx", ["zh"], "zh"],
] as const)("chosen %j, wanted %j: %s", (chosen, wanted, want) => expect(firstLanguage(chosen, wanted)).toBe(want));

test("what is filled in stays what it is", () => {
  expect(fill("{a} of {b}", { a: "<img onerror=x>", b: "{a}" })).toBe("<img onerror=x> of {a}");
  expect(fill("{unknown}", {})).toBe("{unknown}");
});
