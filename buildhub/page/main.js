/** From an address to what is shown, and from what people do to another address. */

import { addressOf, isHome, readState, searchFor, searchKey, withCriteria } from "./address.js";
import { ageOf, buildsOf, criteriaOf, plural, valueOf } from "./builds.js";
import { busy, byId, say } from "./elements.js";
import { normal, understand } from "./language.js";
import { counts, getRecord, kept, newest, oneRecord, pages, serverUrl } from "./requests.js";
import { showNewest, showRows } from "./rows.js";
import { anyLocale, fillRecord, setExemplary, showExport, showFailure, showFilters, showLocales, showNothing, showPreview } from "./view.js";
import { showSearch, showServer, showTitle, showUnderstood } from "./view.js";

const BUILDS_AT_ONCE = 15;
const DAY = 86_400_000; // milliseconds

/** The state that is shown. */
let current = readState("");
/** The results of the searches of this visit, by address: Back shows them as they were. */
const visited = new Map();
/** What the search that runs is shown in; another one ends it. */
let running;

function go(state, { replace = false, again = false } = {}) {
  keepPlace();
  const changed = addressOf(state) !== addressOf(current) && !replace;
  history[changed ? "pushState" : "replaceState"]({ openedHere: Boolean(state.record) && !replace }, "", addressOf(state));
  show(state, { again });
}

/** Remember where one is on the page: Back returns to it. */
function keepPlace() {
  const view = visited.get(searchKey(current));
  const place = { scroll: scrollY, open: [...(view?.open ?? [])], wanted: view?.wanted };
  history.replaceState({ ...history.state, ...place }, "");
}

async function show(state, { again = false, back = false } = {}) {
  const sameSearch = !again && searchKey(current) === searchKey(state);
  current = state;
  [showTitle, showSearch, showUnderstood, showFilters, showServer, showRecord].forEach((part) => part(state));
  const place = back ? history.state?.scroll : undefined;
  if (!sameSearch) await load(state, back ? visited.get(searchKey(state)) : undefined);
  if (place !== undefined && current === state) scrollTo(0, place);
}

/** Search, or show what an earlier search has found. A search that still runs ends, and is forgotten. */
async function load(state, before) {
  if (running) visited.delete(searchKey(running.state));
  running?.controller.abort();
  const open = new Set(history.state?.open ?? []);
  const view = before ?? { state, server: "", records: [], builds: [], open, controller: new AbortController(), toggled: keepPlace };
  const { signal } = view.controller;
  running = view;
  visited.set(searchKey(state), view);
  begin(state);
  try {
    view.server = serverUrl(state.server);
    if (isHome(state)) await loadHome(view, signal);
    else if (!Object.keys(state.criteria).length) showNothing(state, await oneRecord(view.server, signal));
    else await loadResults(view, signal, history.state?.wanted ?? BUILDS_AT_ONCE);
  } catch (failure) {
    if (signal.aborted) return;
    visited.delete(searchKey(state));
    showFailed(failure, state);
  }
  if (running !== view) return;
  running = undefined;
  busy("main", false);
}

function begin(state) {
  byId("notice").replaceChildren();
  byId("newest").hidden = !isHome(state);
  byId("results").hidden = isHome(state) || !Object.keys(state.criteria).length;
  busy("main", true);
  byId("results-heading").textContent = "Searching…";
  byId("results-note").textContent = "";
  for (const id of ["more", "take"]) byId(id).hidden = true;
}

function showFailed(failure, state) {
  showFailure(failure, state, () => load(state));
  for (const id of ["newest", "results"]) byId(id).hidden = true;
}

async function loadHome(view, signal) {
  if (view.complete) return showHome(view);
  byId("products").replaceChildren();
  byId("newest-note").textContent = "Loading…";
  const found = await newest(view.server, signal, (records, changed) => {
    view.records.push(...records);
    view.changed = changed;
    showHome(view);
  });
  view.complete = found > 0;
  if (found) return undefined;
  byId("newest").hidden = true; // the catalogue is empty, or its records have no product
  return (await oneRecord(view.server, signal)) ? loadResults(view, signal, BUILDS_AT_ONCE) : showNothing(view.state);
}

function showHome({ state, records, changed }) {
  showNewest(records, state);
  byId("newest-note").textContent = changed ? `catalogue last changed ${ageOf(changed)}` : "";
  byId("newest-note").classList.toggle("old", changed > 0 && Date.now() - changed > 2 * DAY);
  byId("newest-note").title = changed ? new Date(changed).toISOString() : "";
  setExemplary(buildsOf(records)[0].parts[0].records[0], state);
}

async function loadResults(view, signal, wanted) {
  view.listing ??= pages(view.server, view.state.criteria, signal);
  view.wanted = wanted;
  await fetchBuilds(view);
  if (signal.aborted) return;
  await Promise.all([showResults(view), countLocales(view, signal)]);
}

