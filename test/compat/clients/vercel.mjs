// Vercel's AI SDK with its three providers: OpenAI (which speaks the Responses API), OpenAI-compatible, Anthropic.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, RetryError, streamText, tool } from "ai";
import { inputs, question, time, timeTool, weather } from "./asked.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const finishes = { stop: "stop", "tool-calls": "tool" };
const tools = { [timeTool.name]: tool({ description: timeTool.description, inputSchema: time }) };

function request(provider, call) {
  const { image, model, retries: maxRetries, kind } = call;
  const content = image ? [{ type: "text", text: question }, { type: "image", image }] : question;
  return {
    model: provider(call)(model),
    messages: [{ role: "user", content }],
    maxRetries,
    abortSignal: call.options.timeout && AbortSignal.timeout(call.options.timeout),
    ...(kind === "tool" && { tools }),
  };
}

const read = ({ text, finishReason, toolCalls, usage }) => ({
  text,
  finish: finishes[finishReason],
  tool: toolCalls[0] && { name: toolCalls[0].toolName, arguments: toolCalls[0].input },
  usage: { input: usage.inputTokens, output: usage.outputTokens },
});

const verbs = (provider) => {
  const plain = async (call) => read(await generateText(request(provider, call)));
  const stream = async (call) => {
    const hangUp = new AbortController();
    let failed;
    const onError = ({ error }) => (failed = error);
    const running = streamText({ ...request(provider, call), abortSignal: hangUp.signal, onError });
    for await (const part of running.fullStream) {
      if (part.type === "text-delta") call.seen(part.text);
      if (part.type === "finish" && !failed) call.seen("", finishes[part.finishReason]);
      if (call.enough()) hangUp.abort();
    }
    if (failed) throw failed;
    const parts = [running.text, running.finishReason, running.toolCalls, running.usage];
    const [text, finishReason, toolCalls, usage] = await Promise.all(parts);
    return read({ text, finishReason, toolCalls, usage });
  };
  const object = async (call) => ({ object: (await generateObject({ ...request(provider, call), schema: weather })).object });
  const embed = async (call) => {
    const model = provider(call).embeddingModel(call.model);
    return { vectors: (await embedMany({ model, values: inputs, maxRetries: call.retries })).embeddings };
  };
  return { plain, stream, tool: plain, "tool stream": stream, object, embed };
};

const settings = ({ url, key, headers, fetch }) => ({ name: "compat", baseURL: `${url}/v1`, apiKey: key, headers, fetch });

function error(err) {
  const last = RetryError.isInstance(err) ? err.lastError : err;
  const body = last.data?.error ?? last.error ?? last;
  const message = body.message ?? last.message ?? String(last);
  return { class: last.name ?? last.constructor?.name, status: last.statusCode, message, code: body.code, type: body.type };
}

const { embed: _, ...withoutEmbeddings } = verbs((call) => createAnthropic(settings(call)));

export default [
  { package: "@ai-sdk/openai", dialect: "openai", verbs: verbs((call) => createOpenAI(settings(call))) },
  {
    package: "@ai-sdk/openai-compatible",
    dialect: "openai",
    verbs: verbs((call) => createOpenAICompatible({ ...settings(call), includeUsage: true, supportsStructuredOutputs: true })),
  },
  { package: "@ai-sdk/anthropic", dialect: "anthropic", verbs: withoutEmbeddings },
].map((client) => ({ ...client, announces: false, retries: "by status", errorClass: () => "AI_APICallError", error }));
