// The page of the real binary: `nim-sidecar demo`, whose traffic moves by itself.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { launch, root } from "./browser.mjs";

let browser, sidecar, page, api, built;
const complaints = [];

before(async () => {
  const binary = process.env.NIM_SIDECAR ?? build();
  const [port, metrics] = await Promise.all([freePort(), freePort()]);
  const origin = `http://127.0.0.1:${port}`;
  api = `${origin}/sidecar/api`;
  sidecar = spawn(binary, ["demo"], { env: { PATH: process.env.PATH, SIDECAR_LISTEN: `127.0.0.1:${port}`, SIDECAR_METRICS_LISTEN: `127.0.0.1:${metrics}` }, stdio: "ignore" });
  for (let i = 0; ; i++) {
    if (await fetch(`${origin}/livez`).then((answer) => answer.ok, () => false)) break;
    assert.ok(i < 100, "the sidecar is not up after 10 s");
    await pause(100);
  }
  browser = await launch();
  page = await browser.newPage({ locale: "en-GB" });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(`${origin}/`); // GET / leads to the page
  await page.locator(".bars").waitFor();
});
after(async () => {
  await browser?.close();
  if (sidecar?.exitCode === null) {
    sidecar.kill("SIGKILL");
    await once(sidecar, "exit");
  }
  if (built) rmSync(built, { recursive: true });
});

function build() {
  built = mkdtempSync(path.join(tmpdir(), "nim-sidecar-"));
  const binary = path.join(built, "nim-sidecar");
  execFileSync("go", ["build", "-o", binary, "./cmd/nim-sidecar"], { cwd: root, stdio: "inherit" });
  return binary;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** What `curl` would do. */
async function ask(method, what, body) {
  const answer = await fetch(`${api}/${what}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${what}: ${answer.status}`);
  return answer.json();
}
async function change(settings) {
  const { version } = await ask("GET", "settings");
  return ask("PATCH", "settings", { version, settings });
}
const total = async () => Number((await page.locator("#queue [data-total]").getAttribute("data-total")));

test("the demo's queue is in the title, and the bars move in 300 ms", async () => {
  await page.evaluate(() => {
    window.moves = [];
    document.addEventListener("transitionend", (event) => event.target.closest(".bar") && window.moves.push([event.propertyName, event.elapsedTime]));
  });
  await page.waitForFunction(() => window.moves.length > 2, null, { timeout: 15_000 });
  assert.deepEqual((await page.evaluate(() => window.moves)).filter(([name, took]) => name !== "transform" || took !== 0.3), []);
  await page.waitForFunction(() => document.title.startsWith(`${document.querySelector("[data-total]").dataset.total} waiting`));
  await page.locator("#limits .window").first().waitFor();
  await page.locator("#requests tbody tr .line .seg").first().waitFor();
  assert.equal(await page.locator("#graphs canvas").count(), 4);
});

test("what curl changes appears without a reload", async () => {
  await page.evaluate(() => (window.same = true));
  await page.getByRole("button", { name: "Settings" }).click();
  await change({ queue: { max_wait: "13m" } });
  await page.waitForFunction(() => document.getElementById("set-queue.max_wait").value === "13m", null, { timeout: 5_000 });
  await page.locator("dialog .changes", { hasText: "queue.max_wait" }).waitFor();
  assert.equal(await page.evaluate(() => window.same), true);
});

test("the page changes settings, and the sidecar's own word stands at the field that is wrong", async () => {
  await page.getByLabel("Longest wait").fill("soon");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.locator("[id='set-queue.max_wait-error']", { hasText: "want a duration" }).waitFor();
  await page.getByLabel("Longest wait").fill("14m");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("Applied. Settings version").waitFor();
  assert.equal((await ask("GET", "settings")).settings.queue.max_wait, "14m");
  await page.keyboard.press("Escape");
});

test("a paused provider's requests wait, and one of them is cancelled", async () => {
  const button = page.locator("#providers article button").first();
  await button.click();
  await button.click();
  await page.locator("#providers .tag", { hasText: "paused" }).waitFor();
  const row = page.locator("#waiting tbody tr").first();
  await row.waitFor();
  await page.waitForTimeout(1_500);
  const before = new Set((await ask("GET", "queue")).waiting.map((each) => each.id));
  assert.ok(before.size > 0);
  const asked = page.waitForResponse((answer) => answer.request().method() === "DELETE");
  await row.locator("button").click();
  await row.locator("button").click();
  const answer = await asked;
  assert.equal(answer.status(), 204);
  const id = decodeURIComponent(answer.url().split("/").at(-1));
  assert.ok(before.has(id));
  assert.equal((await ask("GET", "queue")).waiting.some((each) => each.id === id), false);
  assert.ok((await total()) > 0);
  await change({ providers: [{ name: (await ask("GET", "snapshot")).providers[0].name, paused: false }] });
  await page.locator("#providers .tag", { hasText: "paused" }).waitFor({ state: "detached" });
});

test("while the sidecar is stopped an overlay lies over the page, and goes when it goes on", async () => {
  sidecar.kill("SIGSTOP");
  const from = Date.now();
  await page.locator(".overlay").waitFor({ timeout: 9_000 });
  assert.ok(Date.now() - from >= 3_900, `it came after ${Date.now() - from} ms`);
  sidecar.kill("SIGCONT");
  await page.locator(".overlay").waitFor({ state: "detached", timeout: 6_000 });
});

test("nothing of all this was complained of", () => assert.deepEqual(complaints.filter((text) => !text.includes("400 (Bad Request)")), []));
