// What the sidecar sends to clients that wait, by the dialect of the path: the form of a heartbeat.

const forms = { openai: /^: .*\n/gm, anthropic: /^event: ping\ndata: .*\n\n/gm };

/** How many heartbeats are in a stream, or a part of one. */
export const beatsIn = ({ dialect }, raw) => raw.match(forms[dialect])?.length ?? 0;

/** A stream without its heartbeats. */
export const withoutBeats = ({ dialect }, raw) => raw.replace(forms[dialect], "");
