// The real binary, built from this tree and run as users run it: the mock upstream and the sidecar in front of it, each a
// process of its own on a free port.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
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
 * Starts a mock and a sidecar before it; settings are further environment variables of the sidecar. Call stop() in the end.
 * The binary is built from this tree unless NIM_SIDECAR names one.
 */
export async function start(settings = {}) {
  const dir = await mkdtemp(path.join(tmpdir(), "nim-sidecar-"));
  const binary = process.env.NIM_SIDECAR ?? path.join(dir, "nim-sidecar");
  if (!process.env.NIM_SIDECAR) await run("go", ["build", "-o", binary, "./cmd/nim-sidecar"], { cwd: root });

  const [mockPort, port, metricsPort] = await freePorts(3);
  const upstream = `http://127.0.0.1:${mockPort}`;
  const url = `http://127.0.0.1:${port}`;
  const mock = launch(binary, ["mock", "--listen", `127.0.0.1:${mockPort}`], {});
  const sidecar = launch(binary, ["serve"], {
    SIDECAR_LISTEN: `127.0.0.1:${port}`,
    SIDECAR_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
    SIDECAR_UPSTREAM_URL: `${upstream}/v1`,
    NVIDIA_API_KEY: providerKey,
    SIDECAR_LIMITS: "1000-S",
    ...settings,
  });
  const stop = async () => {
    await Promise.all([sidecar.stop(), mock.stop()]);
    await rm(dir, { recursive: true });
  };
  try {
    await control(upstream, "PUT", "limits", { limits: "none" });
    await ready(sidecar, `${url}/readyz?verbose`);
  } catch (err) {
    await stop();
    throw err;
  }
  return {
    url: `${url}/v1`,
    origin: url,
    metrics: `http://127.0.0.1:${metricsPort}/metrics`,
    /** Arms faults or changes limits of the mock, see the doc of internal/mock. */
    mock: (method, what, body) => control(upstream, method, what, body),
    /** All that the sidecar has printed. */
    log: () => sidecar.output(),
    stop,
  };
}

function launch(binary, args, env) {
  const { PATH, HOME } = process.env; // nothing else, so that no setting of the developer's leaks in
  const child = spawn(binary, args, { env: { PATH, HOME, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (text) => (output += text));
  child.stderr.on("data", (text) => (output += text));
  const gone = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? signal));
  });
  return {
    output: () => output,
    running: () => child.exitCode === null && child.signalCode === null,
    async stop() {
      child.kill("SIGTERM");
      const code = await Promise.race([gone, pause(patience, "no end", { ref: false })]);
      if (code !== 0) {
        child.kill("SIGKILL");
        throw new Error(`${args[0]} ended with ${code} after SIGTERM; want 0:\n${output}`);
      }
    },
  };
}

async function ready(sidecar, url) {
  const deadline = Date.now() + patience;
  let last = "nothing";
  while (Date.now() < deadline && sidecar.running()) {
    try {
      const answer = await fetch(url);
      last = `${answer.status} ${await answer.text()}`;
      if (answer.status === 200) return;
    } catch (err) {
      last = err.cause?.code ?? err.message;
    }
    await pause(20);
  }
  throw new Error(`the sidecar did not become ready, ${url} said ${last}:\n${sidecar.output()}`);
}

async function control(upstream, method, what, body) {
  const deadline = Date.now() + patience;
  for (;;) {
    try {
      const answer = await fetch(`${upstream}/mock/${what}`, { method, body: body && JSON.stringify(body) });
      if (!answer.ok) throw new Error(`${method} /mock/${what}: ${answer.status} ${await answer.text()}`);
      return await answer.json();
    } catch (err) {
      if (err.cause?.code !== "ECONNREFUSED" || Date.now() > deadline) throw err; // it is still starting
    }
    await pause(20);
  }
}

async function freePorts(n) {
  const servers = Array.from({ length: n }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((s) => new Promise((resolve) => s.once("listening", resolve))));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}
