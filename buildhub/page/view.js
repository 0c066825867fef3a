/** What is around the builds: the search, what was understood, notices, one record, results to take along. */

import { addressOf, isHome, searchFor, withCriteria } from "./address.js";
import { csv, fileName, fileUrl, revisionUrl, sizeOf, systemOf, valueOf, webUrl } from "./builds.js";
import { CHANNELS, FIELDS, LOCALES, PLATFORMS, PRODUCTS, SYSTEMS, languageName, productName, systemName } from "./catalogue.js";
import { button, byId, copyButton, copyable, definitions, element, option, outward, say } from "./elements.js";
import { describe, understand, valueInWords } from "./language.js";
import { Failure, command, curl, exported, recordUrl, setting } from "./requests.js";
import { facts, hostOf } from "./rows.js";

export function showSearch(state) {
  const input = byId("words");
  const typed = understand(input.value);
  const same = addressOf({ ...state, ...typed }) === addressOf(state);
  if (!same) input.value = [describe(state.criteria), ...state.unclear].filter(Boolean).join(" ");
}

/** What was understood, below the search field. A chip links to the search without it; home has examples. */
export function showUnderstood(state) {
  if (isHome(state)) return byId("understood").replaceChildren(examples(exemplary, state));
  const chips = chipsFor(state, (criteria, unclear) => addressOf({ ...state, criteria, unclear, notes: [] }));
  const clear = element("a", { class: "clear", href: searchFor(state, {}) }, "Clear all");
  const lead = Object.keys(state.criteria).length ? "Understood as" : "";
  return byId("understood").replaceChildren(lead, ...chips, clear, ...state.notes.map(note));
}

const note = (sentence) => element("p", { class: "note" }, sentence);

/** While one types: what would be searched for. */
export function showPreview(state) {
  const read = understand(byId("words").value);
  const chips = chipsFor(read);
  if (chips.length) byId("understood").replaceChildren(...chips, ...read.notes.map(note));
  else showUnderstood(state);
}

function chipsFor({ criteria, unclear }, addressWithout) {
  const known = FIELDS.filter(({ name }) => name in criteria).map(({ name, label }) => {
    const { [name]: value, ...others } = criteria;
    const shown = name === "build.id" && value.endsWith("*") ? "built" : label;
    return chip("", shown, valueInWords(name, value), addressWithout?.(others, unclear));
  });
  return [...known, ...unclear.map((word) => chip("unclear", "not understood", word, addressWithout?.(criteria, unclear.filter((one) => one !== word))))];
}

function chip(kind, label, text, without) {
  const remove = without && element("a", { href: without, "aria-label": `Remove ${kind ? "" : `${label} `}${text}` }, "×");
  return element("span", { class: `chip ${kind} ${without ? "" : "preview"}` }, element("span", {}, label), " ", element("b", {}, text), remove);
}

/** The record that examples are made from. */
let exemplary;

export function setExemplary(record, state) {
  exemplary = record;
  if (isHome(state)) showUnderstood(state);
}

/** Questions that have an answer: made from a record of the catalogue. */
function examples(record, state) {
  if (!record) return "";
  const day = valueOf(record, "build.date").slice(0, 10);
  const texts = [
    valueOf(record, "build.id"),
    valueOf(record, "target.version"),
    valueOf(record, "source.revision").slice(0, 12),
    day && `${valueOf(record, "target.channel")} of ${day}`,
    `newest ${productName(valueOf(record, "source.product"))} for ${systemName(systemOf(record))}`,
  ];
  const link = (text) => element("a", { href: addressOf({ ...state, ...understand(text), record: "" }) }, text);
  return element("span", { class: "examples" }, "For example", ...texts.filter(Boolean).map(link));
}

export function showFilters(state) {
  const { criteria } = state;
  showSelect("product", "All products", Object.keys(PRODUCTS).map((value) => option(value, productName(value))), criteria["source.product"]);
  showSelect("channel", "All channels", CHANNELS.map((value) => option(value)), criteria["target.channel"]);
  const platform = criteria["target.platform"] ?? (criteria["target.os"] && `os:${criteria["target.os"]}`);
  const systems = Object.entries(SYSTEMS).map(([os, name]) => option(`os:${os}`, `${name}, any`));
  const platforms = PLATFORMS.map((value) => option(value));
  showSelect("platform", "All platforms", [element("optgroup", { label: "Operating system" }, ...systems), element("optgroup", { label: "Platform" }, ...platforms)], platform);
  showSelect("candidates", "With releases", [option("no", "Left out"), option("only", "Nothing else")], criteria.candidates);
  byId("locale").value = criteria["target.locale"] ?? "";
  byId("locale").classList.toggle("set", "target.locale" in criteria);
  byId("home").href = searchFor(state, {});
}

function showSelect(id, all, choices, value = "") {
  const select = byId(id);
  select.replaceChildren(option("", all), ...choices);
  if (value && ![...select.options].some((one) => one.value === value)) select.append(option(value, value.replaceAll("|", " or ")));
  select.value = value;
  select.classList.toggle("set", Boolean(value));
}

export const showLocales = () => byId("locales").replaceChildren(...LOCALES.map((value) => element("option", { value, label: languageName(value) || undefined })));

