/** The parts that views are made of. Text only ever comes in as a text node, never as HTML. */

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== ""));
  return made;
}

/** A link to another site; plain text without an address to go to. */
export const outward = (url, text, attributes = {}) => url ? element("a", { href: url, rel: "noreferrer", ...attributes }, text) : element("span", { class: attributes.class }, text);
export const time = (date, text) => element("time", { datetime: date, title: date }, text);
export const channelLabel = (tag, channel, attributes = {}) => element(tag, { class: "channel", "data-channel": channel, ...attributes }, channel);
export const button = (label, click, attributes = {}) => element("button", { class: "button", type: "button", click, ...attributes }, label);

/** A button that puts a text into the clipboard; a small one behind what it copies has a name. */
export function copyButton(label, text, name) {
  const made = element("button", { class: name ? "copy" : "button", type: "button", hidden: !navigator.clipboard, "aria-label": name, title: name }, label);
  made.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    made.textContent = name ? "copied" : "Copied";
    say("Copied.");
    setTimeout(() => { made.textContent = label; }, 1500);
  });
  return made;
}

export const copyable = (text, what) => copyButton("", () => text, `Copy ${what} ${text}`);
/** A list of [name, value…]; those without a value are left out. */
export const definitions = (facts) => element("dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, ...value]) => [element("dt", {}, name), element("dd", {}, ...value)]));
export const option = (value, label = value) => element("option", { value }, label);

export const busy = (id, isBusy) => { byId(id).ariaBusy = isBusy ? "true" : null; };
export const say = (sentence) => { byId("status").textContent = sentence; };
