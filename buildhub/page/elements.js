/** The parts that views are made of. Text only ever comes in as a text node, never as HTML. */

export function byId(id) {
  return document.getElementById(id);
}

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
export function outward(url, text, attributes = {}) {
  return url ? element("a", { href: url, rel: "noreferrer", ...attributes }, text) : element("span", { class: attributes.class }, text);
}

export function time(date, text) {
  return element("time", { datetime: date, title: date }, text);
}

export function channelLabel(tag, channel, attributes = {}) {
  return element(tag, { class: "channel", "data-channel": channel, ...attributes }, channel);
}

export function button(label, click, attributes = {}) {
  return element("button", { class: "button", type: "button", click, ...attributes }, label);
}

/** A button that puts a text into the clipboard; a small one behind what it copies has a name. */
export function copyButton(label, text, name) {
  const made = element("button", { class: name ? "copy" : "button", type: "button", hidden: !navigator.clipboard, "aria-label": name, title: name }, label);
  made.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    made.textContent = name ? "✓" : "Copied";
    byId("status").textContent = "Copied.";
    setTimeout(() => { made.textContent = label; }, 1500);
  });
  return made;
}

export function copyable(text, what) {
  return copyButton("⧉", () => text, `Copy ${what} ${text}`);
}

export function option(value, label = value) {
  return element("option", { value }, label);
}

export function busy(id, isBusy) {
  if (isBusy) byId(id).setAttribute("aria-busy", "true");
  else byId(id).removeAttribute("aria-busy");
}

export function say(sentence) {
  byId("status").textContent = sentence;
}
