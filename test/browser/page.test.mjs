// The page in a real Chromium, before the stage: every state it is designed for, and what must never happen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { busy, past, quiet, start } from "./stage.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const hostile = '<img src=x onerror="window.hit=1">';

let browser, stage, context, page, complaints;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());
beforeEach(async () => {
  stage = await start();
});
afterEach(async () => {
  await context?.close();
  await stage.stop();
});

/** Opens the page as somebody; what the browser complains of is collected. */
async function open({ locale = "en-GB", colorScheme = "light", width = 1440, height = 900, ...rest } = {}) {
  context = await browser.newContext({ locale, colorScheme, viewport: { width, height }, ...rest });
  page = await context.newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  await page.goto(stage.url);
  await page.locator(".bars").waitFor();
  return page;
}

const bar = (name) => page.locator(`[data-class=${name}] .bar .fill`);
const edge = (name) => bar(name).evaluate((fill) => fill.getBoundingClientRect().right);

/** Changes how many wait in a class, and sends it. */
function enqueue(name, waiting) {
  const of = stage.state.queue.classes.find((each) => each.class === name);
  stage.state.queue.total += waiting - of.waiting;
  of.waiting = waiting;
  stage.send();
}

describe("live", () => {
  test("a bar moves by a transform that takes 300 ms", async () => {
    await open();
    await page.waitForTimeout(500);
    const style = await bar("NORMAL").evaluate((fill) => {
      const { transitionProperty, transitionDuration } = getComputedStyle(fill);
      return [transitionProperty, transitionDuration];
    });
    assert.deepEqual(style, ["transform", "0.3s"]);

    const from = await edge("NORMAL");
    await bar("NORMAL").evaluate((fill) => {
      const seen = [];
      let over = false;
      fill.addEventListener("transitionrun", function step() {
        seen.push(fill.getBoundingClientRect().right);
        if (!over) requestAnimationFrame(step);
      });
      window.moved = new Promise((done) => fill.addEventListener("transitionend", (event) => {
        over = true;
        done({ seen, took: event.elapsedTime });
      }));
    });
    enqueue("NORMAL", 19);
    const { seen, took } = await page.evaluate(() => window.moved);
    const to = await edge("NORMAL");
    assert.equal(took, 0.3);
    assert.ok(to > from + 20, `the bar went from ${from} to ${to}`);
    assert.ok(seen.filter((at) => at > from + 1 && at < to - 1).length >= 3, `between ${from} and ${to} it was seen at ${seen}`);
  });

  test("the total is in the card's title and in the page's", async () => {
    await open();
    assert.equal(await page.locator("#queue h2").textContent(), "Queue · 34 waiting");
    assert.equal(await page.title(), "34 waiting · NORMAL · nim-sidecar");
    enqueue("LOW", 1215);
    await page.locator("#queue h2", { hasText: "1,234" }).waitFor();
    assert.equal(await page.title(), "1,234 waiting · NORMAL · nim-sidecar");
    const meter = page.getByRole("meter", { name: "LOW" });
    assert.equal(await meter.getAttribute("aria-valuenow"), "1215");
    assert.equal(await meter.getAttribute("aria-valuetext"), "LOW: 1215 waiting");
  });

  test("five seconds after the last event an overlay says since when, and it goes away by itself", async () => {
    await open();
    await page.evaluate(() => (window.same = true));
    const overlay = page.locator(".overlay");
    stage.cut();
    const cut = Date.now();
    await page.waitForTimeout(3_900);
    assert.equal(await overlay.count(), 0, "no overlay 3.9 s after the cut");
    await overlay.waitFor({ timeout: 3_000 });
    const after = Date.now() - cut;
    assert.ok(after >= 3_900 && after <= 5_600, `the overlay came ${after} ms after the cut`);
    assert.match(await overlay.innerText(), /No data from nim-sidecar\s+since \d\d:\d\d:\d\d · 0:0[5-7] without an event/);
    assert.equal(await page.title(), "No data · nim-sidecar");
    assert.equal(await page.locator("main").getAttribute("inert"), "");
    assert.equal(await bar("LOW").evaluate((fill) => getComputedStyle(fill).transitionDuration), "0s");
    const waited = page.locator("#waiting tbody tr").last().locator(".cell-waited");
    const frozen = await waited.textContent();
    await page.waitForTimeout(1_500);
    assert.equal(await waited.textContent(), frozen, "a number counted on although nothing is known");
    stage.mend();
    await overlay.waitFor({ state: "detached", timeout: 6_000 });
    assert.equal(await page.evaluate(() => window.same), true, "the page was loaded anew");
    assert.notEqual(await waited.textContent(), frozen);
    assert.equal(await page.locator("[data-spoken]").textContent(), "State: NORMAL. ");
  });

  test("numbers count on between two snapshots", async () => {
    await open();
    stage.frozen = true;
    const waited = page.locator("#waiting tbody tr").nth(3).locator(".cell-waited");
    const countdown = page.locator("#limits tbody tr").nth(2).locator(".window-reset .num").first();
    await page.waitForTimeout(300);
    const [a, b] = [await waited.textContent(), await countdown.textContent()];
    await page.waitForTimeout(2_200);
    assert.ok((await waited.textContent()) > a);
    assert.ok((await countdown.textContent()) < b);
  });

  test("two hundred rows: a snapshot changes texts, not nodes", async () => {
    stage.state = busy(200);
    await open();
    await page.waitForTimeout(1_200);
    const seen = await page.evaluate(() => new Promise((done) => {
      const nodes = [];
      const long = [];
      new PerformanceObserver((list) => long.push(...list.getEntries().map((each) => Math.round(each.duration)))).observe({ type: "longtask" });
      new MutationObserver((list) => nodes.push(...list.filter((each) => each.type === "childList").flatMap((each) => [...each.addedNodes]).filter((node) => node.nodeType === 1).map((node) => node.nodeName)))
        .observe(document.querySelector("#waiting"), { childList: true, subtree: true });
      setTimeout(() => done({ nodes, long }), 3_200);
    }));
    assert.equal(await page.locator("#waiting tbody tr").count(), 200);
    assert.deepEqual(seen.nodes, []);
    assert.deepEqual(seen.long.filter((ms) => ms > 100), [], "tasks of more than 100 ms");
  });

  test("a change of state is spoken once, shown in the icon, and numbers are not spoken", async () => {
    await open();
    const spoken = page.locator("[data-spoken]");
    const icon = () => page.locator("link[rel=icon]").getAttribute("href");
    assert.match(await icon(), /assets\/normal-/);
    enqueue("HIGH", 9);
    assert.equal(await spoken.textContent(), "");
    Object.assign(stage.state, { state: "RETREAT", state_reason: "refused at 41 of 40" });
    stage.send();
    await page.locator(".glance .state-retreat").waitFor();
    assert.equal(await spoken.textContent(), "State: RETREAT. refused at 41 of 40");
    assert.match(await icon(), /assets\/retreat-/);
    assert.match(await page.title(), /RETREAT/);
  });
});

