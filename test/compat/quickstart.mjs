import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.SIDECAR_URL ?? "http://127.0.0.1:9190/v1",
  apiKey: "held-by-the-sidecar",
  defaultHeaders: { "X-Sidecar-Priority": "high", "X-Sidecar-Agent": "quickstart" },
});

const stream = await client.chat.completions.create({
  model: "meta/llama-3.3-70b-instruct",
  messages: [{ role: "user", content: "Say hello." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
process.stdout.write("\n");
