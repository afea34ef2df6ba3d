// The official OpenAI SDK.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { inputs, question, timeSchema, timeTool, weather } from "./asked.mjs";

const finishes = { stop: "stop", tool_calls: "tool" };
const tools = [{ type: "function", function: { ...timeTool, parameters: timeSchema, strict: true } }];

const connect = (call) =>
  new OpenAI({
    baseURL: `${call.url}/v1`,
    apiKey: call.key,
    maxRetries: call.retries,
    defaultHeaders: call.headers,
    fetch: call.fetch,
  });

function request({ model, image, kind }) {
  const content = image ? [{ type: "text", text: question }, { type: "image_url", image_url: { url: image } }] : question;
  return { model, messages: [{ role: "user", content }], ...(kind === "tool" && { tools }) };
}

const read = ({ choices: [{ message, finish_reason }], usage }) => ({
  text: message.content ?? "",
  finish: finishes[finish_reason],
  tool: message.tool_calls && called(message.tool_calls[0].function),
  usage: { input: usage?.prompt_tokens, output: usage?.completion_tokens },
});

const called = ({ name, arguments: text }) => ({ name, arguments: JSON.parse(text) });

const plain = async (call) => read(await connect(call).chat.completions.create(request(call), call.options));

async function stream(call) {
  const streaming = { ...request(call), stream_options: { include_usage: true } };
  const running = connect(call).chat.completions.stream(streaming, call.options);
  for await (const chunk of running) {
    const [choice] = chunk.choices;
    call.seen(choice?.delta?.content ?? "", finishes[choice?.finish_reason]);
    if (call.enough()) running.abort();
  }
  return read(await running.finalChatCompletion());
}

const object = async (call) => {
  const response_format = zodResponseFormat(weather, "weather");
  const answer = await connect(call).chat.completions.parse({ ...request(call), response_format }, call.options);
  return { object: answer.choices[0].message.parsed };
};

const embed = async (call) => {
  const answer = await connect(call).embeddings.create({ model: call.model, input: inputs }, call.options);
  return { vectors: answer.data.map((d) => d.embedding) };
};

/** The class of an error with this status: the table's, else one for all from 500, else one for all. */
export const classes = (table) => (status) => table[status] ?? (status >= 500 ? "InternalServerError" : "APIError");

export const openAIClass = classes({
  400: "BadRequestError",
  401: "AuthenticationError",
  403: "PermissionDeniedError",
  404: "NotFoundError",
  429: "RateLimitError",
});

export default [
  {
    package: "openai",
    dialect: "openai",
    announces: true,
    retries: "obeys",
    verbs: { plain, stream, tool: plain, "tool stream": stream, object, embed },
    errorClass: openAIClass,
    error: (err) => ({ status: err.status, message: err.message, code: err.code, type: err.type }),
  },
];
