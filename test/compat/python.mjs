// How the OpenAI SDK for Python reads a stream, as an oracle in words of our own: the SDK itself is not run here. Two readers,
// since versions of it cut lines in two ways: its own, on bytes, and that of httpx, on text.
//
// Read off openai 3.3 (_streaming.py) and httpx 0.28 (_decoders.py):
//   - bytes are held until a blank line has come, then cut at \n, \r and \r\n;
//   - httpx cuts text at every line boundary that Python's str.splitlines knows, wherever the network cut it;
//   - a blank line ends an event, unless nothing has been said since the last one; an id that was ever set counts as said;
//   - a line that begins with a colon is no part of anything; one space after a field's colon is dropped;
//   - data [DONE] ends the stream; all other data must be JSON, and an object with an error is raised.

const cutBytes = /\r\n|\n|\r/;
const cutText = /\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]/;

/** The lines of chunks of bytes, as the SDK cuts them. */
export function sdkLines(chunks) {
  const lines = [];
  let held = Buffer.alloc(0);
  const take = (bytes) => lines.push(...splitlines(bytes.toString("utf8"), cutBytes));
  for (const chunk of chunks) {
    for (const line of keepingEnds(chunk)) {
      held = Buffer.concat([held, line]);
      if (/(\r\r|\n\n|\r\n\r\n)$/.test(held.toString("latin1"))) {
        take(held);
        held = Buffer.alloc(0);
      }
    }
  }
  if (held.length) take(held);
  return lines;
}

/** The pieces of a chunk, each up to and with the end of its line. */
function keepingEnds(chunk) {
  const pieces = chunk.toString("latin1").match(/[^\r\n]*(\r\n|\n|\r)|[^\r\n]+$/g) ?? [];
  return pieces.map((piece) => Buffer.from(piece, "latin1"));
}

/** The lines of chunks of bytes, as httpx cuts them: a chunk's last \r waits for what comes after it. */
export function httpxLines(chunks) {
  const decoder = new TextDecoder();
  const lines = [];
  let rest = "";
  for (const chunk of chunks) {
    const text = rest + decoder.decode(chunk, { stream: true });
    const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
    const cut = whole.split(cutText);
    rest = cut.pop() + text.slice(whole.length);
    lines.push(...cut);
  }
  return [...lines, ...splitlines(rest, cutText)];
}

/** Python's splitlines: an end at the very end begins no further line. */
function splitlines(text, cut) {
  const lines = text.split(cut);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The events of lines: what the SDK's decoder hands on. */
export function events(lines) {
  const found = [];
  let said = { event: null, data: [], retry: null };
  let id = null;
  for (const line of lines) {
    if (line === "") {
      const { event, data, retry } = said;
      if (event || data.length || id || retry !== null) found.push({ event, data: data.join("\n"), id, retry });
      said = { event: null, data: [], retry: null };
      continue;
    }
    if (line.startsWith(":")) continue;
    const [, field, value = ""] = line.match(/^([^:]*)(?:: ?(.*))?$/s);
    if (field === "event") said.event = value;
    if (field === "data") said.data.push(value);
    if (field === "id" && !value.includes("\0")) id = value;
    if (field === "retry" && /^[+-]?\d+$/.test(value)) said.retry = Number(value);
  }
  return found;
}

/** The objects that a user of the SDK gets from events; throws what the SDK would raise. */
export function objects(found) {
  const got = [];
  for (const { data } of found) {
    if (data.startsWith("[DONE]")) break;
    const object = JSON.parse(data); // JSONDecodeError
    if (object?.error) throw new Error(`APIError: ${object.error.message ?? "An error occurred during streaming"}`);
    got.push(object);
  }
  return got;
}
