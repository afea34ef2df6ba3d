// What every client asks, whatever its SDK calls it.

import { z } from "zod";

export const question = "Say hello.";

export const weather = z.object({ city: z.string(), degrees: z.number() });

/** The same as JSON schema, for SDKs that take no other. */
export const weatherSchema = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "number" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};

export const time = z.object({ zone: z.string() });

export const timeSchema = {
  type: "object",
  properties: { zone: { type: "string" } },
  required: ["zone"],
  additionalProperties: false,
};

export const timeTool = { name: "get_time", description: "the time in a zone" };

export const inputs = ["one", "two", "one"];
