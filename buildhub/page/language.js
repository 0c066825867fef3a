/** What people type → conditions on records, and back.
 *
 * Conditions are an object: field → value. In a value, `*` stands for anything and `|` separates
 * alternatives. `candidates` is no field: `only` or `no`. */

import { ARCHITECTURES, CHANNELS, FIELDS, LOCALES, PLATFORMS, PRODUCTS, SYSTEMS, languageName } from "./catalogue.js";

/** What people call a value. */
const ALIASES = {
  developer: ["source.product", "devedition"], mobile: ["source.product", "fennec|fenix"],
  daily: ["target.channel", "nightly"], nightlies: ["target.channel", "nightly"], betas: ["target.channel", "beta"],
  stable: ["target.channel", "release"], releases: ["target.channel", "release"],
  windows: ["target.os", "win"], macos: ["target.os", "mac"], osx: ["target.os", "mac"],
  linux64: ["target.platform", "linux-x86_64"], linux32: ["target.platform", "linux-i686"],
  rc: ["candidates", "only"], rcs: ["candidates", "only"], candidate: ["candidates", "only"], candidates: ["candidates", "only"],
};
/** Words of a question that select nothing: the results are sorted by date in any case. */
const FILLERS = new Set(`a all and any are build builds by current download downloads file files find for from in
  installer installers last latest locale me newest of official on please show the version was what which with`.split(/\s+/));
/** Words that are locales, too: taken for one where nothing else was typed, or behind "in". */
const ENGLISH = new Set("an as be he is it my or sat son".split(" "));

const SYSTEM = "win(?:dows)?|linux|mac(?:os)?|osx|android";
const PROCESSORS = { arm64: /^(?:arm64|aarch64|arm)$/, 64: /^(?:64(?:-?bit)?|x64|x86[_-]64|amd64)$/, 32: /^(?:32(?:-?bit)?|x86|i[36]86)$/ };
const FILE_NAME = /\.(?:exe|dmg|apk|tar\.(?:bz2|xz|gz)|zip|bz2|xz|gz)$/i;

/** What is several words, as one. */
const PHRASES = [
  [/\bdev(?:eloper)?[ -]edition\b/gi, "devedition"],
  [/\bfirefox for android\b/gi, "product:fennec|fenix"],
  [/\bos x\b/gi, "macos"],
  [/\b(\d{4}-\d\d-\d\d) (\d\d:\d\d)/g, "$1T$2"],
  [/\b(\d{1,2}) (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?: (\d{4}))?\b/gi, (phrase, day, month, year) => dayOf(day, month, year) ?? phrase],
  [/\b(build|rc)[ -](\d{1,2})(?![\w.-])/gi, "$1$2"],
  [new RegExp(`\\b(${SYSTEM})[ _-](arm64|aarch64|arm|x86[_-]64|x86|amd64|x64|i[36]86|32|64)(?:[ -]?bits?)?(?![\\w.-])`, "gi"),
    (phrase, system, processor) => (PLATFORMS.includes(phrase.toLowerCase()) ? phrase : `${system}/${processor}`)],
];

/** {criteria, unclear, notes}: the conditions, the words that are none, and what else was possible. */
export function understand(text) {
  const found = { criteria: {}, unclear: [], notes: [] };
  const file = readPath(text.trim()) ?? readFileName(text.trim());
  const words = file ? [] : wordsOf(text);
  if (file) take(found, text, file);
  words.forEach((word, index) => takeWord(found, word, words.length === 1, words[index - 1]));
  combine(found);
  return found;
}

const wordsOf = (text) => PHRASES.reduce((changed, [phrase, word]) => changed.replace(phrase, word), text).split(/[\s,;]+/).filter(Boolean);

/** "9 May": the last one, unless there is a year. */
function dayOf(day, month, year) {
  const moments = [year, new Date().getUTCFullYear(), new Date().getUTCFullYear() - 1].map((one) => Date.parse(`${day} ${month} ${one} UTC`));
  const moment = moments.find((one) => one <= Date.now());
  return moment && new Date(moment).toISOString().slice(0, 10);
}