/** Read pages until there are as many builds as wanted; the last may be cut, and is held back. */
async function fetchBuilds(view) {
  if (view.complete && view.builds.length) return;
  while (!view.complete && buildsOf(view.records).length <= view.wanted) {
    const { value: page = [], done } = await view.listing.next();
    view.records.push(...page.filter(kept(view.state.criteria)));
    view.complete = Boolean(done);
  }
  const builds = buildsOf(view.records);
  const known = new Map(view.builds.map((build) => [build.key, build]));
  for (const build of builds) build.locales = known.get(build.key)?.locales;
  view.builds = view.complete ? builds : builds.slice(0, view.wanted);
}

function showResults(view) {
  const shown = showRows(view);
  byId("results").hidden = false;
  const number = plural(view.builds.length, "build");
  byId("results-heading").textContent = view.complete ? number : `More than ${number}`;
  byId("results-note").textContent = view.builds.length > 1 ? "newest first" : "";
  byId("more").hidden = view.complete;
  const mainOnly = view.complete && view.builds.length && !("target.locale" in view.state.criteria) && !("id" in view.state.criteria);
  byId("others").replaceChildren(...(mainOnly ? ["Builds that have neither en-US nor multi are not among these. ", anyLocale(view.state)] : []));
  if (view.builds.length) showExport(view.server, view.state);
  else showNothing(view.state);
  say(`${byId("results-heading").textContent}.`);
  return shown;
}

async function countLocales(view, signal) {
  const builds = view.builds.filter(({ locales }) => locales === undefined);
  const platform = (build) => valueOf(build.parts[0].records[0], "target.platform");
  const several = builds.map((build) => ({ ...criteriaOf(build, build.parts[0]), "target.platform": platform(build) }));
  const numbers = await counts(view.server, several, signal);
  builds.forEach((build, index) => {
    build.locales = numbers[index];
    const cell = byId("rows").querySelector(`[data-key="${CSS.escape(build.key)}"] .locales`);
    if (cell) cell.textContent = plural(build.locales, "locale");
  });
}

async function loadMore() {
  const view = visited.get(searchKey(current));
  byId("more").disabled = true;
  busy("main", true);
  try {
    await loadResults(view, view.controller.signal, view.wanted + BUILDS_AT_ONCE);
    keepPlace();
  } catch (failure) {
    if (!view.controller.signal.aborted) showFailed(failure, current);
  }
  byId("more").disabled = false;
  busy("main", false);
}

async function showRecord(state) {
  const dialog = byId("record");
  if (!state.record) return dialog.close();
  byId("record-heading").textContent = "Record";
  byId("record-id").textContent = state.record;
  byId("record-body").replaceChildren();
  if (!dialog.open) dialog.showModal();
  byId("record-heading").focus();
  busy("record-body", true);
  try {
    const server = serverUrl(state.server);
    const record = await getRecord(server, state.record);
    if (current.record === state.record) fillRecord(server, record, state);
  } catch (failure) {
    byId("record-heading").textContent = "No record";
    byId("record-body").textContent = `${failure.message} ${failure.advice ?? ""}`;
  }
  return busy("record-body", false);
}

function closeRecord() {
  if (current.record && history.state?.openedHere) history.back();
  else if (current.record) go({ ...current, record: "" }, { replace: true });
}

function onSubmit(event) {
  event.preventDefault();
  if (event.target.id === "server-form") go({ ...current, server: byId("server").value.trim() });
  else go({ ...current, ...understand(byId("words").value), record: "" }, { again: true });
}

function onFilter({ target }) {
  const value = target.value.trim();
  const [os, platform] = value.startsWith("os:") ? [value.slice(3), undefined] : [undefined, value];
  const changes = {
    product: { "source.product": value },
    channel: { "target.channel": value },
    platform: { "target.os": os, "target.platform": platform },
    candidates: { candidates: value },
    locale: { "target.locale": understand(value).criteria["target.locale"] ?? normal("target.locale", value) },
  }[target.id];
  if (changes) go(withCriteria({ ...current, ...understand(byId("words").value) }, changes));
}

/** Links to another state of this page don't load it anew. */
function onClick(event) {
  const link = event.target.closest("a");
  const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link?.getAttribute("href")?.startsWith("?") || !plain || event.defaultPrevented) return;
  event.preventDefault();
  const state = readState(link.search);
  go(state);
  if (state.record) return;
  scrollTo(0, 0);
  if (!document.contains(link) || link.closest("[hidden]")) byId("results-heading").focus({ preventScroll: true });
}

function onKey(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName);
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || byId("record").open) return;
  event.preventDefault();
  byId("words").select();
}

function start() {
  let scrolled;
  byId("unserved").remove();
  history.scrollRestoration = "manual";
  showLocales();
  document.addEventListener("submit", onSubmit);
  byId("words").addEventListener("input", () => showPreview(current));
  byId("filters").addEventListener("change", onFilter);
  byId("more").addEventListener("click", loadMore);
  byId("record-close").addEventListener("click", closeRecord);
  byId("record").addEventListener("cancel", (event) => { event.preventDefault(); closeRecord(); });
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  addEventListener("popstate", () => show(readState(location.search), { back: true }));
  addEventListener("scroll", () => { clearTimeout(scrolled); scrolled = setTimeout(keepPlace, 200); });
  const state = readState(location.search);
  history.replaceState(history.state, "", addressOf(state));
  show(state, { again: true, back: true });
}

start();
