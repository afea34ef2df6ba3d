/**
 * Settings as a form: a JSON schema and the values that hold become a flat list of fields, what was typed becomes a patch,
 * and an error's param becomes the field that it belongs to. Pure, so that it is tested as tables.
 */
import type { Json, Schema } from "./model";

export type Kind = "switch" | "choice" | "number" | "list" | "text";

export interface Field {
  /** Where it stands in the settings: names, and for a list of named things the name: ["providers", "nvidia", "limits"]. */
  steps: string[];
  /** Whether it belongs to one of a list of named things, so that its second step is a name. */
  named: boolean;
  /** The same as an operator writes it: providers[nvidia].limits. */
  path: string;
  /** The path without names of providers, for looking up its words: providers.limits. */
  word: string;
  kind: Kind;
  value: Json;
  choices: string[];
  schema: Schema;
}

export type FieldError = { key: "error.number" | "error.integer" | "error.range" | "error.pattern"; values?: Record<string, string | number> };

type Tree = { [name: string]: Json };

const isTree = (value: Json | undefined): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);
const types = (schema: Schema): string[] => [schema.type ?? []].flat().filter((type) => type !== "null");

/** The order that a reader expects; what is not in it comes last. */
const order = [
  "providers.limits", "providers.limits_hint", "providers.pin", "providers.burst", "queue.capacity", "queue.max_wait", "queue.overflow",
  "heartbeat.mode", "heartbeat.plain", "heartbeat.interval", "heartbeat.commit_after", "log.level",
];
const rank = (of: Field) => (order.indexOf(of.word) + 1 || order.length + 1);

/** The fields of a schema; lists of named things become one group of fields each. */
export function fields(schema: Schema, values: Json): Field[] {
  const out: Field[] = [];
  collect(schema, values, [], [], out);
  return out.sort((a, b) => rank(a) - rank(b));
}

function collect(schema: Schema, value: Json | undefined, steps: string[], words: string[], out: Field[]): void {
  if (schema.properties) {
    for (const [name, part] of Object.entries(schema.properties)) {
      if (name === "name" && steps.length > 0 && words.length < steps.length) continue; // it names the group
      collect(part, isTree(value) ? value[name] : undefined, [...steps, name], [...words, name], out);
    }
  } else if (schema.items?.properties) {
    for (const item of Array.isArray(value) ? value : []) {
      if (isTree(item) && typeof item.name === "string") collect(schema.items, item, [...steps, item.name], words, out);
    }
  } else if (!schema.readOnly) {
    out.push(field(schema, value ?? null, steps, words.join(".")));
  }
}

function field(schema: Schema, value: Json, steps: string[], word: string): Field {
  const [list, name, ...rest] = steps;
  const named = word.split(".").length < steps.length;
  const path = named ? `${list}[${name}].${rest.join(".")}` : steps.join(".");
  const choices = (schema.enum ?? []).filter((choice) => choice !== null).map(String);
  return { steps, named, path, word, kind: kindOf(schema, choices, value), value, choices, schema };
}

function kindOf(schema: Schema, choices: string[], value: Json): Kind {
  const allowed = types(schema);
  if (choices.length > 0) return "choice";
  if (allowed.includes("array") || Array.isArray(value)) return "list";
  if (allowed.length === 1 && allowed[0] === "boolean") return "switch";
  if (allowed.length > 0 && allowed.every((type) => type === "integer" || type === "number")) return "number";
  return "text";
}

/** What an input shows for a value. */
export function show(value: Json): string {
  if (value === null) return "";
  if (Array.isArray(value)) return value.map((item) => (isTree(item) ? JSON.stringify(item) : String(item))).join(", ");
  return isTree(value) ? JSON.stringify(value) : String(value);
}

/** What was typed, as the schema wants it. An empty text takes a setting back to nothing. */
export function read(of: Field, text: string): Json {
  const trimmed = text.trim();
  const allowed = types(of.schema);
  if (of.kind === "switch") return trimmed === "true";
  if (trimmed === "") return null;
  if (of.kind === "list") return trimmed.split(",").map((item) => item.trim()).filter(Boolean);
  const numeric = allowed.includes("integer") || allowed.includes("number");
  return numeric && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/** What the page can already say about a value; the sidecar checks the rest. */
export function check(of: Field, text: string): FieldError | null {
  const value = read(of, text);
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY, pattern } = of.schema;
  if (of.kind === "number" && value !== null && typeof value !== "number") return { key: "error.number" };
  if (typeof value === "number") {
    if (of.kind === "number" && !types(of.schema).includes("number") && !Number.isInteger(value)) return { key: "error.integer" };
    if (value < minimum || value > maximum) return { key: "error.range", values: { minimum, maximum } };
  }
  if (pattern && typeof value === "string" && !new RegExp(pattern, "u").test(value)) return { key: "error.pattern", values: { pattern } };
  return null;
}

/** Only what differs from what holds, nested as in the file; a thing in a list is told by its name. */
export function patch(all: Field[], edits: ReadonlyMap<string, string>): Tree {
  const out: Tree = {};
  for (const of of changed(all, edits)) {
    const value = read(of, edits.get(of.path) ?? "");
    const [list, name, ...rest] = of.steps;
    if (of.named && list && name) put(out, list, name, rest, value);
    else set(out, of.steps, value);
  }
  return out;
}

function put(out: Tree, list: string, name: string, rest: string[], value: Json): void {
  const items = (out[list] ??= []) as Tree[];
  let item = items.find((candidate) => candidate.name === name);
  if (!item) items.push((item = { name }));
  set(item, rest, value);
}

function set(tree: Tree, steps: string[], value: Json): void {
  const last = steps.at(-1);
  if (last === undefined) return;
  let at = tree;
  for (const step of steps.slice(0, -1)) at = (at[step] ??= {}) as Tree;
  at[last] = value;
}

/** The fields whose text says something else than what holds. */
export function changed(all: Field[], edits: ReadonlyMap<string, string>): Field[] {
  return all.filter((of) => edits.has(of.path) && JSON.stringify(read(of, edits.get(of.path) ?? "")) !== JSON.stringify(settle(of)));
}

/** The value that holds, read back as if it had been typed, so that 40 and "40" are not a change. */
const settle = (of: Field): Json => read(of, show(of.value));

/** The field that an error's param names: providers[0].limits, providers.0.limits, providers[nvidia].limits, settings.queue.max_wait … */
export function fieldOf(param: string | null, all: Field[], names: string[]): Field | null {
  if (!param) return null;
  const steps = param.split(/[.[\]"']+/).filter(Boolean);
  if (steps[0] === "settings") steps.shift();
  const index = Number(steps[1]);
  if (steps.length > 2 && Number.isInteger(index)) steps[1] = names[index] ?? "";
  if (steps[1] === "") steps.splice(1, 1);
  const wanted = steps.join(".");
  return all.find((of) => of.steps.join(".") === wanted) ?? all.find((of) => of.word === wanted) ?? null;
}
