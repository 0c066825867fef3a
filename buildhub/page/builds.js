/** Records of files → builds: releases, the candidates of a version, nightlies. */

import { ARCHIVE_HOST, PLATFORMS, SYSTEMS, productName, systemName } from "./catalogue.js";
import { isCandidate } from "./requests.js";

/** Days after which the newest build of a channel is called old. */
const OLD = { nightly: 4, aurora: 14, beta: 14, release: 45, esr: 60 };
const DAY = 86_400_000; // milliseconds

/** The text of a field such as build.id; empty if it isn't there or isn't a plain value. */
export function valueOf(record, name) {
  const value = name.split(".").reduce((part, key) => part?.[key], record);
  return ["string", "number"].includes(typeof value) ? String(value) : "";
}

/** The builds of some records, newest first, a release before its own candidates.
 *
 * A build: {key, kind, product, version, channel, date, parts}; `parts` are the candidates of a
 * version, the newest first, or the build alone: {version, records}. */
export function buildsOf(records) {
  const builds = new Map();
  for (const record of records) {
    const build = identity(record);
    if (!builds.has(build.key)) builds.set(build.key, { ...build, channel: valueOf(record, "target.channel"), parts: [] });
    const { parts } = builds.get(build.key);
    const version = valueOf(record, "target.version");
    const part = parts.find((one) => one.version === version);
    if (part) part.records.push(record);
    else parts.push({ version, records: [record] });
  }
  const all = [...builds.values()];
  all.forEach(complete);
  const releases = new Map(all.filter(({ kind }) => kind === "release").map((build) => [build.name, build]));
  for (const build of all) build.order = Math.min(rank(build), build.kind === "candidates" ? rank(releases.get(build.name) ?? build) : Infinity);
  return all.sort((one, other) => other.order - one.order || (one.kind === "candidates") - (other.kind === "candidates"));
}

const rank = ({ date }) => Date.parse(date) || 0;

function identity(record) {
  const [product, full, id] = ["source.product", "target.version", "build.id"].map((name) => valueOf(record, name));
  const nightly = /^nightly/.test(valueOf(record, "target.channel")) || /\/nightly\//.test(valueOf(record, "download.url"));
  const kind = isCandidate(record) ? "candidates" : nightly ? "nightly" : "release";
  const version = kind === "candidates" ? full.replace(/rc\d+(-.*)?$/, "") : full;
  const name = [productName(product), version].filter(Boolean).join(" ") || valueOf(record, "id");
  return { key: [kind, name, kind === "nightly" ? id : ""].join(" ").trim(), kind, product, version, name };
}

function complete(build) {
  const dateOf = (records) => records.map((one) => valueOf(one, "build.date")).sort().pop() ?? "";
  for (const part of build.parts) {
    part.date = dateOf(part.records);
    part.records.sort(byPlatform);
  }
  const number = (part) => Number(/rc(\d+)/.exec(part.version)?.[1] ?? 0);
  build.parts.sort((one, other) => (one.date < other.date ? 1 : one.date > other.date ? -1 : number(other) - number(one)));
  build.date = build.parts[0].date;
}

const byPlatform = (one, other) => platformRank(one) - platformRank(other);

/** By system; what most people have comes first, unusual platforms last. */
function platformRank(record) {
  const systems = Object.keys(SYSTEMS);
  const place = PLATFORMS.indexOf(valueOf(record, "target.platform"));
  return ((systems.indexOf(systemOf(record)) + 99) % 99) * 100 + ((place + 99) % 99);
}

export function systemOf(record) {
  const platform = valueOf(record, "target.platform");
  return valueOf(record, "target.os") || Object.keys(SYSTEMS).find((os) => platform.startsWith(os)) || "";
}

/** One file of each platform of a part, for the locales in the order of preference. */
export function filesByPlatform(part, locales) {
  const rankOf = (record) => (locales.indexOf(valueOf(record, "target.locale")) + locales.length + 1) % (locales.length + 1);
  const files = new Map();
  for (const record of part.records) {
    const platform = valueOf(record, "target.platform");
    if (!files.has(platform) || rankOf(record) < rankOf(files.get(platform))) files.set(platform, record);
  }
  return [...files.values()].sort(byPlatform);
}

/** {system, label} of a platform: Windows, arm64. */
export function platformLabel(record) {
  const platform = valueOf(record, "target.platform");
  const system = systemOf(record);
  const rest = platform.replace(/^(?:linux|win|macosx|android|maemo)-?/, "");
  const label = { x86_64: "64-bit", i686: "32-bit", 64: "64-bit", 32: "32-bit", aarch64: "arm64", "64-aarch64": "arm64" }[rest] ?? rest;
  const universal = system === "mac" && platform === "macosx" ? "dmg" : label;
  return { system: systemName(system) || platform, label: universal || platform };
}

/** The conditions that select the files of a build, or of one of its parts. */
export function criteriaOf(build, part) {
  const id = valueOf(build.parts[0].records[0], "build.id");
  const which = build.kind === "nightly" && id ? { "build.id": id } : { "target.version": part.version, candidates: "no" };
  if (!build.product || !part.version) return { id: valueOf(part.records[0], "id") };
  return { "source.product": build.product, ...(build.kind === "nightly" ? { "target.version": part.version } : {}), ...which };
}

/** 2026-05-25 09:45 */
export const minuteOf = (date) => date.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$/, "$1 $2");

/** "3 days ago" */
export function ageOf(date) {
  const seconds = ((typeof date === "number" ? date : Date.parse(date)) - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds > -60) return "just now"; // or ahead, where a clock is wrong
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, length] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
  return new Intl.RelativeTimeFormat("en", { style: "short" }).format(Math.trunc(seconds / length), unit);
}

export const isOld = ({ channel, date }) => Date.now() - Date.parse(date) > (OLD[channel.split("-")[0]] ?? 60) * DAY;

export function sizeOf(record) {
  const bytes = Number(valueOf(record, "download.size"));
  return bytes ? `${(bytes / 1024 / 1024).toFixed(1)} MB` : "";
}

/** The key in the URL is as it is in the archive: spaces and all are still to be escaped. */
export const fileUrl = (record) => webUrl(encodeURI(valueOf(record, "download.url").toWellFormed()).replace(/[?#]/g, encodeURIComponent));
export const fileName = (record) => valueOf(record, "download.url").split("/").pop();

/** The host of a file, if it is not the archive's. */
export function foreignHost(record) {
  const url = fileUrl(record);
  const host = url && new URL(url).host;
  return host === ARCHIVE_HOST ? "" : host;
}

export function revisionUrl(record) {
  const repository = valueOf(record, "source.repository").replace(/\/+$/, "");
  return repository && webUrl(`${repository}/rev/${encodeURIComponent(valueOf(record, "source.revision").toWellFormed())}`);
}

/** The URL if it is one of the web: what the server sends is not trusted with javascript: and such. */
export function webUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return ["http:", "https:"].includes(url?.protocol) ? url.href : "";
}

export const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const COLUMNS = ["id", "source.product", "target.version", "target.channel", "target.platform", "target.locale",
  "build.id", "build.date", "source.revision", "download.size", "download.url"];

/** Records as CSV, with a line of names; a spreadsheet runs no text as a formula. */
export function csv(records) {
  const cell = (text) => `"${text.replace(/^(?=[=+@\t\r-])/, "'").replaceAll('"', '""')}"`;
  const lines = records.map((record) => COLUMNS.map((name) => cell(valueOf(record, name))).join());
  return [COLUMNS.join(), ...lines, ""].join("\r\n");
}
