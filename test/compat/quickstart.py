import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("SIDECAR_URL", "http://127.0.0.1:9190/v1"),
    api_key="held-by-the-sidecar",
    default_headers={"X-Sidecar-Priority": "high", "X-Sidecar-Agent": "quickstart"},
)
stream = client.chat.completions.create(
    model="meta/llama-3.3-70b-instruct",
    messages=[{"role": "user", "content": "Say hello."}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
