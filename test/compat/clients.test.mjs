// Every client goes through every scenario; a table of both comes last. The patient scenarios of all clients run beside the
// others.

import { after, describe, test } from "node:test";
import { Bench } from "./bench.mjs";
import { clients, stop } from "./clients/index.mjs";
import { Matrix } from "./matrix.mjs";
import { scenarios } from "./scenarios.mjs";

const matrix = new Matrix(clients, scenarios);
const benches = clients.map((client) => new Bench(client));

function go(bench, patient) {
  for (const scenario of scenarios) {
    if (Boolean(scenario.patient) !== patient || !bench.client.verbs[scenario.verb ?? "plain"]) continue;
    test(scenario.name, () => matrix.enter(bench.client, scenario, () => bench.through(scenario)));
  }
}

describe("clients", { concurrency: true }, () => {
  describe("wait", { concurrency: true }, () => {
    for (const bench of benches) describe(bench.client.name, () => go(bench, true));
  });
  describe("ask", { concurrency: 4 }, () => {
    for (const bench of benches) describe(bench.client.name, { concurrency: 1 }, () => go(bench, false));
  });
});

after(async () => {
  await Promise.all([stop(), ...benches.map((bench) => bench.stop())]);
  matrix.print();
});
