// The clients, each an adapter around one SDK:
//
//	package     its name and, from the lock file, its version
//	dialect     of the API that it speaks: openai or anthropic
//	announces   it sends its time-out of a call as X-Stainless-Timeout
//	retries     "obeys" x-should-retry and numbers its retries, retries "by status" alone, or "never"
//	verbs       plain, stream, tool, tool stream, object, embed, count, as far as it has them: each takes a call and returns what
//	            the SDK made of the answer
//	errorClass  the class of the error for a status
//	error       what an error tells
//	deaf        what it says of an error after a heartbeat, if it does not say the error
//	settings    of the sidecar that it needs
//	path        where its requests reach the upstream, if that is not where it sends them

import { readFileSync } from "node:fs";
import anthropic from "./anthropic.mjs";
import * as go from "./go.mjs";
import langchain from "./langchain.mjs";
import openai from "./openai.mjs";
import vercel from "./vercel.mjs";
import { recorder } from "./wire.mjs";

const { devDependencies: versions } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const javascript = [...openai, ...anthropic, ...vercel, ...langchain];

const all = [
  ...javascript.map((client) => ({ ...client, name: `${client.package} ${versions[client.package]}`, ask: asker(client) })),
  ...go.clients,
];

// Those of Anthropic's API go through it all twice: with a provider that speaks it, and with one for which it is translated.
const native = { path: "/v1/messages", settings: { SIDECAR_SPEAKS: "both" } };
const translated = { path: "/v1/chat/completions", settings: { SIDECAR_SPEAKS: "openai" }, translated: true };

export const clients = all.flatMap((client) =>
  client.dialect === "openai"
    ? [client]
    : [
        { ...client, ...native },
        { ...client, ...translated, name: `${client.name}, translated` },
      ],
);

/** Ends what the clients have started. */
export const stop = go.stop;

/**
 * Asks once. A call has url, key and model, and maybe headers, retries (0), timeout in ms, image, and enough: the number of
 * pieces after which to hang up. The outcome is what the verb returns, the pieces and the reasons to finish as they came, the
 * error, if it failed, what was sent, and how many ms it took.
 */
function asker({ verbs, error }) {
  return async (verb, call) => {
    const { fetch, sent } = recorder();
    const outcome = { sent, pieces: [], finishes: [] };
    const began = performance.now();
    try {
      Object.assign(
        outcome,
        await verbs[verb]({
          retries: 0,
          ...call,
          fetch,
          kind: verb.split(" ")[0],
          options: call.timeout ? { timeout: call.timeout } : {},
          seen(text, finish) {
            if (text) outcome.pieces.push(text);
            if (finish) outcome.finishes.push(finish);
          },
          enough: () => outcome.pieces.length === call.enough,
        }),
      );
    } catch (err) {
      outcome.error = { class: err.constructor?.name, ...error(err) };
    }
    outcome.took = performance.now() - began;
    return outcome;
  };
}
