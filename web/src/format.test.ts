import { expect, test } from "vitest";
import { bytes, clock, count, none, percent, rate, roundUp, span, time } from "./format";

test.each([
  [0, "0:00"], [999, "0:00"], [7_000, "0:07"], [59_999, "0:59"], [60_000, "1:00"], [200_000, "3:20"], [3_599_000, "59:59"],
  [3_900_000, "1:05:00"], [86_399_000, "23:59:59"], [86_400_000, "1d 00:00"], [190_800_000, "2d 05:00"], [-5_000, "0:00"], [null, none], [Number.NaN, none],
])("clock(%s) is %s", (ms, want) => expect(clock(ms)).toBe(want));

test.each([
  [0, "0 ms"], [850.4, "850 ms"], [999.4, "999 ms"], [999.6, "1.0 s"], [2_449, "2.4 s"], [9_949, "9.9 s"], [9_950, "10 s"],
  [119_499, "119 s"], [119_500, "1:59"], [900_000, "15:00"], [null, none], [undefined, none],
])("span(%s) is %s", (ms, want) => expect(span(ms)).toBe(want));

test.each([
  [0, "0 %"], [0.004, "0.4 %"], [0.0994, "9.9 %"], [0.0996, "10 %"], [0.974, "97 %"], [1, "100 %"], [1.2, "120 %"], [null, none],
])("percent(%s) is %s", (share, want) => expect(percent(share, "en")).toBe(want));

test("numbers follow the language and never show what is not known as zero", () => {
  expect(count(1234567, "en")).toBe("1,234,567");
  expect(count(null, "en")).toBe(none);
  expect(count(Number.POSITIVE_INFINITY, "en")).toBe(none);
  expect(rate(38.25, "en")).toBe("38.3");
  expect(rate(763.6, "en")).toBe("764");
  expect(rate(null, "zh")).toBe(none);
});

test.each([
  [0, "0 B"], [1023, "1,023 B"], [1024, "1 KiB"], [1536, "1.5 KiB"], [795_000, "776 KiB"], [5 * 1024 ** 3, "5 GiB"], [5000 * 1024 ** 3, "5,000 GiB"], [null, none],
])("bytes(%s) is %s", (n, want) => expect(bytes(n, "en")).toBe(want));

test.each([
  [0, 10], [9, 10], [10, 10], [11, 20], [20, 20], [21, 50], [51, 100], [1000, 1000], [1001, 2000], [Number.NaN, 10],
])("a scale for %s ends at %s", (n, want) => expect(roundUp(n)).toBe(want));

test("a time of another day has its date", () => {
  const at = new Date(2026, 10, 25, 9, 5, 7).getTime();
  expect(time(at, "en", at + 1000)).toBe("09:05:07");
  expect(time(at, "en", at + 1000, false)).toBe("09:05");
  expect(time(at, "en", at + 86_400_000)).toContain("Nov 25");
  expect(time(null, "en", at)).toBe(none);
});