describe("steering", () => {
  test("a request is cancelled at the second press, not at the first", async () => {
    await open();
    const row = page.locator("#waiting tbody tr", { has: page.getByRole("button", { name: "Cancel the request of reviewer" }) }).first();
    const button = row.locator("button");
    await button.click();
    assert.equal(await button.textContent(), "Cancel?");
    assert.deepEqual(stage.cancelled, []);
    await page.keyboard.press("Escape");
    assert.equal(await button.textContent(), "");
    await button.press("Enter");
    await button.press("Enter");
    await page.locator("#queue h2", { hasText: "33" }).waitFor();
    assert.deepEqual(stage.cancelled, ["req-0003"]);
    assert.match(await page.locator(".toast").innerText(), /The request is cancelled/);
  });

  test("one that no longer waits is no error", async () => {
    await open();
    stage.frozen = true;
    stage.state.waiting.shift();
    const button = page.locator("#waiting tbody tr").first().locator("button");
    await button.click();
    await button.click();
    await page.locator(".toast", { hasText: "It no longer waits." }).waitFor();
  });

  test("settings that somebody else changes appear without a reload, and what is being typed stays", async () => {
    await open();
    await page.getByRole("button", { name: "Settings" }).click();
    const panel = page.getByRole("dialog", { name: "Settings" });
    await panel.getByLabel("Longest wait").fill("90s");
    stage.settings.settings.queue.capacity = 77;
    stage.settings.version++;
    stage.settings.changed.unshift({ at: Date.now(), by: "10.0.0.7", keys: ["queue.capacity"] });
    await page.waitForFunction(() => document.getElementById("set-queue.capacity").value === "77", null, { timeout: 3_000 });
    assert.equal(await panel.getByLabel("Longest wait").inputValue(), "90s");
    assert.match(await panel.locator(".changes li").first().innerText(), /10\.0\.0\.7\s+queue\.capacity/);
    await panel.getByRole("button", { name: "Apply" }).click();
    await panel.getByText("Applied. Settings version 3.").waitFor();
    assert.deepEqual(stage.patches, [{ version: 2, settings: { queue: { max_wait: "90s" } } }]);
  });

  test("an error is shown at its field, and nothing is sent that the schema already forbids", async () => {
    await open();
    await page.getByRole("button", { name: "Settings" }).click();
    const capacity = page.getByLabel("Capacity");
    await capacity.fill("0");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("This must be from 1 to 1000000.").waitFor();
    assert.deepEqual(stage.patches, []);
    await capacity.fill("1000");
    await page.getByLabel("Longest wait").fill("soon");
    await page.keyboard.press("Enter");
    await page.getByText('queue.max_wait is "soon": want a duration such as 90s').waitFor();
    const wait = page.getByLabel("Longest wait");
    assert.equal(await wait.getAttribute("aria-invalid"), "true");
    await page.waitForFunction(() => document.activeElement?.id === "set-queue.max_wait");
    await page.getByRole("button", { name: "Discard" }).click();
    assert.equal(await wait.inputValue(), "15m");
    assert.equal(await page.locator(".error").count(), 0);
  });

  test("a change that lost a race says so, and can be repeated", async () => {
    await open();
    await page.getByRole("button", { name: "Settings" }).click();
    stage.frozen = true;
    stage.settings.version = 9;
    await page.getByLabel("Longest wait").fill("5m");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("Somebody else has changed the settings meanwhile").waitFor();
    assert.equal(await page.getByLabel("Longest wait").inputValue(), "5m");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("Applied. Settings version 10.").waitFor();
  });

  test("a provider is paused and resumed, and the sidecar drained", async () => {
    await open();
    const button = page.locator("#providers article").first().locator("button");
    await button.click();
    await button.click();
    await page.locator("#providers .tag", { hasText: "paused" }).waitFor();
    assert.deepEqual(stage.patches.at(-1).settings, { providers: [{ name: "nvidia", paused: true }] });
    await page.getByRole("button", { name: "Settings" }).click();
    const drain = page.locator("dialog section").first().locator("button");
    await drain.click();
    await drain.click();
    await page.locator(".banners", { hasText: "Draining" }).waitFor({ state: "attached" });
    assert.deepEqual(stage.patches.at(-1).settings, { drain: true });
  });

  test("where a token is needed it is asked for, kept in memory, and sent", async () => {
    stage.token = "s3cret";
    await open();
    const button = page.locator("#waiting tbody tr").first().locator("button");
    await button.click();
    await button.click();
    await page.getByText("This needs the admin token").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.id), "token");
    await page.keyboard.type("s3cret");
    await page.keyboard.press("Escape");
    await button.click();
    await button.click();
    await page.locator(".toast", { hasText: "cancelled" }).waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage })).then((kept) => kept.includes("s3cret")), false);
  });
});

