curl -s http://127.0.0.1:9190/v1/chat/completions \
  -H 'Content-Type: application/json' \
  -H 'X-Sidecar-Priority: urgent' \
  -d '{"model": "meta/llama-3.3-70b-instruct", "messages": [{"role": "user", "content": "Say hello."}]}'