function takeWord(found, word, alone, before = "") {
  const name = word.toLowerCase();
  if (FILLERS.has(name)) {
    if (alone) found.unclear.push(word);
  } else if (ENGLISH.has(name) && !alone && !/^(in|locale)$/i.test(before)) {
    found.notes.push(`“${word}” was taken for an English word: the locale (${languageName(name)}) is locale:${name}.`);
  } else {
    take(found, word, readWord(word));
  }
}

/** Add a condition. Alternatives of one field add up: "linux windows" is either. */
function take(found, word, read) {
  const { criteria, unclear, notes } = found;
  if (!read) {
    unclear.push(word);
    return;
  }
  const [name, value, note] = read;
  const rc = /^rc(\d+)$/i.exec(word)?.[1];
  const before = criteria[name];
  if (before && before !== value && `${before}${value}`.includes("*")) unclear.push(word);
  else criteria[name] = before && before !== value ? `${before}|${value}` : value;
  if (rc) criteria.candidates = "only";
  if (note) notes.push(note);
}

/** A system and a processor are a platform; a platform implies its system. */
function combine({ criteria, unclear, notes }) {
  const { processor, "target.os": os, "target.platform": platform } = criteria;
  delete criteria.processor;
  if (processor && os && ARCHITECTURES[os]?.[processor]) {
    criteria["target.platform"] = ARCHITECTURES[os][processor];
    delete criteria["target.os"];
    if (os === "mac" && processor === "arm64") notes.push(UNIVERSAL);
  } else if (processor) {
    criteria["target.platform"] = [platform, platformsWith(processor)].filter(Boolean).join("|");
  }
  if (platform && os) {
    if (!platform.split("|").every((one) => one.startsWith(os))) unclear.push(os);
    delete criteria["target.os"];
  }
}

const UNIVERSAL = "macOS builds since 84 run on Intel and on arm64: there is one file for both.";

const platformsWith = (processor) => ["linux", "win", "android"].map((os) => ARCHITECTURES[os][processor]).join("|");

function readWord(word) {
  for (const reader of READERS) {
    const found = reader(word);
    if (found) return found;
  }
  return undefined;
}

function readNamed(word) {
  const [, label, value] = /^([a-z.]+):(?!\/\/)(.+)$/i.exec(word) ?? [];
  const field = label && FIELDS.find((one) => [one.label, one.typed, one.name].includes(label.toLowerCase()));
  return field && [field.name, normal(field.name, value)];
}

