/**
 * The live state: one EventSource a tab, the newest snapshot as a signal, and the sidecar's clock. After five seconds
 * without an event the data is stale, the clock stands still, and the next event mends both.
 */
import { batch, computed, signal } from "@preact/signals";
import { getSnapshot } from "./api";
import type { Snapshot } from "./model";

const staleAfter = 5_000;
const retryAfter = 2_000;
const deafAfter = 15_000; // a connection that is open and silent so long is replaced: a laptop that slept

export const snapshot = signal<Snapshot | null>(null);
/** The sidecar's time at the last event or tick; all that counts on the page counts by this one. */
export const now = signal(Date.now());
/** Since when (by this browser's clock) nothing has come; null while all is well. */
export const staleSince = signal<number | null>(null);
/** How long that has been, for the overlay. */
export const silence = signal(0);
export const fresh = computed(() => snapshot.value !== null && staleSince.value === null);

let lastEvent = Date.now();
let lastTick = 0;

function receive(next: Snapshot): void {
  lastEvent = Date.now();
  lastTick = lastEvent;
  batch(() => {
    staleSince.value = null;
    now.value = next.now;
    snapshot.value = next;
  });
}

/** Counts on between two snapshots, and notices when there are none. */
function tick(): void {
  const at = Date.now();
  const quiet = at - lastEvent;
  if (quiet >= staleAfter) {
    staleSince.value = lastEvent;
    silence.value = Math.floor(quiet / 1000) * 1000;
  } else if (at - lastTick >= 1_000) {
    now.value += at - lastTick;
    lastTick = at;
  }
}

/** Begins to listen. Call it once. */
export function listen(): void {
  let source: EventSource;
  let opened = 0;
  const open = () => {
    opened = Date.now();
    source = new EventSource("api/events");
    source.addEventListener("snapshot", (event) => receive(JSON.parse((event as MessageEvent<string>).data) as Snapshot));
  };
  open();
  getSnapshot().then((first) => snapshot.value ?? receive(first), () => {}); // the first picture need not wait for the first event
  setInterval(() => {
    tick();
    const quiet = Date.now() - Math.max(opened, lastEvent);
    const ended = source.readyState === EventSource.CLOSED;
    if ((ended && Date.now() - opened >= retryAfter) || quiet >= deafAfter) {
      source.close();
      open();
    }
  }, 250);
}
