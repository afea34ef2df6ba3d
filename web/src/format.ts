/** Numbers and times as the page shows them. Every function takes what is not known and answers with a dash. */
import type { Maybe } from "./model";

type Unknown = Maybe<number> | undefined;
export const none = "–";

const formats = new Map<string, Intl.NumberFormat>();

/** A number in the language's digits and separators, with at most so many decimals. */
export function count(value: Unknown, lang: string, decimals = 0): string {
  if (value == null || !Number.isFinite(value)) return none;
  const key = `${lang} ${decimals}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(lang, { maximumFractionDigits: decimals });
    formats.set(key, format);
  }
  return format.format(value);
}

/** A rate: one decimal while it is small enough for one to matter. */
export function rate(value: Unknown, lang: string): string {
  return count(value, lang, value != null && Math.abs(value) < 100 ? 1 : 0);
}

/** A share of one as a percentage: "97 %", and "0.4 %" where whole ones would say nothing. */
export function percent(share: Unknown, lang: string): string {
  if (share == null || !Number.isFinite(share)) return none;
  const small = share > 0 && share < 0.0995;
  return `${count(share * 100, lang, small ? 1 : 0)} %`;
}

/** A counting time, the same in every language and as wide from one second to the next: 0:07, 3:20, 1:05:00, 2d 03:00. */
export function clock(ms: Unknown): string {
  if (ms == null || !Number.isFinite(ms)) return none;
  const all = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(Math.floor(n)).padStart(2, "0");
  const [days, hours, minutes, seconds] = [all / 86400, (all / 3600) % 24, (all / 60) % 60, all % 60];
  if (days >= 1) return `${Math.floor(days)}d ${two(hours)}:${two(minutes)}`;
  if (hours >= 1) return `${Math.floor(hours)}:${two(minutes)}:${two(seconds)}`;
  return `${Math.floor(minutes)}:${two(seconds)}`;
}

/** A measured time: 850 ms, 2.4 s, 24 s, and from two minutes on as a clock. */
export function span(ms: Unknown): string {
  if (ms == null || !Number.isFinite(ms)) return none;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 119500) return `${Math.round(ms / 1000)} s`;
  return clock(ms);
}

export function bytes(n: Unknown, lang: string): string {
  if (n == null || !Number.isFinite(n)) return none;
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${count(n, lang, unit && n < 10 ? 1 : 0)} ${units[unit]}`;
}

/** The time of day, with the date in front when that is not today's. */
export function time(ms: Unknown, lang: string, now: number, seconds = true): string {
  if (ms == null || !Number.isFinite(ms)) return none;
  const at = new Date(ms);
  const clockOnly: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (seconds) clockOnly.second = "2-digit";
  const today = at.toDateString() === new Date(now).toDateString();
  return at.toLocaleString(lang, today ? clockOnly : { ...clockOnly, month: "short", day: "numeric" });
}

/** The smallest of 1, 2, 5, 10, 20, 50 … that is not below n: the end of a scale that does not move with each step. */
export function roundUp(n: number, least = 10): number {
  if (!(n > least)) return least;
  const power = 10 ** Math.floor(Math.log10(n));
  return ([1, 2, 5, 10].find((step) => step * power >= n) ?? 10) * power;
}
