// What the README tells people to run is run here, word for word.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { here, root, run, start } from "./sidecar.mjs";

const inReadme = "http://127.0.0.1:9190/v1";
const snippets = { curl: "quickstart.sh", "openai-js": "quickstart.mjs", "openai-python": "quickstart.py" };

let sidecar;
before(async () => (sidecar = await start()));
after(() => sidecar?.stop());

const file = (name) => readFile(path.join(here, name), "utf8");

for (const page of ["README.md", "README.zh.md"]) {
  for (const [name, script] of Object.entries(snippets)) {
    test(`${page} holds ${script} word for word`, async () => {
      const readme = await readFile(path.join(root, page), "utf8");
      const found = readme.match(new RegExp(`<!-- snippet:${name} -->\n\`\`\`\\w+\n(.*?)\`\`\`\n<!-- /snippet -->`, "s"));
      assert.ok(found, `${page} has no <!-- snippet:${name} -->`);
      assert.equal(found[1], await file(script));
    });
  }
}

test("quickstart.mjs prints the streamed answer", async () => {
  const { stdout, stderr } = await run(process.execPath, ["quickstart.mjs"], {
    cwd: here,
    env: { PATH: process.env.PATH, SIDECAR_URL: sidecar.url },
  });
  assert.equal(stderr, "");
  assert.match(stdout, /^This is a synthetic answer .*\n$/);
});

test("quickstart.sh prints an answer", async () => {
  const script = await file("quickstart.sh");
  assert.ok(script.includes(inReadme), `quickstart.sh does not speak to ${inReadme}`);
  const { stdout } = await run("sh", ["-euc", script.replaceAll(inReadme, sidecar.url)]);
  assert.match(JSON.parse(stdout).choices[0].message.content, /synthetic/);
});

// The Python SDK is not installed here, so this one is only read.
test("quickstart.py is Python", async (t) => {
  const check = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
  try {
    await run("python3", ["-c", check, path.join(here, "quickstart.py")]);
  } catch (err) {
    if (err.code === "ENOENT") return t.skip("python3 is not here");
    throw err;
  }
});
