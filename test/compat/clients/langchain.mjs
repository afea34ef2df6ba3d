// LangChain on OpenAI's SDK.

import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { inputs, question, time, timeTool, weather } from "./asked.mjs";
import { openAIClass } from "./openai.mjs";

const finishes = { stop: "stop", tool_calls: "tool" };
const tools = [{ ...timeTool, schema: time }];

const fields = ({ model, key, url, fetch, headers, retries, options }) => ({
  model,
  apiKey: key,
  maxRetries: retries,
  timeout: options.timeout,
  configuration: { baseURL: `${url}/v1`, fetch, defaultHeaders: headers },
});

function connect(call) {
  const chat = new ChatOpenAI(fields(call));
  return call.kind === "tool" ? chat.bindTools(tools) : chat;
}

function prompt({ image }) {
  return [["user", image ? [{ type: "text", text: question }, { type: "image_url", image_url: { url: image } }] : question]];
}

const read = ({ content, tool_calls: [call], usage_metadata: usage, response_metadata }) => ({
  text: content,
  finish: finishes[response_metadata.finish_reason],
  tool: call && { name: call.name, arguments: call.args },
  usage: { input: usage?.input_tokens, output: usage?.output_tokens },
});

const plain = async (call) => read(await connect(call).invoke(prompt(call)));

async function stream(call) {
  const hangUp = new AbortController();
  let whole;
  for await (const chunk of await connect(call).stream(prompt(call), { signal: hangUp.signal })) {
    whole = whole ? whole.concat(chunk) : chunk;
    call.seen(chunk.content, finishes[chunk.response_metadata.finish_reason]);
    if (call.enough()) hangUp.abort();
  }
  return read(whole);
}

const object = async (call) => ({
  object: await connect(call).withStructuredOutput(weather, { method: "jsonSchema" }).invoke(prompt(call)),
});

const embed = async (call) => ({ vectors: await new OpenAIEmbeddings(fields(call)).embedDocuments(inputs) });

export default [
  {
    package: "@langchain/openai",
    dialect: "openai",
    announces: false,
    retries: "by status",
    verbs: { plain, stream, tool: plain, "tool stream": stream, object, embed },
    errorClass: openAIClass,
    error: (err) => ({ status: err.status, message: err.message, code: err.code, type: err.type }),
  },
];
