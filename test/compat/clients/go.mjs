// The Go SDKs, each called by the program in ../go, which is built once for each of its sets of versions. It reads a call a line
// and writes an outcome a line.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { here, run } from "../sidecar.mjs";

const source = path.join(here, "go");

/** A program, started with the first call. */
function program(modfile) {
  let started;
  const waiting = new Map();
  const start = async () => {
    const dir = mkdtempSync(path.join(tmpdir(), "nim-sidecar-"));
    process.once("exit", () => rmSync(dir, { recursive: true }));
    await run("go", ["build", `-modfile=${modfile}`, "-o", path.join(dir, "client"), "."], { cwd: source });
    const child = spawn(path.join(dir, "client"), { stdio: ["pipe", "pipe", "inherit"] });
    createInterface(child.stdout).on("line", (line) => {
      const { id, outcome } = JSON.parse(line);
      waiting.get(id)(outcome);
      waiting.delete(id);
    });
    child.on("exit", (code) => {
      for (const done of waiting.values()) done({ sent: [], error: { message: `the Go program ended with ${code}` } });
    });
    return child;
  };
  return {
    async ask(client, verb, call) {
      const { stdin } = await (started ??= start());
      const id = Math.random();
      const outcome = new Promise((done) => waiting.set(id, done));
      stdin.write(`${JSON.stringify({ id, client, verb, call })}\n`);
      return outcome;
    },
    async stop() {
      const child = await started;
      if (child?.exitCode !== null) return;
      const gone = new Promise((done) => child.once("exit", done));
      child.stdin.end();
      await gone;
    },
  };
}

const programs = ["go.mod", "openai-3.8.1.mod"].map((modfile) => ({ modfile, ...program(modfile) }));

const everything = ["plain", "stream", "tool", "tool stream", "object", "embed"];
const messages = ["plain", "stream", "tool", "tool stream", "object", "count"];
const always = (name) => () => name;

function client(modfile, module, facts) {
  const version = readFileSync(path.join(source, modfile), "utf8").match(new RegExp(`${module} v(\\S+)`))[1];
  const { ask } = programs.find((p) => p.modfile === modfile);
  const verbs = Object.fromEntries(facts.verbs.map((verb) => [verb, true]));
  const name = `${module.replace("github.com/", "")} ${version}`;
  return { dialect: "openai", announces: false, ...facts, verbs, name, ask: (verb, call) => ask(facts.package, verb, call) };
}

const openai = { package: "openai", announces: true, retries: "obeys", errorClass: always("*openai.Error"), verbs: everything };

export const clients = [
  client("go.mod", "github.com/openai/openai-go/v3", openai),
  client("openai-3.8.1.mod", "github.com/openai/openai-go/v3", openai),
  client("go.mod", "github.com/anthropics/anthropic-sdk-go", {
    package: "anthropic",
    dialect: "anthropic",
    announces: true,
    retries: "obeys",
    errorClass: always("*anthropic.Error"),
    verbs: messages,
  }),
  client("go.mod", "github.com/sashabaranov/go-openai", {
    package: "go-openai",
    // It takes every line that is no data for the beginning of an error, so that one that comes after a comment is lost on it.
    deaf: /unexpected end of JSON/,
    retries: "never",
    errorClass: always("*openai.APIError"),
    verbs: everything,
  }),
];

export const stop = () => Promise.all(programs.map((p) => p.stop()));
