/** The questions that Kinto is asked, each in a form that an index of the database serves.
 *
 * A build has a file for each platform and locale, hundreds in all. One locale stands for the
 * build: that which was asked for, else en-US or multi. */

import { CHANNELS, MAIN_LOCALES, PRODUCTS } from "./catalogue.js";
import { momentOf, partsOf } from "./language.js";

const PAGE_SIZE = 200;
const BATCH_SIZE = 25; // what Kinto takes at once, unless it is set otherwise
const TIMEOUT = 60_000; // milliseconds
const MOST_EXPORTED = 10_000;
const MOST_CANDIDATES = 20;
const FILES = "id,build.id,build.date,build.number,source,target,download";
/** Before any missing date, and behind any text: leaves out the records without a date. */
const DATED = ["lt_build.date", '"9"'];
const PAIR = ["source.product", "target.channel"];

/** What went wrong, in a sentence, and what to do about it. */
export class Failure extends Error {
  constructor(sentence, advice) {
    super(sentence);
    this.advice = advice;
  }
}

export const setting = (name) => document.querySelector(`meta[name="${name}"]`).content;

/** Kinto's address without a slash at the end; throws a Failure for what can't be one. */
export function serverUrl(given) {
  const asked = given || setting("kinto-server");
  const base = given ? undefined : location.href;
  const url = URL.canParse(asked, base) ? new URL(asked, base) : undefined;
  if (!["http:", "https:"].includes(url?.protocol) || url.username || url.password) {
    const advice = "It begins with http:// or https://, contains no password, and usually ends in /v1.";
    throw new Failure(`“${asked}” is not the address of a Kinto server.`, advice);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

function recordsPath() {
  const [bucket, collection] = ["kinto-bucket", "kinto-collection"].map((name) => encodeURIComponent(setting(name)));
  return `/buckets/${bucket}/collections/${collection}/records`;
}

// Conditions → Kinto's filters

/** Kinto's filters, as pairs. In quotes, always: without them it takes 53.0 for a number. */
export function filters(criteria) {
  const all = { ...impliedBy(criteria["download.url"]), ...criteria };
  const pairs = Object.entries(all).flatMap(([name, value]) => filter(name, value, criteria));
  // Kinto's memory storage forgets the filters before a `has_`, and fails at a `like_` of a
  // field that is not there.
  const has = (pair) => Number(pair[0].startsWith("has_"));
  return pairs.sort((one, other) => has(other) - has(one));
}

function filter(name, value, { candidates, "target.version": version = "*", "target.locale": locale }) {
  if (name === "target.locale" && value === "*") return [];
  if (name === "candidates") return value === "only" && version.includes("*") ? like("target.version", "*rc*") : [];
  if (name === "target.version" && !value.includes("*")) return oneOf(name, versions(value, candidates));
  if (name === "build.id" && prefixOf(value)) return between(prefixOf(value));
  if (name === "build.number") return [[name, value]];
  if (value.includes("*")) return like(name, value);
  if (name === "source.revision") return oneOf(name, value.split("|").flatMap((one) => [one, one.slice(0, 12)]));
  return oneOf(name, value.split("|"), locale === MAIN_LOCALES && PAIR.includes(name));
}

const like = (name, glob) => [[`has_${name}`, "true"], [`like_${name}`, quoted(literal(glob))]];

/** A list, also one of one value, is served by the index of its field, in that index's order: right
 * for the one record in a hundred that stands for a build. Equality finds few among all. */
function oneOf(name, values, asList = false) {
  const [value, ...others] = new Set(values);
  return others.length || (asList && !value.includes(",")) ? [[`in_${name}`, [value, ...others].map(quoted).join()]] : [[name, quoted(value)]];
}

const quoted = (text) => JSON.stringify(text);

/** What has a meaning in SQL's LIKE or in a regular expression, less so: Kinto uses either. */
const literal = (glob) => glob.replace(/[^\p{L}\p{N}*]/gu, "\\$&");

/** A version and its candidates. Metadata of before 2015 has twelve digits of a revision. */
function versions(value, candidates) {
  return value.split("|").flatMap((version) => {
    if (/rc\d|a\d/.test(version) || candidates === "no") return version;
    const numbers = Array.from({ length: MOST_CANDIDATES }, (_, index) => `${version}rc${index + 1}`);
    return candidates === "only" ? numbers : [version, ...numbers];
  });
}

/** The digits of `20170509*`; a build's date is its id, so that a prefix is a span of time. */
function prefixOf(value) {
  const digits = /^((?:\d\d){2,6})\*$/.exec(value)?.[1];
  return digits && momentOf(digits) !== undefined ? digits : undefined;
}

function between(digits) {
  const parts = partsOf(digits);
  const next = parts.map((part, index) => part + Number(index === digits.length / 2 - 2));
  const [start, end] = [parts, next].map(([year, month, ...rest]) => secondOf(Date.UTC(year, month - 1, ...rest)));
  return [["min_build.date", quoted(start)], ["lt_build.date", quoted(end)]];
}

const secondOf = (moment) => new Date(moment).toISOString().replace(/\.\d+/, "");

/** What a key tells of its records: with these, not every record has to be compared with it. */
function impliedBy(url = "") {
  const [, folder, section, part = "", rest = ""] = /\/pub\/(\w+)\/(releases|candidates|nightly)\/([^/*]+)\/(.*)$/.exec(url) ?? [];
  const [, rc = "", inside] = /^(?:build(\d+)\/)?(.*)$/.exec(rest);
  const name = /[^/*]*$/.exec(url)[0];
  const inName = / RC | Beta | Alpha /i.test(name) ? undefined : /[ -](\d+(?:\.\d+)+(?:[ab]\d+)?(?:esr|pre)?)(?=\.)/.exec(name)?.[1];
  const day = section !== "releases" && /\/(\d{4})-(\d\d)-(\d\d)-[\d-]+-/.exec(url)?.slice(1).join("");
  const found = {
    "source.product": { mobile: "fennec", focus: "focus|klar" }[folder] ?? folder,
    "target.version": { releases: part, candidates: part.replace(/-candidates$/, rc && `rc${rc}`) }[section] ?? inName,
    "target.locale": /^[^/]+\/([a-zA-Z]{2,3}(?:-[a-zA-Z-]+)?|multi)\//.exec(inside)?.[1] ?? /\d\.([a-zA-Z-]{2,10})\.[a-z]/.exec(name)?.[1],
    "build.id": day && `${day}*`,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value));
}

/** The locales that were asked for, or those that stand for a build. */
export const localesOf = (criteria) => ({ "target.locale": MAIN_LOCALES, ...impliedBy(criteria["download.url"]), ...criteria })["target.locale"].split("|");

// Searches

/** Pages of the records of one locale of each build, newest first, those without a date last. */
export async function* pages(server, criteria, signal) {
  const known = await withRevision(server, criteria, signal);
  if (!known) return;
  const one = { "target.locale": localesOf(known).join("|") };
  const given = "target.locale" in criteria || "id" in criteria;
  const any = { ...known, candidates: known.candidates ?? "no" }; // equality: a list would read every record, as like_ does
  const again = filters(any).some(([name]) => name.startsWith("like_")) ? [] : [any];
  const attempts = given ? [known] : [{ ...known, ...one }, ...again];
  for (const attempt of attempts) {
    let found = false;
    for await (const page of pagesOf(server, attempt, signal)) {
      found ||= page.length > 0;
      if (page.length) yield page;
    }
    if (found) return;
  }
}

async function* pagesOf(server, criteria, signal) {
  const conditions = filters(criteria);
  const dated = conditions.some(([name]) => name === DATED[0]);
  const common = [["_limit", PAGE_SIZE], ["_fields", FILES]];
  const queries = [[...conditions, ...(dated ? [] : [DATED]), ["_sort", "-build.date"], ...common]];
  if (!dated) queries.push([["has_build.date", "false"], ...conditions, ["_sort", "-download.date"], ...common]);
  for (const query of queries) {
    let next = new URLSearchParams(query).toString();
    while (next) {
      const page = await listPage(server, next, signal);
      next = page.next;
      yield page.records;
    }
  }
}

/** Only the query is taken from Next-Page: behind a proxy, its host may be another. */
async function listPage(server, query, signal) {
  const answer = await ask(server, `${recordsPath()}?${query}`, { signal });
  const { data } = await jsonOf(server, answer);
  if (!Array.isArray(data)) throw notKinto(server);
  return { records: data, next: (answer.headers.get("Next-Page") ?? "").split("?")[1] ?? "" };
}

/** The conditions with the whole of a revision's first digits; undefined if there is none. */
async function withRevision(server, criteria, signal) {
  const [, digits] = /^([0-9a-f]+)\*$/.exec(criteria["source.revision"] ?? "") ?? [];
  if (!digits) return criteria;
  const found = new Set();
  for (let last = `${digits}g`; found.size < 5; last = [...found].pop()) {
    const query = [["lt_source.revision", quoted(last)], ["_sort", "-source.revision"], ["_limit", 1], ["_fields", "source.revision"]];
    const { records } = await listPage(server, new URLSearchParams(query).toString(), signal);
    const revision = records[0]?.source?.revision ?? "";
    if (!revision.startsWith(digits)) break;
    found.add(revision);
  }
  if (digits.length > 12) found.add(digits.slice(0, 12));
  return found.size ? { ...criteria, "source.revision": [...found].join("|") } : undefined;
}

/** All files of a build, or of a version of it: `criteria` select them. */
export async function filesOf(server, criteria) {
  const query = new URLSearchParams([...filters(criteria), ["_limit", 1000], ["_fields", FILES]]);
  return (await readPages(server, query.toString(), 5000)).records;
}

/** The records of as many pages as have `most`, and whether that were all. */
async function readPages(server, query, most) {
  const records = [];
  let next = query;
  while (next && records.length < most) {
    const page = await listPage(server, next);
    records.push(...page.records);
    next = page.next;
  }
  return { records, complete: !next };
}

/** The files of one locale of the builds before `build`, of its product and channel. */
export async function earlierFiles(server, { product, channel, date }) {
  const conditions = [["source.product", product], ["target.channel", channel], ["target.locale", MAIN_LOCALES]];
  const query = conditions.flatMap(([name, value]) => oneOf(name, value.split("|"), true));
  query.push(["lt_build.date", quoted(date)], ["_sort", "-build.date"], ["_limit", PAGE_SIZE], ["_fields", FILES]);
  return (await listPage(server, new URLSearchParams(query).toString())).records;
}

/** The number of records that match each of several conditions. */
export async function counts(server, several, signal) {
  const requests = several.map((criteria) => ({ method: "HEAD", path: pathOf(filters(criteria)) }));
  const responses = await batch(server, requests, signal);
  return responses.map(({ headers }) => Number(headers["Total-Records"] ?? headers["Total-Objects"]) || 0);
}

const recordPath = (id) => `${recordsPath()}/${encodeURIComponent(id.toWellFormed())}`;
export const recordUrl = (server, id) => server + recordPath(id);
export const getRecord = async (server, id) => (await jsonOf(server, await ask(server, recordPath(id), {}))).data;

// The newest of each product and channel

/** Calls `show` with records of the newest builds of products and channels, and the time of the
 * catalogue's last change.
 *
 * Kinto has no GROUP BY. The greatest value below each one that is known finds the values that
 * there are, also those not known, without reading all records. */
export async function newest(server, signal, show) {
  const main = oneOf("target.locale", MAIN_LOCALES.split("|"));
  const products = await valuesBelow(server, "source.product", Object.keys(PRODUCTS), [main], signal);
  const given = [...products[0]].map((product) => [...main, ...oneOf("source.product", [product], true)]);
  const channels = await valuesBelow(server, "target.channel", CHANNELS, given, signal);
  const pairs = given.flatMap((product, index) => [...channels[index]].map((channel) => [...product, ...oneOf("target.channel", [channel], true)]));
  const left = await newestOf(server, pairs, (pair) => [...pair, DATED, ["_sort", "-build.date"]], signal, show);
  await newestOf(server, left, (pair) => [...pair, ["_sort", "-download.date"]], signal, show);
  return pairs.length;
}

/** Shows what is found; returns the pairs of which nothing was. */
async function newestOf(server, pairs, query, signal, show) {
  const requests = pairs.map((pair) => ({ path: pathOf([...query(pair), ["_limit", 60], ["_fields", FILES]]) }));
  const responses = await batch(server, requests, signal);
  const found = responses.map(({ body }) => body.data);
  if (found.flat().length) show(found.flat(), timeOf(responses[0].headers));
  return pairs.filter((_, index) => !found[index].length);
}

/** For each of several conditions, the set of a field's values. */
async function valuesBelow(server, name, known, several, signal) {
  const sets = several.map(() => new Set());
  let limits = sets.flatMap((_, index) => [...known, "zzzz"].map((value) => [index, value]));
  while (limits.length) {
    const requests = limits.map(([index, value]) => ({
      path: pathOf([...several[index], [`lt_${name}`, quoted(value)], ["_sort", `-${name}`], ["_limit", 1], ["_fields", name]]),
    }));
    const responses = await batch(server, requests, signal);
    limits = responses.flatMap(({ body }, position) => {
      const value = name.split(".").reduce((part, key) => part?.[key], body.data[0]);
      const [index] = limits[position];
      const isNew = typeof value === "string" && value && !sets[index].has(value);
      if (isNew) sets[index].add(value);
      return isNew && !known.includes(value) ? [[index, value]] : [];
    });
  }
  return sets;
}

const pathOf = (query) => `${recordsPath()}?${new URLSearchParams(query)}`;

/** A collection's time of change, in milliseconds: its ETag is a number in quotes. */
const timeOf = (headers) => Number(/\d{12,}/.exec(headers?.ETag ?? "")?.[0]) || 0;

/** A record of the newest build, for examples; undefined in an empty catalogue. */
export async function oneRecord(server, signal) {
  const query = [...oneOf("target.locale", MAIN_LOCALES.split("|")), DATED, ["_sort", "-build.date"], ["_limit", 1], ["_fields", FILES]];
  const { records } = await listPage(server, new URLSearchParams(query).toString(), signal);
  if (records.length) return records[0];
  return (await listPage(server, `_limit=1&_fields=${FILES}`, signal)).records[0];
}

// Results to take along

/** The records that match, whole, at most ten thousand: {records, complete}. */
export async function exported(server, criteria) {
  const { records, complete } = await readPages(server, exportQuery(criteria), MOST_EXPORTED);
  return { records: records.filter(kept(criteria)), complete };
}

function exportQuery(criteria) {
  const conditions = filters(criteria);
  const dated = conditions.some(([name]) => name === DATED[0]);
  return new URLSearchParams([...(dated ? [["has_build.date", "true"]] : []), ...conditions, ["_sort", "-build.date"]]).toString();
}

/** What Kinto cannot be asked for at once is left to the page. */
export const kept = ({ candidates }) => (record) => candidates === undefined || isCandidate(record) === (candidates === "only");

/** Releases were called 1.0rc1, too: the file's folder says which it is. */
export function isCandidate(record) {
  const url = String(record.download?.url ?? "");
  return url ? url.includes("-candidates/") : /rc\d+(?:-|$)/.test(String(record.target?.version ?? ""));
}

export function curl(server, criteria) {
  const rest = criteria.candidates ? ` | jq -c ${shell(`.data[] | {data: .} | select(${testFor("candidates", criteria.candidates)})`)}` : "";
  return `curl -s ${shell(`${server}${recordsPath()}?${exportQuery(criteria)}`)}${rest}`;
}

const OPTIONS = {
  "source.product": "product", "target.channel": "channel", "target.os": "os", "target.platform": "platform",
  "target.locale": "locale", "source.tree": "tree", "source.revision": "revision", "build.id": "build-id", id: "id",
};

/** The command that prints the same records; what has no option is selected by jq. */
export function command(server, criteria) {
  const all = { ...impliedBy(criteria["download.url"]), ...criteria };
  const options = Object.entries(all).flatMap(([name, value]) => optionsFor(name, value, criteria.candidates));
  const tests = Object.entries(criteria).map(([name, value]) => testFor(name, value)).filter(Boolean).join(" and ");
  const select = tests && ` | jq -c ${shell(`select(${tests})`)}`;
  return [`kinto-to-records --server ${shell(server)}`, ...options.map(([name, value]) => `--${name} ${shell(value)}`)].join(" ") + select;
}

function optionsFor(name, value, candidates) {
  if (name === "target.version") {
    const globs = (one) => (one.includes("*") || /rc\d|a\d/.test(one) || candidates === "no" ? [one] : [one, `${one}rc*`]);
    return value.split("|").flatMap(globs).map((one) => ["version", one]);
  }
  if (name === "build.id" && prefixOf(value)) {
    return between(prefixOf(value)).map(([limit, date]) => [limit.startsWith("min") ? "built-since" : "built-until", JSON.parse(date)]);
  }
  const plain = (name === "source.revision" ? value.replace(/\*$/, "") : value).split("|");
  return OPTIONS[name] && !plain.join("").includes("*") ? plain.map((one) => [OPTIONS[name], one]) : [];
}

function testFor(name, value) {
  if (name === "build.number") return `.data.build.number == ${value}`;
  if (name === "candidates") return `(.data.download.url | contains("-candidates/")${value === "no" ? " | not" : ""})`;
  if (name === "target.version" || optionsFor(name, value).length || value === "*") return "";
  const literal = (part) => part.replace(/[^\w /-]/g, (sign) => ("\\^".includes(sign) ? "." : `[${sign}]`));
  return `(.data.${name} | test(${quoted(`^${value.split("*").map(literal).join(".*")}$`)}))`;
}

const shell = (text) => /^[\w.:/@%=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// Requests and what becomes of them

/** The responses of several requests, asked for together. */
async function batch(server, requests, signal) {
  const parts = [];
  for (let start = 0; start < requests.length; start += BATCH_SIZE) parts.push(requests.slice(start, start + BATCH_SIZE));
  const post = (part) => ask(server, "/batch", { method: "POST", body: JSON.stringify({ requests: part }), signal });
  const answers = await Promise.all(parts.map(async (part) => (await jsonOf(server, await post(part))).responses));
  const failed = answers.flat().find(({ status }) => status !== 200);
  if (failed) throw refusal(server, failed.status, failed.body);
  return answers.flat();
}

async function ask(server, path, { method = "GET", body, signal }) {
  const signals = [AbortSignal.timeout(TIMEOUT), signal].filter(Boolean);
  const headers = body ? { "Content-Type": "application/json" } : {};
  let answer;
  try {
    answer = await fetch(server + path, { method, body, headers, credentials: "omit", signal: AbortSignal.any(signals) });
  } catch (error) {
    throw error.name === "AbortError" ? error : noAnswer(server, error);
  }
  if (!answer.ok) throw refusal(server, answer.status, await answer.json().catch(() => ({})), answer.headers.get("Retry-After"));
  return answer;
}

async function jsonOf(server, answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw notKinto(server);
  }
}

function noAnswer(server, error) {
  const late = error.name === "TimeoutError" ? ` within ${TIMEOUT / 1000} seconds` : "";
  const advice = "Check the address, that Kinto is running there, and that its setting cors_origins allows this page.";
  return new Failure(`The server at ${server} did not answer${late}.`, advice);
}

const notKinto = (server) => new Failure(`What answers at ${server} is not Kinto.`, "Its address usually ends in /v1.");

function refusal(server, status, body, retryAfter) {
  if (status === 404 && body?.details?.resource_name === "record") {
    return new Failure(`There is no record ${body.details.id} in the catalogue.`, "It was never published, or its id is spelt in another way.");
  }
  if (status === 401 || status === 403 || status === 404) {
    const advice = "If the address is right, create the collection: kinto-wizard load --server … --auth … jobs/initialization.yml.";
    const collection = `${setting("kinto-bucket")}/${setting("kinto-collection")}`;
    return new Failure(`${server} has no collection ${collection} that everybody may read (HTTP ${status}).`, advice);
  }
  if (status >= 500 || status === 429) {
    const wait = /^\d+$/.test(retryAfter ?? "") ? `Try again in ${retryAfter} seconds.` : "Try again in a moment.";
    return new Failure(`${server} cannot answer at present (HTTP ${status}).`, wait);
  }
  return new Failure(`${server} rejected the query (HTTP ${status}).`, body?.message ? String(body.message) : "Change the search.");
}
