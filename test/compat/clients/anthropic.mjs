// The official Anthropic SDK.

import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { question, timeSchema, timeTool, weather } from "./asked.mjs";
import { classes } from "./openai.mjs";

const finishes = { end_turn: "stop", tool_use: "tool" };
const tools = [{ ...timeTool, input_schema: timeSchema }];

const connect = (call) =>
  new Anthropic({
    baseURL: call.url,
    apiKey: call.key,
    maxRetries: call.retries,
    defaultHeaders: call.headers,
    fetch: call.fetch,
  });

function request({ model, image, kind }) {
  const picture = image && { type: "base64", media_type: "image/png", data: image.slice(image.indexOf(",") + 1) };
  const content = image ? [{ type: "text", text: question }, { type: "image", source: picture }] : question;
  return { model, max_tokens: 256, messages: [{ role: "user", content }], ...(kind === "tool" && { tools }) };
}

function read({ content: [block], stop_reason, usage }) {
  return {
    text: block.text ?? "",
    finish: finishes[stop_reason],
    tool: block.type === "tool_use" ? { name: block.name, arguments: block.input } : undefined,
    usage: { input: usage.input_tokens, output: usage.output_tokens },
  };
}

const plain = async (call) => read(await connect(call).messages.create(request(call), call.options));

async function stream(call) {
  const running = connect(call).messages.stream(request(call), call.options);
  for await (const event of running) {
    call.seen(event.delta?.text ?? "", finishes[event.delta?.stop_reason]);
    if (call.enough()) running.abort();
  }
  return read(await running.finalMessage());
}

const object = async (call) => {
  const output_config = { format: zodOutputFormat(weather) };
  const answer = await connect(call).messages.parse({ ...request(call), output_config }, call.options);
  return { object: answer.parsed_output };
};

const count = async (call) => {
  const { model, messages } = request(call);
  return { tokens: (await connect(call).messages.countTokens({ model, messages }, call.options)).input_tokens };
};

export default [
  {
    package: "@anthropic-ai/sdk",
    dialect: "anthropic",
    announces: true,
    retries: "obeys",
    verbs: { plain, stream, tool: plain, "tool stream": stream, object, count },
    errorClass: classes({
      400: "BadRequestError",
      401: "AuthenticationError",
      403: "PermissionDeniedError",
      404: "NotFoundError",
      413: "ContentTooLargeError",
      429: "RateLimitError",
      503: "ServiceUnavailableError",
      504: "GatewayTimeoutError",
    }),
    error: (err) => ({ status: err.status, message: err.error?.error?.message ?? err.message, type: err.error?.error?.type }),
  },
];
