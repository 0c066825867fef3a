/** The builds that are shown: the newest of each channel, and a row for each that was found. */

import { addressOf, searchFor } from "./address.js";
import { ageOf, buildsOf, criteriaOf, fileName, fileUrl, filesByPlatform, foreignHost, isOld, minuteOf } from "./builds.js";
import { platformLabel, plural, revisionUrl, sizeOf, valueOf } from "./builds.js";
import { CHANNELS, PRODUCTS, languageName, productName } from "./catalogue.js";
import { byId, channelLabel, copyable, definitions, element, option, outward, time } from "./elements.js";
import { earlierFiles, filesOf, localesOf } from "./requests.js";

const MAIN = localesOf({});

/** A table for each product, a line for each channel. */
export function showNewest(records, state) {
  const products = Map.groupBy(records, (record) => valueOf(record, "source.product"));
  const order = (product) => (Object.keys(PRODUCTS).indexOf(product) + 99) % 99;
  const sorted = [...products].sort(([one], [other]) => order(one) - order(other) || (one < other ? -1 : 1));
  byId("products").replaceChildren(...sorted.map(([product, found]) => productTable(product, found, state)));
}

function productTable(product, records, state) {
  const channels = [...Map.groupBy(records, (record) => valueOf(record, "target.channel"))];
  channels.sort(([one], [other]) => ((CHANNELS.indexOf(one) + 9) % 9) - ((CHANNELS.indexOf(other) + 9) % 9));
  const titles = ["Channel", "Version", "Download", "Build id", "Age"].map((title) => element("th", { scope: "col" }, title));
  return element("table", {},
    element("caption", {}, productName(product)),
    element("thead", { class: "visually-hidden" }, element("tr", {}, ...titles)),
    element("tbody", {}, ...channels.map(([channel, found]) => newestRow(product, channel, buildsOf(found), state))),
  );
}

/** The newest that is no candidate; one that is newer still is named beside it. */
function newestRow(product, channel, builds, state) {
  const build = builds.find(({ kind }) => kind !== "candidates") ?? builds[0];
  const candidate = builds[0] === build ? undefined : builds[0].parts[0].version;
  const all = searchFor(state, { "source.product": product, "target.channel": channel });
  const version = build.parts[0].version;
  const id = valueOf(build.parts[0].records[0], "build.id");
  const newer = candidate && element("a", { class: "newer", href: searchFor(state, { "source.product": product, "target.version": candidate }) }, candidate);
  return element("tr", {},
    channelLabel("th", channel, { scope: "row" }),
    element("td", { class: "version" }, element("a", { href: all, "aria-label": `${version}, all of ${productName(product)} ${channel}` }, version), " ", newer),
    element("td", { class: "files" }, downloads(build, MAIN)),
    element("td", { class: "id" }, id && idLink(id, state)),
    element("td", { class: `age${isOld(build) ? " old" : ""}` }, build.date ? time(build.date, ageOf(build.date)) : "no build date"),
  );
}

const idLink = (id, state) => element("a", { class: "mono", href: searchFor(state, { "build.id": id }) }, id);

/** Links to the file of each platform, by system. */
function downloads(build, locales) {
  const files = filesByPlatform(build.parts[0], locales);
  const systems = Map.groupBy(files, (record) => platformLabel(record).system);
  const [hosts, others] = [files.map(foreignHost), files.map((record) => valueOf(record, "target.locale"))].map((all) => [...new Set(all)].filter(Boolean));
  const named = others.some((locale) => !MAIN.includes(locale)) ? element("span", { class: "locale" }, others.join(", ")) : "";
  const link = (record, { system, label }) => outward(fileUrl(record), label, { title: fileName(record), "aria-label": `${system} ${label}: ${fileName(record)}` });
  const groups = [...systems].map(([system, records]) =>
    element("span", { class: "system" }, element("span", {}, system), ...records.map((record) => link(record, platformLabel(record)))));
  return element("span", { class: "downloads" }, named, ...groups, hosts.length ? element("span", { class: "host" }, `on ${hosts.join(", ")}`) : "");
}

/** The rows of the results; a promise of what open ones contain. `view`: {state, server, builds, open, toggled}. */
export function showRows(view) {
  const rows = view.builds.map((build) => row(build, view));
  byId("rows").replaceChildren(...rows);
  return Promise.all(rows.map((made, index) => view.open.has(view.builds[index].key) && showDetails(made, view.builds[index], view)));
}

