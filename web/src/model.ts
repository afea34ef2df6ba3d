/**
 * The JSON of /sidecar/api, as internal/dash/openapi.yaml describes it. A time is in Unix milliseconds, a name that ends in
 * _ms is a duration in milliseconds, one that ends in _s in seconds, and null means "not known", never zero.
 */

export const classes = ["URGENT", "HIGH", "NORMAL", "LOW"] as const;
export type Class = (typeof classes)[number];
export type State = "NORMAL" | "RETREAT" | "RECOVER";
export type Maybe<T> = T | null;

export interface Snapshot {
  seq: number;
  now: number;
  version: string;
  uptime_s: number;
  settings_version: number;
  /** Why the settings file was not taken over when it was last read. */
  settings_error?: Maybe<string>;
  demo: boolean;
  draining: boolean;
  healthy: boolean;
  state_dir: boolean;
  store_degraded: boolean;
  state: State;
  state_reason: Maybe<string>;
  state_since: Maybe<number>;
  tokens_available: Maybe<number>;
  rate: Rate;
  utilisation: Maybe<number>;
  refused_share: Maybe<number>;
  queue: Queue;
  waiting: Waiter[];
  waiting_more: number;
  limits: Limit[];
  requests: Request[];
  providers: Provider[];
  batches: unknown[];
}

/** All a minute. `sent` is what was granted in the last one. */
export interface Rate {
  effective: Maybe<number>;
  ceiling: Maybe<number>;
  configured: Maybe<number>;
  sent: Maybe<number>;
}

export interface Queue {
  total: number;
  capacity: number;
  bytes: number;
  classes: ClassQueue[];
}

export interface ClassQueue {
  class: Class;
  waiting: number;
  oldest_ms: Maybe<number>;
  p50_ms: Maybe<number>;
  p95_ms: Maybe<number>;
}

export interface Waiter {
  id: string;
  class: Class;
  agent: Maybe<string>;
  client: Maybe<string>;
  model: Maybe<string>;
  provider: Maybe<string>;
  waited_ms: number;
  place: Maybe<number>;
  eta_ms: Maybe<number>;
  repeat: boolean;
}

export interface Limit {
  provider: string;
  account: Maybe<string>;
  model: Maybe<string>;
  state: State;
  reason: Maybe<string>;
  windows: Window[];
  confidence: Maybe<string>;
  paused_until: Maybe<number>;
  burst: Maybe<number>;
  in_flight: Maybe<number>;
  in_flight_max: Maybe<number>;
  last_refusal: Maybe<number>;
  refusals: number;
  charged: number;
}

/** `period` is S, M, H or D, or a duration as in a limit's syntax. */
export interface Window {
  period: string;
  limit: Maybe<number>;
  learned: boolean;
  configured: Maybe<number>;
  used: number;
  resets: Maybe<number>;
}

export interface Request {
  id: string;
  class: Class;
  agent: Maybe<string>;
  model: Maybe<string>;
  provider: Maybe<string>;
  key: Maybe<string>;
  path: string;
  stream: boolean;
  status: number;
  reason: Maybe<string>;
  started: number;
  queued_ms: number;
  first_byte_ms: Maybe<number>;
  total_ms: number;
  attempts: Attempt[];
  input_tokens: Maybe<number>;
  output_tokens: Maybe<number>;
}

/** One send upstream; `at_ms` counts from the request's start. */
export interface Attempt {
  at_ms: number;
  took_ms: number;
  outcome: string;
}

export interface Provider {
  name: string;
  url_host: string;
  default: boolean;
  healthy: boolean;
  paused: boolean;
  breaker: string;
  accounts: Account[];
}

export interface Account {
  name: string;
  keys: Key[];
}

export interface Key {
  alias: string;
  healthy: boolean;
  benched_until: Maybe<number>;
  reason: Maybe<string>;
}

export const ranges = ["15m", "1h", "6h", "24h"] as const;
export type Range = (typeof ranges)[number];
export type Row = Maybe<number>[];

export interface History {
  step_s: number;
  from: number;
  series: Series;
}

/** One entry a step; null where nothing is known. */
export interface Series {
  t: number[];
  granted: Row;
  refused: Row;
  rate: Row;
  ceiling: Row;
  utilisation: Row;
  wait_p50: Partial<Record<Class, Row>>;
  wait_p95: Partial<Record<Class, Row>>;
  depth?: Partial<Record<Class, Row>>;
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Settings {
  version: number;
  settings: { [name: string]: Json };
  schema: Schema;
  changed: { at: number; by: string; keys: string[] }[];
  file: { path_known: boolean; error: Maybe<string>; read: Maybe<number> };
  read_only: boolean;
}

/** The part of JSON Schema that settings use. */
export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  properties?: { [name: string]: Schema };
  items?: Schema;
  enum?: Json[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  $ref?: string;
  $defs?: { [name: string]: Schema };
  pattern?: string;
  minimum?: number;
  maximum?: number;
  readOnly?: boolean;
}

/** What an error answer says; `param` is the path of the setting that is wrong. */
export interface Problem {
  status: number;
  message: string;
  param: Maybe<string>;
}