/** A revision's URL, a file's, or another one. */
function readUrl(word) {
  const revision = /^https?:.*\/rev(?:ision)?\/([0-9a-f]{7,40})\b/i.exec(word)?.[1];
  if (revision) return readRevision(revision);
  return readPath(word) ?? readFileName(word) ?? (/^https?:\/\//i.test(word) ? ["download.url", unescaped(word)] : undefined);
}

/** A key of the archive, a folder, or its URL, whatever the host: all that counts is the key. */
function readPath(text) {
  const path = text.replace(/^(?:https?:\/\/[^/]+|gs:\/\/[^/]+|s3:\/\/[^/]+)?\/*/i, "").replace(/^pub\/mozilla\.org\//, "pub/").replace(/[?#].*$/, "");
  if (!/^(?:pub\/\w|[a-z]+\/(?:releases|candidates|nightly)(?:\/|$))/.test(path)) return undefined;
  const key = unescaped(path.includes("%20") || path.includes(" ") ? path : path.replaceAll("+", " ")).replace(/^(?!pub\/)/, "pub/");
  return ["download.url", FILE_NAME.test(key) ? `*/${key}` : `*/${key.replace(/\/*$/, "/")}*`];
}

const readFileName = (text) => FILE_NAME.test(text) && /^[a-z][\w .%+()-]*$/i.test(text) ? ["download.url", `*/${unescaped(text)}`] : undefined;

function readAlias(word) {
  const name = word.toLowerCase();
  if (Object.hasOwn(ALIASES, name)) return ALIASES[name];
  if (Object.hasOwn(PRODUCTS, name)) return ["source.product", name];
  if (CHANNELS.includes(name) || /^(nightly|aurora|beta)-old-id$/.test(name)) return ["target.channel", name];
  return Object.hasOwn(SYSTEMS, name) ? ["target.os", name] : undefined;
}

/** `win/64`, which PHRASES makes of "Windows 64-bit". */
function readSystemAndProcessor(word) {
  const [, system, typed] = new RegExp(`^(${SYSTEM})/(.+)$`, "i").exec(word) ?? [];
  const os = system && (readAlias(system)?.[1] ?? "");
  const processor = system && processorOf(typed);
  const platform = ARCHITECTURES[os]?.[processor];
  if (!platform) return undefined;
  const version = /^(32|64)$/.test(typed) ? `“${typed}” was taken for the processor: the version is version:${typed}.*.` : undefined;
  return ["target.platform", platform, os === "mac" && processor === "arm64" ? UNIVERSAL : version];
}

const processorOf = (word) => Object.keys(PROCESSORS).find((name) => PROCESSORS[name].test(word.toLowerCase()));

/** A processor alone; 32 and 64 alone are versions. */
const readProcessor = (word) => (/^\d+$/.test(word) || !processorOf(word) ? undefined : ["processor", processorOf(word)]);

function readPlatform(word) {
  const name = word.toLowerCase().replace(/^mac(?!osx)(?=64|-)/, "macosx");
  const known = PLATFORMS.includes(name) || /^(?:win(?:32|64)|linux-(?:i686|x86_64|aarch64)|macosx(?:64)?|android|eabi)-[\w-]+$/.test(name);
  return known || /^(?:win|linux|mac|android)[\w-]*\*$/.test(name) ? ["target.platform", name] : undefined;
}

function readDay(word) {
  const days = ["today", "yesterday"].indexOf(word.toLowerCase());
  if (days < 0) return undefined;
  const day = new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
  return ["build.id", `${day.replaceAll("-", "")}*`];
}

/** 20170509094500 in any usual form; a shorter one matches whatever goes on from there. */
function readBuildId(word) {
  const zone = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d:?\d\d$/i.test(word);
  const text = zone && !Number.isNaN(Date.parse(word)) ? new Date(word).toISOString() : word;
  const digits = text.replace(/\.\d+(?=Z?$)|Z$/gi, "").replace(/(?<=\d)[-:T](?=\d)/gi, "");
  if (!/^\d{4}(?:\d\d){0,5}\*?$/.test(digits) || !momentOf(digits.replace("*", ""))) return undefined;
  return ["build.id", digits.length < 14 && !digits.endsWith("*") ? `${digits}*` : digits];
}

/** The moment at which the digits of a build id begin, in milliseconds; undefined if there is none. */
export function momentOf(digits) {
  const [year, month, day, hour, minute, second] = partsOf(digits);
  const moment = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const same = moment.toISOString().replace(/\D/g, "").startsWith(digits);
  return same && year >= 1998 && year < 2100 ? moment.getTime() : undefined;
}

/** Year, month …: what is missing is the first of its kind. */
export function partsOf(digits) {
  return [[0, 4, "1"], [4, 6, "1"], [6, 8, "1"], [8, 10, "0"], [10, 12, "0"], [12, 14, "0"]]
    .map(([start, end, first]) => Number(digits.slice(start, end) || first));
}

const readBuildNumber = (word) => (/^(?:build|rc)\d{1,2}$/i.test(word) ? ["build.number", String(Number(word.replace(/\D+/, "")))] : undefined);

/** At least seven digits. A build id that cannot be is no revision, though all its digits could. */
function readRevision(word) {
  if (/^(?:19|20)\d+\*?$/.test(word) && [8, 10, 12, 13, 14].includes(word.length)) return undefined;
  return /^[0-9a-f]{7,40}\*?$/i.test(word) ? ["source.revision", normal("source.revision", word)] : undefined;
}

/** 55 is any 55; 55b3 is short for 55.0b3; 52esr any ESR of 52; the rest is taken as it is. */
function readVersion(word) {
  const text = word.toLowerCase().replace(/^v(?=\d)/, "").replace(/^esr(\d+)$/, "$1esr").replace(/-(?=rc\d)/, "");
  const [, major, rest] = /^(\d{1,3})(esr|[ab]\d+.*|rc\d+.*)?$/.exec(text) ?? [];
  if (major) return ["target.version", { undefined: `${major}.*`, esr: `${major}.*esr*` }[rest] ?? `${major}.0${rest}`];
  return /^\d{1,3}[.*][\w.*-]*$/.test(text) ? ["target.version", text] : undefined;
}

/** Any spelling of a known locale, or one with a region: pt-br is pt-BR. */
function readLocale(word) {
  const spelled = LOCALES.find((one) => one.toLowerCase() === word.toLowerCase());
  if (spelled) return ["target.locale", spelled];
  return /^[a-z]{2,3}-(?:[a-z]{2}|\*)$/i.test(word) ? ["target.locale", normal("target.locale", word)] : undefined;
}

/** "French"; "Portuguese" is both. */
function readLanguage(word) {
  if (word.length < 4) return undefined;
  const locales = LOCALES.filter((one) => languageName(one.split("-")[0]).toLowerCase() === word.toLowerCase());
  return locales.length ? ["target.locale", locales.join("|")] : undefined;
}

const readRecordId = (word) => /^[a-z]+(?:_[a-z0-9-]+){2,}$/i.test(word) ? ["id", word.toLowerCase()] : undefined;

/** Each returns [field, value] if the word is one of its kind, else undefined. */
const READERS = [
  readNamed, readUrl, readAlias, readSystemAndProcessor, readPlatform, readProcessor, readDay, readBuildId,
  readBuildNumber, readRevision, readVersion, readLocale, readLanguage, readRecordId,
];

/** The value as the catalogue spells it; half a revision is the beginning of one. */
export function normal(name, value) {
  if (name === "target.locale") {
    const known = LOCALES.find((one) => one.toLowerCase() === value.toLowerCase());
    return known ?? value.replace(/^[a-z]+/i, (s) => s.toLowerCase()).replace(/-[a-z]{2}\b/gi, (s) => s.toUpperCase());
  }
  if (name === "source.revision") {
    const revision = value.toLowerCase();
    return revision.length < 40 && !revision.includes("*") ? `${revision}*` : revision;
  }
  return name === "download.url" ? unescaped(value) : value;
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The words that `understand` makes these conditions of. */
export function describe(criteria) {
  const names = FIELDS.filter(({ name }) => name in criteria).map(({ name }) => name);
  const path = criteria["download.url"]?.replace(/^\*\/|\*$/g, "");
  if (names.length === 1 && path && understand(path).criteria["download.url"] === criteria["download.url"]) return path;
  return names.map((name) => wordFor(name, criteria[name])).join(" ");
}

/** The shortest of: 55, 55.*, version:55.* */
function wordFor(name, value) {
  const field = FIELDS.find((one) => one.name === name);
  const text = name === "download.url" ? encodeURI(value.toWellFormed()) : value;
  const words = { "build.number": `build${value}`, candidates: value === "only" ? "candidates" : "" };
  const choices = [words[name], text.replace(/\.?\*$/, ""), text].filter(Boolean);
  return choices.find((choice) => understand(choice).criteria[name] === value) ?? `${field.typed ?? field.label}:${text}`;
}

/** The value in words, for a chip. */
export function valueInWords(name, value) {
  const digits = name === "build.id" && /^\d{4}(?:\d\d){0,5}\*$/.test(value) ? value.slice(0, -1) : "";
  if (digits) return digits.replace(/^(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?$/, (_, ...p) => [p.slice(0, 3).filter(Boolean).join("-"), p.slice(3, 5).filter(Boolean).join(":")].filter(Boolean).join(" ")) + " (UTC)";
  const names = { "source.product": PRODUCTS, "target.os": SYSTEMS, candidates: { only: "and nothing else", no: "left out" } }[name] ?? {};
  return value.split("|").map((one) => (Object.hasOwn(names, one) ? names[one] : one)).join(" or ");
}
