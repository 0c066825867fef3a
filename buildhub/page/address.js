/** The state of the page is its address: {criteria, unclear, notes, record, server}. */

import { FIELDS } from "./catalogue.js";
import { normal, understand } from "./language.js";

export function readState(query) {
  const parameters = new URLSearchParams(query);
  const { criteria, unclear, notes } = understand(parameters.get("q") ?? "");
  for (const { name } of FIELDS) {
    const value = parameters.get(name)?.trim().replace(/^"(.*)"$/, "$1");
    if (value) criteria[name] = normal(name, value);
  }
  return { criteria, unclear, notes, record: parameters.get("record") ?? "", server: parameters.get("server") ?? "" };
}

export function addressOf(state) {
  const pairs = FIELDS.filter(({ name }) => name in state.criteria).map(({ name }) => [name, state.criteria[name]]);
  if (state.unclear.length) pairs.push(["q", state.unclear.join(" ")]);
  if (state.record) pairs.push(["record", state.record]);
  if (state.server) pairs.push(["server", state.server]);
  return `?${pairs.map(([name, value]) => `${name}=${readable(value)}`).join("&")}`;
}

/** Encoded as far as has to be: links are read by people. */
const readable = (value) => encodeURIComponent(value.toWellFormed()).replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%7C/g, "|").replace(/%20/g, "+");

/** A state like `state` with other criteria; an undefined one is left out. */
export function withCriteria(state, changes) {
  const criteria = Object.fromEntries(Object.entries({ ...state.criteria, ...changes }).filter(([, value]) => value));
  return { ...state, criteria, notes: [], record: "" };
}

/** The address of a search on the same server. */
export const searchFor = (state, criteria) => addressOf({ criteria, unclear: [], record: "", server: state.server });
export const isHome = (state) => !Object.keys(state.criteria).length && !state.unclear.length;
export const searchKey = (state) => addressOf({ ...state, record: "" });
