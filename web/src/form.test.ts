import { expect, test } from "vitest";
import { changed, check, fieldOf, fields, patch, read, show } from "./form";
import type { Schema } from "./model";

const schema: Schema = {
  properties: {
    drain: { type: ["boolean", "null"] },
    queue: { properties: {
      overflow: { type: ["string", "null"], enum: ["reject", "passthrough", null] },
      max_wait: { type: ["string", "null"], pattern: "^[0-9]+[smh]$" },
      capacity: { type: ["integer", "null"], minimum: 1, maximum: 1000 },
    } },
    providers: { type: "array", items: { properties: {
      name: { type: "string" }, limits: { type: ["string", "null"] }, burst: { type: ["string", "integer", "null"] }, keys: { type: ["array", "string"] },
    } } },
    fixed: { type: "string", readOnly: true },
  },
};
const values = {
  drain: false, queue: { overflow: "reject", max_wait: "15m", capacity: 1000 },
  providers: [{ name: "nvidia", limits: "40-M", burst: "auto", keys: ["a", "b"] }, { name: "local", limits: null, burst: 4, keys: [] }],
};
const all = fields(schema, values);
const at = (path: string) => {
  const found = all.find((each) => each.path === path);
  if (!found) throw new Error(`no field ${path}`);
  return found;
};

test("a schema becomes a flat list, in a reader's order, without names and what is read only", () => {
  expect(all.map((each) => each.path)).toEqual([
    "providers[nvidia].limits", "providers[local].limits", "providers[nvidia].burst", "providers[local].burst",
    "queue.capacity", "queue.max_wait", "queue.overflow", "drain", "providers[nvidia].keys", "providers[local].keys",
  ]);
  expect(at("providers[local].limits").word).toBe("providers.limits");
});

test.each([
  ["drain", "switch"], ["queue.overflow", "choice"], ["queue.capacity", "number"], ["queue.max_wait", "text"], ["providers[local].burst", "text"], ["providers[local].keys", "list"],
])("%s is a %s", (path, kind) => expect(at(path).kind).toBe(kind));

test.each([
  ["providers[nvidia].limits", " 40-M ", "40-M"], ["providers[nvidia].limits", "  ", null], ["providers[nvidia].burst", "12", 12], ["providers[nvidia].burst", "auto", "auto"],
  ["queue.capacity", "70", 70], ["drain", "true", true], ["drain", "", false], ["providers[nvidia].keys", "a, ,b", ["a", "b"]],
])("%s reads %j as %j", (path, text, want) => expect(read(at(path), text)).toEqual(want));

test("what is shown reads back as what holds", () => {
  for (const each of all) expect(changed([each], new Map([[each.path, show(each.value)]]))).toEqual([]);
});

test.each([
  ["queue.capacity", "1000", undefined], ["queue.capacity", "1001", "error.range"], ["queue.capacity", "0", "error.range"], ["queue.capacity", "1.5", "error.integer"],
  ["queue.capacity", "many", "error.number"], ["queue.max_wait", "90s", undefined], ["queue.max_wait", "soon", "error.pattern"], ["queue.max_wait", "", undefined],
])("%s = %j: %s", (path, text, want) => expect(check(at(path), text)?.key).toBe(want));

test("a patch holds what differs, nested as in the file, with a list's things told by name", () => {
  const edits = new Map([
    ["queue.capacity", "1000"], ["queue.max_wait", "90s"], ["providers[local].limits", "10-S,1000-H"], ["providers[local].burst", "4"], ["providers[nvidia].burst", "8"],
  ]);
  expect(patch(all, edits)).toEqual({
    queue: { max_wait: "90s" },
    providers: [{ name: "local", limits: "10-S,1000-H" }, { name: "nvidia", burst: 8 }],
  });
});

test.each([
  ["queue.max_wait", "queue.max_wait"], ["settings.queue.max_wait", "queue.max_wait"], ["providers[local].limits", "providers[local].limits"],
  ["providers[1].limits", "providers[local].limits"], ["providers.0.limits", "providers[nvidia].limits"], ["providers[].limits", "providers[nvidia].limits"],
  ["version", undefined], ["queue", undefined], [null, undefined],
])("an error about %s belongs to %s", (param, want) => expect(fieldOf(param, all, ["nvidia", "local"])?.path).toBe(want));
