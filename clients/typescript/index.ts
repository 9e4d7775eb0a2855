// Client of the HTTP API of Lenslet. The types in schema.ts are generated from openapi.yaml.
import createClient, { type Client, type ClientOptions } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";
export type Prediction = components["schemas"]["Prediction"];
export type Results = components["schemas"]["Results"];

/** A client of the endpoint at `baseUrl`; the key goes into `headers`, as `X-Api-Key`. */
export const createLenslet = (options: ClientOptions & { baseUrl: string }): Client<paths> =>
  createClient<paths>(options);
