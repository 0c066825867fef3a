/** What is known of the catalogue. Values that are not listed here can be searched for, too. */

/** The fields that can be searched; `label` or `typed` may stand before a colon: `tree:…`. */
export const FIELDS = [
  { name: "source.product", label: "product" },
  { name: "target.version", label: "version" },
  { name: "target.channel", label: "channel" },
  { name: "target.os", label: "system", typed: "os" },
  { name: "target.platform", label: "platform" },
  { name: "target.locale", label: "locale" },
  { name: "build.id", label: "build id", typed: "build" },
  { name: "build.number", label: "build number", typed: "number" },
  { name: "candidates", label: "candidates" },
  { name: "source.revision", label: "revision" },
  { name: "source.tree", label: "tree" },
  { name: "download.url", label: "file", typed: "url" },
  { name: "id", label: "record", typed: "id" },
];

export const PRODUCTS = {
  firefox: "Firefox", devedition: "Developer Edition", thunderbird: "Thunderbird", fennec: "Fennec", fenix: "Fenix", focus: "Focus", klar: "Klar",
};
export const CHANNELS = ["nightly", "aurora", "beta", "release", "esr"];
export const SYSTEMS = { linux: "Linux", win: "Windows", mac: "macOS", android: "Android", maemo: "Maemo" };
export const PLATFORMS = [
  "linux-x86_64", "linux-aarch64", "linux-i686", "win64", "win64-aarch64", "win32", "macosx", "macosx64",
  "android-aarch64", "android-arm64-v8a", "android-api-16", "android-api-15", "android-armeabi-v7a",
  "android-x86_64", "android-x86", "android-universal",
];
/** The platforms of a system, by the processor that people name. */
export const ARCHITECTURES = {
  linux: { 64: "linux-x86_64", 32: "linux-i686", arm64: "linux-aarch64" },
  win: { 64: "win64", 32: "win32", arm64: "win64-aarch64" },
  mac: { 64: "macosx|macosx64", arm64: "macosx" },
  android: { 64: "android-x86_64", 32: "android-x86", arm64: "android-aarch64|android-arm64-v8a" },
};
export const LOCALES = `ach af an ar as ast az be bg bn bn-BD bn-IN bo br brx bs ca ca-valencia cak cs cy da de dsb
  el en-CA en-GB en-US en-ZA eo es-AR es-CL es-ES es-MX et eu fa ff fi fr fur fy-NL ga-IE gd gl gn
  gu-IN he hi-IN hr hsb hu hy-AM ia id is it ja ja-JP-mac ka kab kk km kn ko lij lo lt ltg lv mai meh mk
  ml mr ms multi my nb-NO ne-NP nl nn-NO oc or pa-IN pl pt-BR pt-PT rm ro ru sat sc scn sco si sk skr sl
  son sq sr sv-SE szl ta te tg th tl tr trs uk ur uz vi wo xh zh-CN zh-TW`.split(/\s+/);

/** The locales of the file that stands for a build: desktop has the first, Android the second. */
export const MAIN_LOCALES = "en-US|multi";
/** Where the archive's files are, unless a catalogue is of another one. */
export const ARCHIVE_HOST = "archive.mozilla.org";

const nameIn = (names, value) => (Object.hasOwn(names, value) ? names[value] : value);
export const productName = (product) => nameIn(PRODUCTS, product);
export const systemName = (os) => nameIn(SYSTEMS, os);

/** "Portuguese (Brazil)"; empty for what isn't a language, such as `multi`. */
export function languageName(locale) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language", fallback: "none" }).of(locale) ?? "";
  } catch {
    return "";
  }
}
