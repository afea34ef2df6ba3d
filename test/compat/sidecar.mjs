// The real binary, built from this tree and run as users run it: the mock upstream and the sidecar in front of it, each a
// process of its own on a free port.

import { execFile, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.join(here, "..", "..");
export const run = promisify(execFile);

/** The key that only the sidecar knows. It must never reach a client. */
export const providerKey = "nvapi-compat-5d1f0c77e2";

const patience = 20_000; // ms until a process must be ready, or gone

/**
 * Starts a mock and a sidecar before it; settings are further environment variables of the sidecar, flags those of the mock.
 * Call stop() in the end.
 */
export async function start(settings = {}, flags = []) {
  const mock = await startMock(flags);
  try {
    const sidecar = await startSidecar(mock.url, settings);
    const stop = () => Promise.all([sidecar.stop(), mock.stop()]);
    return { ...sidecar, mock: mock.control, stop };
  } catch (err) {
    await mock.stop();
    throw err;
  }
}

/** Starts the mock upstream, without a limit. */
export async function startMock(flags = []) {
  const mock = await launch(["mock", "--listen", "127.0.0.1:0", ...flags], {}, /(http:\S+)\/v1/);
  const [, url] = mock.said;
  /** Arms faults or changes limits, see the doc of internal/mock. */
  const ask = (method, what, body) => control(url, method, what, body);
  try {
    await ask("PUT", "limits", { limits: "none" });
  } catch (err) {
    await mock.stop();
    throw err;
  }
  return { url, control: ask, stop: mock.stop };
}

/** Starts a sidecar before an upstream. A setting that is undefined is not set. */
export async function startSidecar(upstream, settings = {}) {
  const env = {
    SIDECAR_LISTEN: "127.0.0.1:0",
    SIDECAR_METRICS_LISTEN: "127.0.0.1:0",
    SIDECAR_UPSTREAM_URL: `${upstream}/v1`,
    NVIDIA_API_KEY: providerKey,
    SIDECAR_LIMITS: "1000-S",
    ...settings,
  };
  const sidecar = await launch(["serve"], env, /"proxy":"(.*?)","metrics":"(.*?)"[^]*"msg":"serving"/);
  const [, proxy, metrics] = sidecar.said;
  return {
    url: `http://${proxy}/v1`,
    origin: `http://${proxy}`,
    metrics: `http://${metrics}/metrics`,
    /** All that it has printed. */
    log: sidecar.output,
    stop: sidecar.stop,
  };
}

let built;

/** The binary that NIM_SIDECAR names; else it is built from this tree, once. */
function binary() {
  built ??= process.env.NIM_SIDECAR ?? build();
  return built;
}

async function build() {
  const dir = await mkdtemp(path.join(tmpdir(), "nim-sidecar-"));
  process.once("exit", () => rmSync(dir, { recursive: true }));
  const file = path.join(dir, "nim-sidecar");
  await run("go", ["build", "-o", file, "./cmd/nim-sidecar"], { cwd: root });
  return file;
}

/** Starts the binary and returns once it has said that it is ready, with the match as said. */
async function launch(args, env, ready) {
  const { PATH, HOME } = process.env; // nothing else, so that no setting of the developer's leaks in
  const child = spawn(await binary(), args, { env: { PATH, HOME, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (text) => (output += text));
  child.stderr.on("data", (text) => (output += text));
  const gone = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? signal));
  });
  gone.catch(() => {}); // told by whoever waits for it
  const stop = async () => {
    child.kill("SIGTERM");
    const code = await Promise.race([gone, pause(patience, "no end", { ref: false })]);
    if (code !== 0) {
      child.kill("SIGKILL");
      throw new Error(`${args[0]} ended with ${code} after SIGTERM; want 0:\n${output}`);
    }
  };
  const deadline = Date.now() + patience;
  while (!ready.test(output)) {
    const end = await Promise.race([gone, pause(10, "running")]);
    if (end === "running" && Date.now() < deadline) continue;
    if (end === "running") await stop();
    throw new Error(`${args[0]} did not become ready (${end}):\n${output}`);
  }
  return { said: output.match(ready), output: () => output, stop };
}

async function control(upstream, method, what, body) {
  const answer = await fetch(`${upstream}/mock/${what}`, { method, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} /mock/${what}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
