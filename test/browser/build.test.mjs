// What is committed: small, packed, and what web/ builds.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { root } from "./browser.mjs";
import { dist } from "./stage.mjs";

const web = path.join(root, "web");
const list = (dir) => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((each) => each.isFile()).map((each) => path.relative(dir, path.join(each.parentPath, each.name))).sort();

test("JavaScript has at most 45 kB, packed", (t) => {
  const scripts = list(dist).filter((name) => name.endsWith(".js.gz"));
  const size = scripts.reduce((sum, name) => sum + readFileSync(path.join(dist, name)).length, 0);
  t.diagnostic(`${size} bytes in ${scripts}`);
  assert.ok(scripts.length > 0 && size <= 45_000, `${size} bytes`);
});

test("each asset has its packed twin, and neither names a machine", () => {
  for (const name of list(path.join(dist, "assets"))) {
    const file = path.join(dist, "assets", name);
    if (name.endsWith(".gz")) continue;
    const content = readFileSync(file);
    assert.ok(gunzipSync(readFileSync(`${file}.gz`)).equals(content), name);
    assert.doesNotMatch(content.toString(), /sourceMappingURL|file:\/\/|\/home\/|\/root\/|node_modules/, name);
  }
});

test("a build gives what is committed", { skip: !existsSync(path.join(web, "node_modules")) && "web/node_modules is missing: run `make browser`" }, () => {
  const out = mkdtempSync(path.join(tmpdir(), "nim-sidecar-dist-"));
  try {
    execFileSync(process.execPath, ["node_modules/vite/bin/vite.js", "build", "--outDir", out, "--logLevel", "error"], { cwd: web, stdio: ["ignore", "inherit", "inherit"] });
    assert.deepEqual(list(out), list(dist), "run `make web` and commit internal/dash/dist");
    // Another zlib may pack otherwise, so what is packed is compared unpacked.
    const read = (dir, name) => (name.endsWith(".gz") ? gunzipSync(readFileSync(path.join(dir, name))) : readFileSync(path.join(dir, name)));
    for (const name of list(out)) assert.ok(read(out, name).equals(read(dist, name)), `${name} differs: run \`make web\` and commit internal/dash/dist`);
  } finally {
    rmSync(out, { recursive: true });
  }
});

test("lock files name no registry", () => {
  for (const dir of ["web", "test/browser"]) assert.doesNotMatch(readFileSync(path.join(root, dir, "package-lock.json"), "utf8"), /"resolved"/, dir);
});