function row(build, view) {
  const isOpen = view.open.has(build.key);
  const first = build.parts[0].records[0];
  const revision = valueOf(first, "source.revision");
  const id = valueOf(first, "build.id");
  const expander = element("button", { class: "expander", type: "button", "aria-expanded": String(isOpen) }, build.name, build.kind === "candidates" ? " candidates" : "");
  const made = element("li", { class: "build", "data-key": build.key },
    element("h3", {}, expander),
    channelLabel("span", build.channel),
    element("div", { class: "files" }, downloads(build, localesOf(view.state.criteria))),
    element("span", { class: "locales" }, build.locales ? plural(build.locales, "locale") : ""), // or filled in later
    element("span", { class: "id" }, partsIn(build), ...(id ? [idLink(id, view.state), copyable(id, "build id")] : [])),
    element("span", { class: "built" }, build.date ? time(build.date, minuteOf(build.date)) : "no build date"),
    element("span", { class: "revision" }, ...(revision ? [outward(revisionUrl(first), revision.slice(0, 12), { class: "mono" }), copyable(revision, "revision")] : [])),
  );
  expander.addEventListener("click", () => toggle(made, build, view));
  return made;
}

/** "rc3 of 3": the candidate whose files are linked. */
function partsIn({ kind, parts, version }) {
  const newest = parts[0].version.replace(version, "");
  return kind === "candidates" ? element("span", { class: "parts" }, parts.length > 1 ? `${newest} of ${parts.length}  ` : `${newest}  `) : "";
}

function toggle(made, build, view) {
  const isOpen = !view.open.has(build.key);
  view.open[isOpen ? "add" : "delete"](build.key);
  made.querySelector(".expander").setAttribute("aria-expanded", String(isOpen));
  made.querySelector(".details")?.remove();
  if (isOpen) showDetails(made, build, view);
  view.toggled();
}

/** Platforms × locales, and the facts of the record. */
async function showDetails(made, build, view) {
  const details = element("div", { class: "details", "aria-busy": "true" }, "Loading…");
  made.append(details);
  const chosen = { part: build.parts[0], locale: localesOf(view.state.criteria)[0] };
  const refresh = async () => {
    details.setAttribute("aria-busy", "true");
    try {
      chosen.part.files ??= await filesOf(view.server, criteriaOf(build, chosen.part));
      details.replaceChildren(...detailsOf(build, chosen, view, refresh));
    } catch (failure) {
      details.replaceChildren(element("p", { role: "alert" }, `${failure.message} ${failure.advice ?? ""}`));
    }
    details.removeAttribute("aria-busy");
  };
  await refresh();
}

function detailsOf(build, chosen, view, refresh) {
  const { part } = chosen;
  const locales = [...new Set(part.files.map((record) => valueOf(record, "target.locale")))].sort((one, other) => one.localeCompare(other));
  if (!locales.includes(chosen.locale)) chosen.locale = MAIN.find((one) => locales.includes(one)) ?? locales[0];
  const files = filesByPlatform({ records: part.files.filter((record) => valueOf(record, "target.locale") === chosen.locale) }, []);
  const versions = build.parts.map(({ version }) => option(version));
  const select = (label, choices, value, change) => field(label, choices, value, (event) => { change(event.target.value); refresh(); });
  const fields = [
    build.parts.length > 1 && select("Candidate", versions, part.version, (value) => { chosen.part = build.parts.find(({ version }) => version === value); }),
    select("Language of the files", locales.map((one) => option(one, [one, languageName(one)].filter(Boolean).join(", "))), chosen.locale, (value) => { chosen.locale = value; }),
    comparison(build, part, view),
  ].filter(Boolean);
  return [
    element("div", { class: "fields" }, ...fields),
    filesTable(files, view),
    definitions(facts(files[0] ?? part.files[0] ?? part.records[0], view.state)),
    element("p", { class: "compared", role: "status" }, localesInWords(part.files, locales)),
  ];
}

function field(label, choices, value, change) {
  const made = element("select", { change, "aria-label": label }, ...choices);
  made.value = value;
  return element("label", {}, element("span", {}, label), made);
}