describe("for everyone", () => {
  for (const [locale, lang] of [["en-GB", "en"], ["zh-CN", "zh-CN"]]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`axe finds nothing: ${locale}, ${colorScheme}`, async () => {
        stage.state = Object.assign(busy(9), { requests: busy().requests.slice(0, 9) });
        await open({ locale, colorScheme, reducedMotion: "reduce" });
        assert.equal(await page.locator("html").getAttribute("lang"), lang);
        assert.equal(await page.locator("html").getAttribute("data-theme"), colorScheme);
        await page.locator("#requests .cell-act button").first().click();
        assert.deepEqual(await violations(), []);
        await page.locator(".button.tool").click();
        await page.locator("dialog .settings").waitFor();
        assert.deepEqual(await violations(), []);
        await page.keyboard.press("Escape");
        stage.state = Object.assign(quiet(), { draining: true, healthy: false, store_degraded: true, settings_error: "line 3: nope", demo: true, state: "RECOVER" });
        await page.locator("#waiting .empty").waitFor();
        assert.deepEqual(await violations(), []);
        if ((lang === "en") !== (colorScheme === "light")) return; // five seconds each: once a language and once a theme will do
        stage.cut();
        await page.locator(".overlay").waitFor({ timeout: 8_000 });
        assert.deepEqual(await violations(), []);
      });
    }
  }

  async function violations() {
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    return found.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.target.join(" ")).slice(0, 4).join(" | ")}`);
  }

  test("language and theme are chosen, and remembered", async () => {
    await open();
    await page.getByRole("radio", { name: "中文" }).press("Space");
    await page.locator("#queue h2", { hasText: "队列 · 34 个等待" }).waitFor();
    assert.equal(await page.title(), "34 个等待 · NORMAL · nim-sidecar");
    await page.getByRole("radio", { name: "深色" }).press("Space");
    assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
    await page.reload();
    await page.locator("#queue h2", { hasText: "队列" }).waitFor();
    assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  });

  test("the theme follows the system until one is chosen", async () => {
    await open();
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  });

  test("everything can be reached by keyboard, and focus comes back", async () => {
    await open();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the page");
    const tool = page.locator(".button.tool");
    await tool.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog", { name: "Settings" }).waitFor({ state: "hidden" });
    assert.equal(await tool.evaluate((button) => button === document.activeElement), true);
  });

  test("who wants no motion gets none", async () => {
    await open({ reducedMotion: "reduce" });
    assert.equal(await bar("LOW").evaluate((fill) => getComputedStyle(fill).transitionDuration), "0s");
  });

  for (const locale of ["en-GB", "zh-CN"]) {
    test(`a phone of 360 px shows all of it without scrolling sideways: ${locale}`, async () => {
      stage.state.waiting[0].model = "a-very-long-name-without-any-place-to-break-".repeat(4);
      stage.state.providers[0].accounts[0].keys[0].reason = "x".repeat(200);
      stage.state.state_reason = "y".repeat(300);
      await open({ locale, width: 360, height: 780 });
      await page.locator("#requests .cell-act button").first().click();
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      const wide = await page.evaluate(() => [...document.querySelectorAll("main *")].filter((each) => each.getBoundingClientRect().right > 361 && !each.closest(".unseen, thead")).map((each) => each.className || each.nodeName));
      assert.deepEqual(wide, []);
      await page.locator(".button.tool").click();
      await page.locator("dialog .settings").waitFor();
      assert.equal(await page.evaluate(() => document.querySelector("dialog").scrollWidth <= 360), true);
    });
  }
});

describe("safe and small", () => {
  test("a name that is HTML stays text, wherever it stands", async () => {
    const { state } = stage;
    Object.assign(state, { state_reason: hostile, settings_error: hostile });
    Object.assign(state.waiting[0], { model: hostile, agent: hostile, client: hostile });
    Object.assign(state.limits[0], { model: hostile, account: hostile, confidence: hostile });
    Object.assign(state.requests[0], { model: hostile, agent: hostile, reason: hostile, path: hostile, key: hostile });
    Object.assign(state.providers[0], { name: hostile, url_host: hostile });
    state.providers[0].accounts[0].keys[0].alias = hostile;
    stage.settings.changed[0].by = hostile;
    await open();
    await page.locator("#requests .cell-act button").first().click();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.locator("dialog .changes").waitFor();
    await page.waitForTimeout(300);
    assert.equal(await page.locator("#waiting .cell-model .first").first().textContent(), hostile);
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.deepEqual(stage.asked.filter((each) => each.endsWith("/x")), []);
  });

  test("nothing is asked of another host, all below the prefix, and the policy is never broken", async () => {
    const asked = [];
    await open();
    page.on("request", (request) => asked.push(request.url()));
    await page.reload();
    await page.locator(".bars").waitFor();
    for (const name of ["1 h", "6 h", "24 h"]) await page.locator("#graphs label", { hasText: name }).first().click();
    await page.waitForTimeout(700);
    assert.deepEqual(asked.filter((url) => !url.startsWith(stage.url)), []);
    assert.ok(asked.some((url) => url.endsWith("history?range=24h")));
    assert.deepEqual(complaints, []);
  });

  test("it can be used within a second", async () => {
    await open();
    await page.addInitScript(() => {
      const look = () => (document.querySelector("#waiting tbody button") ? (window.usable = performance.now()) : requestAnimationFrame(look));
      look();
    });
    const times = [];
    for (let i = 0; i < 3; i++) { // the machine may have other things to do: the best of three
      await page.reload();
      times.push(Math.round(await (await page.waitForFunction(() => window.usable)).jsonValue()));
    }
    assert.ok(Math.min(...times) < 1_000, `usable after ${times} ms`);
    console.log(`usable after ${times} ms`);
  });

  test("odd data: what is not known is a dash, what is new is a word, and a part that breaks breaks alone", async () => {
    const { state } = stage;
    Object.assign(state, { state: "ASLEEP", tokens_available: null, rate: { effective: null, ceiling: null, configured: null, sent: null } });
    Object.assign(state.waiting[0], { class: "WHENEVER", agent: "", model: null, place: null, eta_ms: null });
    Object.assign(state.limits[0], { windows: [], confidence: "guessed", burst: null, in_flight: null });
    Object.assign(state.requests[0], { attempts: [{ at_ms: 0, took_ms: 5, outcome: "eaten_by_a_dog" }], status: 0 });
    state.queue.classes.pop();
    await open();
    assert.equal(await page.locator(".glance .big").nth(1).textContent(), "–");
    await page.locator("#waiting", { hasText: "WHENEVER" }).waitFor();
    await page.locator("#limits", { hasText: "guessed" }).waitFor();
    assert.equal(await page.locator("[data-class]").count(), 4);
    assert.deepEqual(complaints, []);
    state.limits = null;
    stage.send();
    await page.locator("#limits", { hasText: "cannot be drawn" }).waitFor();
    await page.locator("#requests tbody tr").first().waitFor();
    state.limits = [];
    await page.locator("#limits", { hasText: "No limit is known yet." }).waitFor();
  });

  test("empty, loading and failing are designed", async () => {
    stage.state = quiet();
    stage.history = (range) => past(range, false);
    await open();
    for (const text of ["Nobody waits.", "No limit is known yet.", "No request has ended yet.", "No provider is configured.", "No batch jobs.", "Nothing recorded in this range yet"]) {
      await page.getByText(text).first().waitFor();
    }
    assert.equal(await page.title(), "0 waiting · NORMAL · nim-sidecar");
    stage.cut();
    await page.goto(stage.url);
    await page.locator(".bone").first().waitFor();
    await page.locator(".overlay", { hasText: "nim-sidecar does not answer" }).waitFor({ timeout: 8_000 });
    stage.mend();
    await page.locator(".bars").waitFor({ timeout: 8_000 });
    await page.locator(".overlay").waitFor({ state: "detached" });
  });
});