/** Where the data is from, if not from the page's own server: before all results. */
export function showServer(state) {
  const given = state.server || setting("kinto-server");
  const url = webUrl(given);
  byId("asked").replaceChildren("Data from ", url ? outward(url, url) : given);
  const own = webUrl(new URL(setting("kinto-server"), location.href).href);
  byId("foreign").replaceChildren(...(state.server && url && url.replace(/\/$/, "") !== own.replace(/\/$/, "") ? [foreignNotice(state)] : []));
}

function foreignNotice(state) {
  return element("div", { class: "notice foreign", role: "note" },
    element("p", {}, "These builds are what ", element("b", {}, state.server), " says: the link to this page named that server."),
    element("a", { class: "button", href: addressOf({ ...state, server: "" }) }, "Ask this page’s own catalogue"));
}

function showNotice(sentence, advice, kind, ...actions) {
  byId("notice").replaceChildren(
    element("div", { class: `notice ${kind}`, role: kind ? "alert" : undefined },
      element("p", { class: "strong" }, sentence), element("p", {}, advice), element("div", { class: "actions" }, ...actions)));
}

export function showNothing(state, record) {
  const what = "A search is made of build ids, versions, revisions, dates, files, products, channels, platforms and locales.";
  if (isHome(state)) showNotice("The catalogue is empty.", "Load records into it, for instance with make run or latest-inventory-to-kinto.", "");
  else if (Object.keys(state.criteria).length) showNotice("No build matches.", "Search with less:", "", ...widerSearches(state));
  else showNotice("Nothing of this was understood.", what, "", examples(record, state));
}

/** A build that is in no language but, say, French is not found by its English files. */
export const anyLocale = (state) => element("a", { class: "button", href: addressOf(withCriteria(state, { "target.locale": "*" })) }, "In any locale");

/** A link for each criterion: the search without it. An ESR may be on another channel. */
function widerSearches(state) {
  const link = (text, changes) => element("a", { class: "button", href: addressOf(withCriteria(state, changes)) }, text);
  const links = FIELDS.filter(({ name }) => name in state.criteria).map(({ name, label }) => link(`Any ${label}`, { [name]: undefined }));
  const { "target.version": version, "target.channel": channel } = state.criteria;
  if (version && !version.includes("*")) links.unshift(link(`Version ${version}*`, { "target.version": `${version}*` }));
  if (!("target.locale" in state.criteria)) links.unshift(anyLocale(state));
  if (channel === "esr" && !version) links.unshift(link("Versions *esr on any channel", { "target.channel": undefined, "target.version": "*esr*" }));
  return links;
}

export function showFailure(failure, state, retry) {
  const known = failure instanceof Failure;
  const [sentence, advice] = known ? [failure.message, failure.advice] : ["Something went wrong in this page.", String(failure)];
  const input = element("input", { id: "server", inputmode: "url", value: state.server || setting("kinto-server"), spellcheck: "false" });
  const form = element("form", { id: "server-form" }, element("label", { for: "server" }, "Kinto server"), input, element("button", { class: "button" }, "Use this server"));
  showNotice(sentence, advice, "failure", button("Try again", retry), form);
}

export function showTitle(state) {
  const title = state.record || [describe(state.criteria), ...state.unclear].filter(Boolean).join(" ");
  document.title = [title, "buildhub"].filter(Boolean).join(" – ");
}

/** As JSON and CSV, and as the commands that print them. */
export function showExport(server, state) {
  const { criteria } = state;
  byId("take").hidden = false;
  byId("take-body").replaceChildren(
    element("p", { class: "actions" },
      button("JSON", (event) => save(server, criteria, "json", event.target)),
      button("CSV", (event) => save(server, criteria, "csv", event.target)),
      " all files that match, at most 10,000"),
    ...[curl(server, criteria), command(server, criteria)].map((text) =>
      element("p", { class: "command" }, element("code", { tabindex: "0" }, text), copyable(text, "the command"))));
}

async function save(server, criteria, kind, pressed) {
  pressed.disabled = true;
  try {
    const { records, complete } = await exported(server, criteria);
    const text = kind === "csv" ? csv(records) : `${JSON.stringify(records, undefined, 2)}\n`;
    const url = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
    element("a", { href: url, download: `builds.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say(`${records.length} records saved.`);
    pressed.nextSibling.textContent = complete ? pressed.nextSibling.textContent : " only the newest 10,000 were saved";
  } catch (failure) {
    byId("take-body").append(element("p", { role: "alert" }, `${failure.message} ${failure.advice ?? ""}`));
  }
  pressed.disabled = false;
}

export function fillRecord(server, record, state) {
  const of = (name) => valueOf(record, name);
  const json = JSON.stringify(record, undefined, 2);
  const locale = [of("target.locale"), languageName(of("target.locale"))].filter(Boolean).join(", ");
  const more = [
    ["Platform", of("target.platform")],
    ["Locale", locale],
    ["File", outward(fileUrl(record), fileName(record)), of("download.url") && copyable(of("download.url"), "the URL"), hostOf(record), sizeOf(record) && `, ${sizeOf(record)}`],
  ];
  byId("record-heading").textContent = [productName(of("source.product")), of("target.version")].filter(Boolean).join(" ") || "Record";
  byId("record-body").replaceChildren(
    definitions([...facts(record, state), ...more]),
    element("div", { class: "actions" },
      copyButton("Copy JSON", () => json),
      copyButton("Copy link", () => location.href),
      outward(webUrl(recordUrl(server, of("id"))), "Open in Kinto", { class: "button" })),
    element("pre", { tabindex: "0", role: "region", "aria-label": "The record as JSON" }, json),
  );
}