function filesTable(records, view) {
  const ids = new Set(records.map((record) => valueOf(record, "build.id")));
  const titles = ["Platform", "File", "Size", "Published", ...(ids.size > 1 ? ["Build id"] : []), "Record"];
  return element("table", { class: "platforms" },
    element("thead", {}, element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)))),
    element("tbody", {}, ...records.map((record) => fileRow(record, ids.size > 1, view))));
}

function fileRow(record, withId, { state }) {
  const { system, label } = platformLabel(record);
  const [id, date, url] = ["id", "download.date", "download.url"].map((name) => valueOf(record, name));
  const link = element("a", { href: addressOf({ ...state, record: id }), "aria-label": `JSON of ${id}` }, "JSON");
  return element("tr", {},
    element("th", { scope: "row", title: valueOf(record, "target.platform") }, `${system} ${label}`),
    element("td", { class: "file" }, outward(fileUrl(record), fileName(record), { title: url }), url && copyable(url, "the URL"), hostOf(record)),
    element("td", { class: "size" }, sizeOf(record)),
    element("td", { class: "published" }, date && time(date, minuteOf(date))),
    ...(withId ? [element("td", {}, idLink(valueOf(record, "build.id"), state))] : []),
    element("td", {}, link));
}

export const hostOf = (record) => (foreignHost(record) ? element("span", { class: "host" }, ` on ${foreignHost(record)}`) : "");

/** [name, value…] of what is most asked for. */
export function facts(record, state) {
  const of = (name) => valueOf(record, name);
  const [date, id, revision, number] = ["build.date", "build.id", "source.revision", "build.number"].map(of);
  return [
    ["Build id", id && idLink(id, state), id && copyable(id, "build id"), number && ` build ${number}`],
    ["Built", date && time(date, `${minuteOf(date)} UTC, ${ageOf(date)}`)],
    ["Revision", revision && outward(revisionUrl(record), revision, { class: "mono" }), revision && copyable(revision, "revision"), ` ${of("source.tree")}`],
    ["Channel", of("target.channel") && channelLabel("span", of("target.channel"))],
  ];
}

function localesInWords(files, locales) {
  const platforms = Map.groupBy(files, (record) => valueOf(record, "target.platform"));
  const sizes = [...platforms].map(([platform, records]) => [platform, new Set(records.map((record) => valueOf(record, "target.locale"))).size]);
  const uneven = sizes.some(([, size]) => size !== sizes[0][1]);
  return `${plural(locales.length, "locale")} on ${plural(platforms.size, "platform")}${uneven ? `: ${sizes.map(([platform, size]) => `${platform} ${size}`).join(", ")}` : ""}.`;
}

/** A field with the builds before this one: which locales each of the two lacks. */
function comparison(build, part, view) {
  const made = field("Compare locales with", [option("", "an earlier build…")], "", async ({ target }) => {
    const earlier = made.earlier.find(({ key }) => key === target.value);
    if (!earlier) return;
    const [other] = earlier.parts;
    const output = made.closest(".details").querySelector(".compared");
    output.textContent = "Loading…";
    other.files ??= await filesOf(view.server, criteriaOf(earlier, other));
    output.replaceChildren(...difference(part, other));
  });
  listEarlier(made, build, view);
  return made;
}

async function listEarlier(made, build, view) {
  const records = await earlierFiles(view.server, build).catch(() => []);
  made.earlier = buildsOf(records).filter(({ kind, key }) => kind === build.kind && key !== build.key).slice(0, 15);
  const name = (earlier) => (earlier.kind === "nightly" ? minuteOf(earlier.date) : earlier.parts[0].version);
  made.querySelector("select").append(...made.earlier.map((earlier) => option(earlier.key, name(earlier))));
  made.hidden = !made.earlier.length;
}

function difference(part, other) {
  const localesIn = ({ files }) => new Set(files.map((record) => valueOf(record, "target.locale")));
  const [now, before] = [localesIn(part), localesIn(other)];
  const without = (one, two) => [...one].filter((locale) => !two.has(locale)).sort().join(", ") || "none";
  const label = (one) => one.version || "this build";
  return [
    element("b", {}, `Locales that ${label(part)} lacks, but ${label(other)} has: `), without(before, now),
    ". ", element("b", {}, "New: "), without(now, before), ".",
  ];
}
