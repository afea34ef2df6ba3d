// The table of what passed, printed when a suite has run.

export class Matrix {
  #results = new Map();

  constructor(clients, scenarios) {
    this.clients = clients;
    this.scenarios = scenarios;
  }

  /** Runs a scenario with a client and takes down what came of it. */
  async enter(client, scenario, run) {
    const key = `${client.name}\n${scenario.name}`;
    this.#results.set(key, "FAIL");
    await run();
    this.#results.set(key, "ok");
  }

  /** One line a scenario, one column a client; "-" is what the client cannot do. */
  print() {
    this.clients.forEach(({ name }, i) => console.log(`${String.fromCharCode(65 + i)} = ${name}`));
    const width = Math.max(...this.scenarios.map(({ name }) => name.length));
    const row = (name, cells) => console.log(`${name.padEnd(width)} ${cells.map((cell) => cell.padEnd(5)).join("")}`.trimEnd());
    row("", this.clients.map((_, i) => String.fromCharCode(65 + i)));
    for (const { name } of this.scenarios) row(name, this.clients.map((c) => this.#results.get(`${c.name}\n${name}`) ?? "-"));
  }
}
