"""Keys of the archive and what they are: the table of real keys, and shapes that it lacks."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_plus

from buildhub.builds.recognise import candidate_pattern

TABLE = Path(__file__).parents[1] / "data" / "archive-keys.tsv.gz"


class Expected(NamedTuple):
    id: str
    product: str
    version: str
    channel: str
    platform: str
    os: str
    locale: str
    mimetype: str


def read_table() -> Iterator[tuple[str, Expected | None]]:
    with gzip.open(TABLE, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            key, *fields = line.rstrip("\n").split("\t")
            if key != "#key":
                yield key, None if fields == ["-"] else Expected(*fields)


def inventory(keys: list[str], *, quoted: bool = True, encode=quote_plus) -> bytes:
    row = '"archive","{}","12","2017-07-13T23:37:23.000Z","ff391f72"\n'
    row = row if quoted else row.replace('"', "")
    return "".join(row.format(encode(key, safe="/")) for key in keys).encode()


def is_found_encoded(key: str) -> bool:
    wanted = quote_plus(key, safe="/").encode()
    rows = inventory([key])
    return [match.group() for match in candidate_pattern().finditer(rows)] == [wanted]


#: Builds: key, id, version, channel, platform, os, locale.
BUILDS = [
    # Releases of every time.
    ("firefox/releases/1.0/win32/en-US/Firefox Setup 1.0.exe",
     "firefox_1-0_win32_en-us", "1.0", "release", "win32", "win", "en-US"),
    ("firefox/releases/1.0.8/linux-i686/ca-AD/firefox-1.0.8.tar.gz",
     "firefox_1-0-8_linux-i686_ca-ad", "1.0.8", "release", "linux-i686", "linux", "ca-AD"),
    ("firefox/releases/1.5.0.12/mac/ja-JPM/Firefox 1.5.0.12.dmg",
     "firefox_1-5-0-12_macosx_ja-jpm", "1.5.0.12", "release", "macosx", "mac", "ja-JPM"),
    ("firefox/releases/1.5.0.2/mac-ppc/pl/Firefox 1.5.0.2.dmg",
     "firefox_1-5-0-2_macosx-ppc_pl", "1.5.0.2", "release", "macosx-ppc", "mac", "pl"),
    ("firefox/releases/3.6/mac/en-US/Firefox 3.6.dmg",
     "firefox_3-6_macosx_en-us", "3.6", "release", "macosx", "mac", "en-US"),
    ("firefox/releases/4.0rc1/win32/de/Firefox Setup 4.0 RC 1.exe",
     "firefox_4-0rc1_win32_de", "4.0rc1", "release", "win32", "win", "de"),
    ("firefox/releases/5.0b1/mac/fr/Firefox 5.0 Beta 1.dmg",
     "firefox_beta_5-0b1_macosx_fr", "5.0b1", "beta", "macosx", "mac", "fr"),
    ("firefox/releases/4.0b12/mac64/el/Firefox 4.0 Beta 12.dmg",
     "firefox_beta_4-0b12_macosx64_el", "4.0b12", "beta", "macosx64", "mac", "el"),
    ("firefox/releases/3.6a1/mac/ru/Firefox 3.6 Alpha 1.dmg",
     "firefox_3-6a1_macosx_ru", "3.6a1", "release", "macosx", "mac", "ru"),
    ("firefox/releases/55.0/win64/ca-valencia/Firefox Setup 55.0.exe",
     "firefox_55-0_win64_ca-valencia", "55.0", "release", "win64", "win", "ca-valencia"),
    ("firefox/releases/115.10.0esr/linux-x86_64/en-US/firefox-115.10.0esr.tar.bz2",
     "firefox_esr_115-10-0esr_linux-x86_64_en-us",
     "115.10.0esr", "esr", "linux-x86_64", "linux", "en-US"),
    ("firefox/releases/135.0/linux-x86_64/de/firefox-135.0.tar.xz",
     "firefox_135-0_linux-x86_64_de", "135.0", "release", "linux-x86_64", "linux", "de"),
    ("firefox/releases/140.0/linux-aarch64/sv-SE/firefox-140.0.tar.xz",
     "firefox_140-0_linux-aarch64_sv-se", "140.0", "release", "linux-aarch64", "linux", "sv-SE"),
    ("firefox/releases/80.0b3/win64-aarch64/it/Firefox Setup 80.0b3.exe",
     "firefox_beta_80-0b3_win64-aarch64_it", "80.0b3", "beta", "win64-aarch64", "win", "it"),
    ("thunderbird/releases/78.0/win64/en-US/Thunderbird Setup 78.0.exe",
     "thunderbird_78-0_win64_en-us", "78.0", "release", "win64", "win", "en-US"),
    ("thunderbird/releases/3.0b1/win32/en-US/Thunderbird 3 Beta 1.exe",
     "thunderbird_beta_3-0b1_win32_en-us", "3.0b1", "beta", "win32", "win", "en-US"),
    ("thunderbird/releases/128.4.0esr/mac/ja-JP-mac/Thunderbird 128.4.0esr.dmg",
     "thunderbird_esr_128-4-0esr_macosx_ja-jp-mac",
     "128.4.0esr", "esr", "macosx", "mac", "ja-JP-mac"),
    ("devedition/releases/58.0b3/mac/en-US/Firefox 58.0b3.dmg",
     "devedition_aurora_58-0b3_macosx_en-us", "58.0b3", "aurora", "macosx", "mac", "en-US"),
    ("mobile/releases/68.11.0/android-api-16/multi/fennec-68.11.0.multi.android-arm.apk",
     "fennec_68-11-0_android-api-16_multi",
     "68.11.0", "release", "android-api-16", "android", "multi"),
    ("mobile/releases/68.6.1/android-aarch64/multi/fennec-68.6.1.multi.android-aarch64.apk",
     "fennec_68-6-1_android-aarch64_multi",
     "68.6.1", "release", "android-aarch64", "android", "multi"),
    ("mobile/releases/4.0/android/multi/fennec-4.0.multi.eabi-arm.apk",
     "fennec_4-0_android_multi", "4.0", "release", "android", "android", "multi"),
    ("mobile/releases/1.1/maemo/multi/fennec-1.1.multi.linux-gnueabi-arm.tar.bz2",
     "fennec_1-1_maemo_multi", "1.1", "release", "maemo", "maemo", "multi"),
    ("mobile/releases/4.0b3/macosx-i686/en-US/fennec-4.0b3.en-US.mac.dmg",
     "fennec_beta_4-0b3_macosx-i686_en-us", "4.0b3", "beta", "macosx-i686", "mac", "en-US"),
    # Flat releases: the version is the file's.
    ("firefox/releases/1.0rc1/firefox-1.0rc1.ca-AD.linux-i686.installer.tar.gz",
     "firefox_1-0rc1_linux-i686_ca-ad", "1.0rc1", "release", "linux-i686", "linux", "ca-AD"),
    ("firefox/releases/1.0rc2/firefox-1.0rc2.fr-FR.win32.installer.exe",
     "firefox_1-0rc2_win32_fr-fr", "1.0rc2", "release", "win32", "win", "fr-FR"),
    ("firefox/releases/1.0rc2/firefox-1.0rc2.it-IT.mac.dmg",
     "firefox_1-0rc2_macosx_it-it", "1.0rc2", "release", "macosx", "mac", "it-IT"),
    # The folder's version counts: repacks, funnelcakes, versions published twice.
    ("firefox/releases/10.0-real/win32/en-US/Firefox Setup 10.0.exe",
     "firefox_10-0-real_win32_en-us", "10.0-real", "release", "win32", "win", "en-US"),
    ("firefox/releases/3.0.19-real-real/linux-i686/si/firefox-3.0.19.tar.bz2",
     "firefox_3-0-19-real-real_linux-i686_si",
     "3.0.19-real-real", "release", "linux-i686", "linux", "si"),
    ("firefox/releases/3.6.3plugin1/win32/en-US/Firefox Setup 3.6.3plugin1.exe",
     "firefox_3-6-3plugin1_win32_en-us", "3.6.3plugin1", "release", "win32", "win", "en-US"),
    ("firefox/releases/38.0.5b1-2/linux-i686/de/firefox-38.0.5b1.tar.bz2",
     "firefox_beta_38-0-5b1-2_linux-i686_de", "38.0.5b1-2", "beta", "linux-i686", "linux", "de"),
    ("firefox/releases/54.0.1-funnelcake117/win32/en-US/Firefox Setup 54.0.1.exe",
     "firefox_54-0-1-funnelcake117_win32_en-us",
     "54.0.1-funnelcake117", "release", "win32", "win", "en-US"),
    ("firefox/releases/56.0.1-funnelcake131/v1/win64/en-US/Firefox Setup 56.0.1.exe",
     "firefox_56-0-1-funnelcake131_win64_en-us",
     "56.0.1-funnelcake131", "release", "win64", "win", "en-US"),
    ("firefox/releases/46.0.1-funnelcake84/funnelcake84/win32/de/Firefox Setup 46.0.1.exe",
     "firefox_46-0-1-funnelcake84_win32_de",
     "46.0.1-funnelcake84", "release", "win32", "win", "de"),
    ("firefox/releases/57.0.2-funnelcake137/v2/win32/fr/Firefox Setup 57.0.2-funnelcake137.exe",
     "firefox_57-0-2-funnelcake137_win32_fr",
     "57.0.2-funnelcake137", "release", "win32", "win", "fr"),
    # Repacks.
    ("firefox/releases/52.0/win32-EME-free/en-US/Firefox Setup 52.0.exe",
     "firefox_52-0_win32-eme-free_en-us", "52.0", "release", "win32-eme-free", "win", "en-US"),
    ("firefox/releases/52.0/mac-EME-free/fr/Firefox 52.0.dmg",
     "firefox_52-0_macosx-eme-free_fr", "52.0", "release", "macosx-eme-free", "mac", "fr"),
    ("firefox/releases/43.0.1/win32-sha1/en-US/Firefox Setup 43.0.1.exe",
     "firefox_43-0-1_win32-sha1_en-us", "43.0.1", "release", "win32-sha1", "win", "en-US"),
    # Candidates.
    ("firefox/candidates/55.0b1-candidates/build5/win32/en-US/Firefox Setup 55.0b1.exe",
     "firefox_beta_55-0b1rc5_win32_en-us", "55.0b1rc5", "beta", "win32", "win", "en-US"),
    ("devedition/candidates/59.0b1-candidates/build11/mac/de/Firefox 59.0b1.dmg",
     "devedition_aurora_59-0b1rc11_macosx_de", "59.0b1rc11", "aurora", "macosx", "mac", "de"),
    ("thunderbird/candidates/56.0b4-candidates/build14/linux-i686/fi/thunderbird-56.0b4.tar.bz2",
     "thunderbird_beta_56-0b4rc14_linux-i686_fi",
     "56.0b4rc14", "beta", "linux-i686", "linux", "fi"),
    ("firefox/candidates/45.6.0esr-candidates/build1/mac/en-US/Firefox 45.6.0esr.dmg",
     "firefox_45-6-0esrrc1_macosx_en-us", "45.6.0esrrc1", "release", "macosx", "mac", "en-US"),
    ("firefox/candidates/49.0.1-candidates/build3/funnelcake90/win32/en-US/"
     "Firefox Setup 49.0.1.exe",
     "firefox_49-0-1rc3-funnelcake90_win32_en-us",
     "49.0.1rc3-funnelcake90", "release", "win32", "win", "en-US"),
    ("firefox/candidates/54.0-candidates/build3/win64-EME-free/ru/Firefox Setup 54.0.exe",
     "firefox_54-0rc3_win64-eme-free_ru", "54.0rc3", "release", "win64-eme-free", "win", "ru"),
    ("mobile/candidates/55.0b2-candidates/build2/android-x86/multi/"
     "fennec-55.0b2.multi.android-i386.apk",
     "fennec_beta_55-0b2rc2_android-x86_multi",
     "55.0b2rc2", "beta", "android-x86", "android", "multi"),
    # Nightlies; short dates take the tree into the id.
    ("firefox/nightly/2017/05/2017-05-15-10-02-38-mozilla-central/"
     "firefox-55.0a1.en-US.linux-x86_64.tar.bz2",
     "firefox_nightly_2017-05-15-10-02-38_55-0a1_linux-x86_64_en-us",
     "55.0a1", "nightly", "linux-x86_64", "linux", "en-US"),
    ("firefox/nightly/2025/01/2025-01-07-09-15-05-mozilla-central-l10n/"
     "firefox-136.0a1.ca-valencia.linux-aarch64.tar.xz",
     "firefox_nightly_2025-01-07-09-15-05_136-0a1_linux-aarch64_ca-valencia",
     "136.0a1", "nightly", "linux-aarch64", "linux", "ca-valencia"),
    ("firefox/nightly/2017/08/2017-08-25-10-01-26-mozilla-central-l10n/"
     "firefox-57.0a1.ja-JP-mac.mac.dmg",
     "firefox_nightly_2017-08-25-10-01-26_57-0a1_macosx_ja-jp-mac",
     "57.0a1", "nightly", "macosx", "mac", "ja-JP-mac"),
    ("firefox/nightly/2010/07/2010-07-04-05-mozilla-central/"
     "firefox-4.0b2pre.en-US.win32.installer.exe",
     "firefox_nightly_2010-07-04-05-mozilla-central_4-0b2pre_win32_en-us",
     "4.0b2pre", "nightly", "win32", "win", "en-US"),
    ("firefox/nightly/2009/11/2009-11-02-04-mozilla-central-l10n/"
     "firefox-3.7a1pre.fr.linux-i686.tar.bz2",
     "firefox_nightly_2009-11-02-04-mozilla-central_3-7a1pre_linux-i686_fr",
     "3.7a1pre", "nightly", "linux-i686", "linux", "fr"),
    ("firefox/nightly/2012/07/2012-07-13-03-05-48-mozilla-central/"
     "firefox-16.0a1.en-US.win64-x86_64.installer.exe",
     "firefox_nightly_2012-07-13-03-05-48_16-0a1_win64-x86_64_en-us",
     "16.0a1", "nightly", "win64-x86_64", "win", "en-US"),
    ("thunderbird/nightly/2017/11/2017-11-20-03-02-05-comm-central-l10n/"
     "thunderbird-59.0a1.fr.win32.installer.exe",
     "thunderbird_nightly_2017-11-20-03-02-05_59-0a1_win32_fr",
     "59.0a1", "nightly", "win32", "win", "fr"),
    ("thunderbird/nightly/2009/08/2009-08-01-03-comm-central/thunderbird-3.1a1pre.en-US.mac.dmg",
     "thunderbird_nightly_2009-08-01-03-comm-central_3-1a1pre_macosx_en-us",
     "3.1a1pre", "nightly", "macosx", "mac", "en-US"),
    # Nightlies of mobile: the folder's android-api-<N> is the platform, otherwise the file's.
    ("mobile/nightly/2017/09/2017-09-01-10-03-13-mozilla-central-android-api-15/"
     "fennec-57.0a1.multi.android-arm.apk",
     "fennec_nightly_2017-09-01-10-03-13_57-0a1_android-api-15_multi",
     "57.0a1", "nightly", "android-api-15", "android", "multi"),
    ("mobile/nightly/2017/09/2017-09-01-10-03-13-mozilla-central-android-api-15-l10n/"
     "fennec-57.0a1.ar.android-arm.apk",
     "fennec_nightly_2017-09-01-10-03-13_57-0a1_android-api-15_ar",
     "57.0a1", "nightly", "android-api-15", "android", "ar"),
    ("mobile/nightly/2017/09/2017-09-01-10-03-13-mozilla-central-android-api-15/en-US/"
     "fennec-57.0a1.en-US.android-arm.apk",
     "fennec_nightly_2017-09-01-10-03-13_57-0a1_android-api-15_en-us",
     "57.0a1", "nightly", "android-api-15", "android", "en-US"),
    ("mobile/nightly/2017/09/2017-09-01-10-03-13-mozilla-central-android-x86/"
     "fennec-57.0a1.multi.android-i386.apk",
     "fennec_nightly_2017-09-01-10-03-13_57-0a1_android-i386_multi",
     "57.0a1", "nightly", "android-i386", "android", "multi"),
    ("mobile/nightly/2017/05/2017-05-30-10-01-27-mozilla-central-android-api-15-old-id/"
     "fennec-55.0a1.multi.android-arm.apk",
     "fennec_nightly-old-id_2017-05-30-10-01-27_55-0a1_android-api-15_multi",
     "55.0a1", "nightly-old-id", "android-api-15", "android", "multi"),
    ("mobile/nightly/2017/08/2017-08-09-10-03-39-mozilla-central-android-x86-old-id/"
     "fennec-57.0a1.multi.android-i386.apk",
     "fennec_nightly-old-id_2017-08-09-10-03-39_57-0a1_android-i386_multi",
     "57.0a1", "nightly-old-id", "android-i386", "android", "multi"),
    ("mobile/nightly/2011/08/2011-08-15-05-53-37-mozilla-central-android/"
     "fennec-8.0a1.multi.eabi-arm.apk",
     "fennec_nightly_2011-08-15-05-53-37_8-0a1_eabi-arm_multi",
     "8.0a1", "nightly", "eabi-arm", "android", "multi"),
    ("mobile/nightly/2011/02/2011-02-08-03-mozilla-central-macosx/fennec-4.0b5pre.en-US.mac.dmg",
     "fennec_nightly_2011-02-08-03-mozilla-central_4-0b5pre_macosx_en-us",
     "4.0b5pre", "nightly", "macosx", "mac", "en-US"),
    # Fennec's nightlies from June 2019 on are those of its last branch.
    ("mobile/nightly/2019/07/2019-07-13-09-37-05-mozilla-esr68-android-api-16/"
     "fennec-68.1a1.multi.android-arm.apk",
     "fennec_nightly_2019-07-13-09-37-05_68-1a1_android-api-16_multi",
     "68.1a1", "nightly", "android-api-16", "android", "multi"),
    ("mobile/nightly/2019/07/2019-07-13-09-37-05-mozilla-esr68-android-api-16-l10n/"
     "fennec-68.1a1.de.android-arm.apk",
     "fennec_nightly_2019-07-13-09-37-05_68-1a1_android-api-16_de",
     "68.1a1", "nightly", "android-api-16", "android", "de"),
    ("mobile/nightly/2020/06/2020-06-29-09-32-30-mozilla-esr68-android-aarch64/"
     "fennec-68.10a1.multi.android-aarch64.apk",
     "fennec_nightly_2020-06-29-09-32-30_68-10a1_android-aarch64_multi",
     "68.10a1", "nightly", "android-aarch64", "android", "multi"),
    # Platforms of a few years only.
    ("mobile/releases/21.0/android-armv6/multi/fennec-21.0.multi.android-arm-armv6.apk",
     "fennec_21-0_android-armv6_multi", "21.0", "release", "android-armv6", "android", "multi"),
    ("mobile/nightly/2013/04/2013-04-02-03-09-05-mozilla-central-android-armv6/"
     "fennec-23.0a1.multi.android-arm-armv6.apk",
     "fennec_nightly_2013-04-02-03-09-05_23-0a1_android-arm-armv6_multi",
     "23.0a1", "nightly", "android-arm-armv6", "android", "multi"),
    ("mobile/candidates/11.0b1-candidates/build1/android-xul/multi/"
     "fennec-11.0b1.multi.android-arm.apk",
     "fennec_beta_11-0b1rc1_android-xul_multi",
     "11.0b1rc1", "beta", "android-xul", "android", "multi"),
    ("mobile/nightly/2012/02/2012-02-01-03-12-05-mozilla-central-android-xul/"
     "fennec-13.0a1.multi.android-arm.apk",
     "fennec_nightly_2012-02-01-03-12-05_13-0a1_android-xul_multi",
     "13.0a1", "nightly", "android-xul", "android", "multi"),
    ("mobile/nightly/2011/03/2011-03-05-04-mozilla-central-android-r7/"
     "fennec-4.0b6pre.multi.eabi-arm.apk",
     "fennec_nightly_2011-03-05-04-mozilla-central_4-0b6pre_android-r7_multi",
     "4.0b6pre", "nightly", "android-r7", "android", "multi"),
    ("firefox/nightly/2010/01/2010-01-06-04-mozilla-central/firefox-3.7a1pre.en-US.mac-shark.dmg",
     "firefox_nightly_2010-01-06-04-mozilla-central_3-7a1pre_macosx-shark_en-us",
     "3.7a1pre", "nightly", "macosx-shark", "mac", "en-US"),
    ("firefox/releases/3.6/win32-EUballot/en-US/Firefox Setup 3.6.exe",
     "firefox_3-6_win32-euballot_en-us", "3.6", "release", "win32-euballot", "win", "en-US"),
    ("firefox/candidates/3.5.8-candidates/build1/win32-EUballot-rc2/de/Firefox Setup 3.5.8.exe",
     "firefox_3-5-8rc1_win32-euballot-rc2_de",
     "3.5.8rc1", "release", "win32-euballot-rc2", "win", "de"),
    ("firefox/releases/29.0/win32-funnelcake26/en-US/Firefox Setup 29.0.exe",
     "firefox_29-0_win32-funnelcake26_en-us",
     "29.0", "release", "win32-funnelcake26", "win", "en-US"),
    ("thunderbird/nightly/2010/01/2010-01-07-03-comm-central-trunk/"
     "thunderbird-3.2a1pre.en-US.win32.installer.exe",
     "thunderbird_nightly_2010-01-07-03-comm-central_3-2a1pre_win32_en-us",
     "3.2a1pre", "nightly", "win32", "win", "en-US"),
    ("thunderbird/nightly/2010/01/2010-01-07-03-comm-central-trunk-l10n/"
     "thunderbird-3.2a1pre.fr.mac.dmg",
     "thunderbird_nightly_2010-01-07-03-comm-central_3-2a1pre_macosx_fr",
     "3.2a1pre", "nightly", "macosx", "mac", "fr"),
    # Apps for Android since 2021: off by default.
    ("fenix/nightly/2026/07/2026-07-01-09-27-14-fenix-154.0a1-android-arm64-v8a/"
     "fenix-154.0a1.multi.android-arm64-v8a.apk",
     "fenix_nightly_2026-07-01-09-27-14_154-0a1_android-arm64-v8a_multi",
     "154.0a1", "nightly", "android-arm64-v8a", "android", "multi"),
    ("fenix/nightly/2026/07/2026-07-01-09-27-14-fenix-154.0a1-android/"
     "fenix-154.0a1.multi.android-universal.apk",
     "fenix_nightly_2026-07-01-09-27-14_154-0a1_android-universal_multi",
     "154.0a1", "nightly", "android-universal", "android", "multi"),
    ("fenix/candidates/143.0.4-candidates/build2/android/fenix-143.0.4-android-x86_64/"
     "fenix-143.0.4.multi.android-x86_64.apk",
     "fenix_143-0-4rc2_android-x86_64_multi",
     "143.0.4rc2", "release", "android-x86_64", "android", "multi"),
    ("fenix/candidates/144.0b3-candidates/build1/android/fenix-144.0b3-android-x86/"
     "fenix-144.0b3.multi.android-x86.apk",
     "fenix_beta_144-0b3rc1_android-x86_multi",
     "144.0b3rc1", "beta", "android-x86", "android", "multi"),
    ("fenix/releases/144.0b3/android/fenix-144.0b3-android-arm64-v8a/"
     "fenix-144.0b3.multi.android-arm64-v8a.apk",
     "fenix_beta_144-0b3_android-arm64-v8a_multi",
     "144.0b3", "beta", "android-arm64-v8a", "android", "multi"),
    ("focus/releases/143.0.4/android/focus-143.0.4-android-armeabi-v7a/"
     "focus-143.0.4.multi.android-armeabi-v7a.apk",
     "focus_143-0-4_android-armeabi-v7a_multi",
     "143.0.4", "release", "android-armeabi-v7a", "android", "multi"),
    ("focus/releases/143.0.4/android/klar-143.0.4-android-arm64-v8a/"
     "klar-143.0.4.multi.android-arm64-v8a.apk",
     "klar_143-0-4_android-arm64-v8a_multi",
     "143.0.4", "release", "android-arm64-v8a", "android", "multi"),
    ("focus/nightly/2026/07/2026-07-01-09-27-14-klar-154.0a1-android/"
     "klar-154.0a1.multi.android-universal.apk",
     "klar_nightly_2026-07-01-09-27-14_154-0a1_android-universal_multi",
     "154.0a1", "nightly", "android-universal", "android", "multi"),
    # Fenix's betas and candidates from December 2021 to July 2022.
    ("fenix/releases/97.0.0-beta.2/android/fenix-97.0.0-beta.2-android-arm64-v8a/"
     "fenix-97.0.0-beta.2.multi.android-arm64-v8a.apk",
     "fenix_beta_97-0-0-beta-2_android-arm64-v8a_multi",
     "97.0.0-beta.2", "beta", "android-arm64-v8a", "android", "multi"),
    ("fenix/releases/96.1.0-rc.1/android/fenix-96.1.0-rc.1-android-x86_64/"
     "fenix-96.1.0-rc.1.multi.android-x86_64.apk",
     "fenix_beta_96-1-0-rc-1_android-x86_64_multi",
     "96.1.0-rc.1", "beta", "android-x86_64", "android", "multi"),
    ("fenix/releases/97.0.0-beta.2/android/fenix-97.0.0-beta.2-android/"
     "fenix-97.0.0-beta.2.multi.android-universal.apk",
     "fenix_beta_97-0-0-beta-2_android-universal_multi",
     "97.0.0-beta.2", "beta", "android-universal", "android", "multi"),
    ("fenix/candidates/101.0.0-beta.10-candidates/build1/android/"
     "fenix-101.0.0-beta.10-android-x86/fenix-101.0.0-beta.10.multi.android-x86.apk",
     "fenix_beta_101-0-0-beta-10rc1_android-x86_multi",
     "101.0.0-beta.10rc1", "beta", "android-x86", "android", "multi"),
    ("fenix/candidates/96.1.0-rc.1-candidates/build2/android/"
     "fenix-96.1.0-rc.1-android-x86/fenix-96.1.0-rc.1.multi.android-x86.apk",
     "fenix_beta_96-1-0-rc-1rc2_android-x86_multi",
     "96.1.0-rc.1rc2", "beta", "android-x86", "android", "multi"),
]  # fmt: skip

#: Keys that are not builds, and words of the reason that is given.
NO_BUILDS = [
    # Beside a build.
    ("firefox/releases/55.0/win32/de/Firefox Setup 55.0.exe.asc", "checksum or signature"),
    ("firefox/releases/55.0/SHA512SUMS", "checksum or signature"),
    ("firefox/candidates/56.0-candidates/build1/KEY", "checksum or signature"),
    ("firefox/nightly/2017/08/2017-08-05-10-03-34-mozilla-central/"
     "firefox-57.0a1.en-US.win32.checksums", "checksum or signature"),
    ("firefox/releases/55.0/update/win32/de/firefox-55.0.complete.mar", "update"),
    ("firefox/releases/55.0/win32/xpi/de.xpi", "language pack"),
    ("firefox/nightly/2017/08/2017-08-05-10-03-34-mozilla-central-l10n/"
     "firefox-57.0a1.de.langpack.xpi", "language pack"),
    ("firefox/candidates/54.0-candidates/build2/win64/en-US/firefox-54.0.json", "description"),
    ("mobile/nightly/2011/02/2011-02-08-03-mozilla-central-macosx/fennec-4.0b5pre.en-US.mac.txt",
     "description"),
    ("firefox/releases/48.0.2/firefox-48.0.2.linux-x86_64.sdk.tar.bz2", "SDK"),
    ("firefox/candidates/48.0-candidates/build2/linux-x86_64/en-US/firefox-48.0.sdk.tar.bz2",
     "SDK"),
    ("firefox/nightly/2019/08/2019-08-05-10-03-34-mozilla-central/"
     "firefox-70.0a1.en-US.linux-x86_64.common.tests.tar.gz", "tests"),
    ("firefox/nightly/2025/08/2025-08-05-10-03-34-mozilla-central/"
     "firefox-143.0a1.en-US.win64.crashreporter-symbols.zip", "symbols"),
    ("firefox/releases/55.0/source/firefox-55.0.source.tar.xz", "source"),
    ("thunderbird/releases/1.5.0.9/source/thunderbird-1.5.0.9-source.tar.bz2", "source"),
    ("firefox/releases/1.5rc1/source/firefox-1.5rc1-source.tar.bz2", "source"),
    # Packages of another kind.
    ("firefox/releases/129.0/win64/en-US/Firefox Setup 129.0.msi", ".msi"),
    ("firefox/releases/157.0/win64/multi/Firefox Setup 157.0.msix", ".msix"),
    ("firefox/releases/129.0/mac/en-US/Firefox 129.0.pkg", ".pkg"),
    ("firefox/releases/129.0/linux-x86_64/en-US/firefox-129.0.deb", ".deb"),
    ("devedition/candidates/55.0b1-candidates/build5/win64/pt-BR/firefox-55.0b1.zip", ".zip"),
    ("firefox/nightly/2017/05/2017-05-03-03-02-12-mozilla-central/"
     "firefox-55.0a1.en-US.win64.zip", ".zip"),
    # Stub installers.
    ("firefox/releases/55.0/win32/fr/Firefox Installer.exe", "stub installer"),
    ("firefox/nightly/2017/08/2017-08-25-10-01-26-mozilla-central-l10n/Firefox Installer.fr.exe",
     "stub installer"),
    ("firefox/nightly/2017/08/2017-08-25-10-01-26-mozilla-central/"
     "firefox-57.0a1.en-US.win32.installer-stub.exe", "stub installer"),
    ("firefox/releases/49.0/win32/en-US/Firefox Setup Stub 49.0.exe", "stub installer"),
    # Folders of no published builds.
    ("firefox/tinderbox-builds/mozilla-central-win32/1493737641/firefox-55.0a1.en-US.win32.zip",
     "pub/firefox/tinderbox-builds/ holds no published builds"),
    ("firefox/try-builds/jg@m.com-e/try-win64/firefox-56.0a1.en-US.win64.installer.exe",
     "pub/firefox/try-builds/ holds no published builds"),
    ("thunderbird/test/standard8-jmalloc-test/special-test-no-jemalloc.exe",
     "pub/thunderbird/test/ holds no published builds"),
    ("firefox/nightly/latest-mozilla-central/firefox-56.0a1.en-US.linux-x86_64.tar.bz2",
     "latest-mozilla-central/ are copies"),
    ("firefox/releases/latest/win32/en-US/Firefox Setup 70.0.exe", "latest/ are copies"),
    ("firefox/releases/latest-esr/win32/en-US/Firefox Setup 115.0esr.exe", "latest-esr/"),
    ("mobile/releases/latest/android-api-15/multi/fennec-55.0.multi.android-arm.apk", "latest/"),
    ("firefox/nightly/2016/06/latest-mozilla-central/firefox-50.0a1.en-US.mac.dmg", "latest-"),
    ("firefox/nightly/experimental/firefox-55.0a1.en-US.mac.dmg", "experimental/"),
    ("firefox/releases/2.0/contrib/solaris/firefox-2.0.tar.bz2", "contrib/"),
    ("firefox/releases/namoroka/win32/en-US/Firefox Setup 3.6.exe", "namoroka/"),
    ("firefox/releases/sha1-installers/win32/en-US/Firefox Setup 43.0.exe", "sha1-installers/"),
    ("firefox/releases/partners/google/3.6/win32/en-US/Firefox Setup 3.6.exe", "partners/"),
    ("firefox/candidates/63.0.1-candidates/build4/partner-repacks/firefox/"
     "firefox-election-edition/v1/win32/en-US/Firefox Setup 63.0.1.exe", "partner-repacks/"),
    ("firefox/candidates/archived/55.0-candidates/build1/win32/de/Firefox Setup 55.0.exe",
     "archived/"),
    ("firefox/nightly/stylo-bindings/firefox-55.0a1.en-US.mac.dmg", "stylo-bindings/"),
    ("firefox/releases/0.10.1/firefox-0.10.1.en-US.win32.installer.exe", "is older than 1.0"),
    ("thunderbird/releases/0.9/win32/en-US/Thunderbird Setup 0.9.exe", "is older than 1.0"),
    ("firefox/releases/1.0rc/firefox-1.0rc.en-US.win32.installer.exe", "1.0rc/"),
    ("mobile/releases/wince/1.0a3/fennec-1.0a3.en-US.wince-arm.zip", "not the folder of a version"),
    ("firefox/releases/win32/en-US/55.0/Firefox Setup 55.0.exe", "releases/win32/"),
    ("firefox/nightly/3.6.19-candidates/build1/mac/en-US/Firefox 3.6.19.dmg", "alias"),
    ("firefox/nightly/3.0.14-candidates/build1/firefox-3.0.14.ja.win32.installer.exe", "alias"),
    ("firefox/nightly/2025/01/2025-01-07-09-15-05-mozilla-central-l10n/"
     "firefox-136.0a1.en-US.win64.installer.exe", "a copy: the build is in the folder without"),
    # Nightlies of other trees, and debugging ones.
    ("thunderbird/nightly/2012/01/2012-01-07-03-00-00-comm-central-trunk/"
     "thunderbird-12.0a1.en-US.mac.dmg", "builds below"),
    ("firefox/nightly/2016/11/2016-11-20-00-40-06-mozilla-aurora/firefox-52.0a2.en-US.mac.dmg",
     "tree mozilla-aurora is not catalogued"),
    ("firefox/nightly/2016/11/2016-11-20-00-40-06-mozilla-aurora-l10n/firefox-52.0a2.de.mac.dmg",
     "tree mozilla-aurora is not catalogued"),
    ("thunderbird/nightly/2017/12/2017-12-11-03-02-03-comm-esr52/"
     "thunderbird-52.0.en-US.win32.installer.exe", "tree comm-esr52"),
    ("firefox/nightly/2006/03/2006-03-01-05-trunk/firefox-1.6a1.en-US.mac.dmg", "tree trunk"),
    ("firefox/nightly/2017/08/2017-08-01-15-03-43-date/firefox-56.0a1.en-US.mac.dmg", "tree date"),
    ("mobile/nightly/2011/08/2011-08-14-05-53-37-mozilla-aurora-android/"
     "fennec-7.0a2.multi.eabi-arm.apk", "mozilla-aurora-android"),
    ("firefox/nightly/2019/07/2019-07-13-09-37-05-mozilla-esr68/firefox-68.0.en-US.mac.dmg",
     "tree mozilla-esr68 is not catalogued"),
    ("mobile/nightly/2020/10/2020-10-13-09-37-05-mozilla-esr78-android-api-16/"
     "fennec-78.1a1.multi.android-arm.apk", "tree mozilla-esr78-android-api-16 is not catalogued"),
    ("mobile/nightly/2019/07/2019-07-13-09-37-05-mozilla-esr68-android-api-16/"
     "fennec-68.1a1.multi.os2.apk", "builds below pub/mobile/nightly/"),
    ("firefox/nightly/2012/07/2012-07-13-03-05-48-mozilla-central-debug/"
     "firefox-16.0a1.en-US.debug-linux-x86_64.tar.bz2", "debugging"),
    ("firefox/nightly/2012/07/2012-07-13-03-05-48-mozilla-central-debug/"
     "firefox-16.0a1.en-US.linux-x86_64.tar.bz2", "debugging"),
    ("firefox/nightly/2018/07/2018-07-13-03-05-48-mozilla-central/"
     "firefox-63.0a1.en-US.win64-asan-reporter.installer.exe", "debugging"),
    ("firefox/nightly/2013/07/2013-07-13-03-05-48-mozilla-central-asan/"
     "firefox-25.0a1.en-US.linux-x86_64.tar.bz2", "debugging"),
    ("firefox/nightly/2017/08/2017-08-01-15-03-46-mozilla-central-android-api-15/"
     "firefox-56.0a1.en-US.mac.dmg", "builds below pub/firefox/nightly/"),
    # Names that are nearly right.
    ("firefox/releases/49.0.1/win32/en-US/Firefox% Setup% 49.0.1.exe", "is called"),
    ("firefox/releases/55.0/win32/en-US/Firefox Setup 55.0 (1).exe", "parentheses"),
    ("firefox/releases/55.0/win32/en-US/Firefox+Setup+55.0.exe", "is called"),
    ("firefox/releases/55.0/win32/en-US/Firefox%20Setup%2055.0.exe", "is called"),
    ("firefox/releases/55.0/win32/en-US/Thunderbird Setup 55.0.exe", "is called"),
    ("firefox/releases/3.7a5/mac/en-US/MozillaDeveloperPreview 3.7 Alpha 5.dmg", "is called"),
    ("thunderbird/releases/3.3a3/linux-i686/en-US/miramar-3.3a3.tar.bz2", "is called"),
    ("mobile/releases/55.0/android-api-15/multi/gecko-unsigned-unaligned.apk", "is called"),
    ("mobile/releases/55.0/android-api-15/multi/fennec-latest.multi.android-arm.apk", "is called"),
    ("firefox/releases/55.0/win32/en-US/setup.exe", "is called"),
    ("firefox/releases/55.0/win32/en-US/Firefox Setup 55.0.dmg", "is called"),
    ("firefox/releases/55.0/os2/en-US/firefox-55.0.tar.bz2", "platform os2 is not known"),
    ("firefox/releases/55.0/win32/Firefox Setup 55.0.exe", "builds below pub/firefox/releases/"),
    ("firefox/releases/55.0/v1/win32/en-US/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/candidates/55.0-candidates/win32/en-US/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/candidates/55.0-candidates/build0/win32/de/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/candidates/55.0/build1/win32/en-US/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/candidates/aurora-beta-channel-switch/build1/win32/de/Firefox Setup 55.0.exe",
     "builds below"),
    ("firefox/nightly/2017/08/2017-08-05-mozilla-central/firefox-57.0a1.en-US.mac.dmg",
     "builds below"),
    # Paths that are none.
    ("firefox/releases/../55.0/win32/en-US/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/releases/55.0/../en-US/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/releases//win32/en-US/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/releases/55.0/win32//Firefox Setup 55.0.exe", "builds below"),
    ("firefox//releases/55.0/win32/en-US/Firefox Setup 55.0.exe", "only releases/"),
    ("firefox/releases/55.0/win32/en-US/Firefox Setup 55.0.exe\n", "is called"),
    ("firefox/releases/55.0/win32/en-US\n/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/releases/55.0/win32/en-US/Firefox Setup 55.0.exe/", "a folder"),
    ("firefox/releases/55.0/win32/en-US/", "a folder"),
    ("firefox/releases/55.0/win32/français/Firefox Setup 55.0.exe", "builds below"),
    ("firefox/releases/55.\u0660/win32/fr/Firefox Setup 55.\u0660.exe", "builds below"),
    ("firefox/releases/55.0/win32/fr/F\u0131refox Setup 55.0.exe", "is called"),
    ("mobile/releases/55.0/android/multi/fennec-55.0.multi.android-arm.ap\u212a", "is called"),
    ("firefox/Releases/55.0/win32/en-US/Firefox Setup 55.0.exe", "holds no published builds"),
    ("firefox/releases", "only releases/"),
    ("firefox", "only pub/firefox/"),
    # Other products.
    ("seamonkey/releases/2.53.10.1/win32/en-US/seamonkey-2.53.10.1.en-US.win32.installer.exe",
     "only pub/firefox/"),
    ("fenix/releases/143.0.4/android/fenix-143.0.4-android-x86/fenix-143.0.4.multi.android-x86.aab",
     ".aab"),
    ("fenix/releases/143.0.4/android/fenix-143.0.4-android-x86/"
     "fenix-143.0.4.multi.android-x86.apk.asc", "checksum or signature"),
    ("fenix/releases/143.0.4/android/fenix-143.0.4-android-x86/"
     "fenix-143.0.4.multi.android-x86_64.apk", "builds below pub/fenix/releases/"),
    ("fenix/releases/143.0.4/android/fenix-143.0.4-android/fenix-143.0.4.multi.android-x86.apk",
     "builds below pub/fenix/releases/"),
    ("fenix/releases/143.0.4/android/focus-143.0.4-android-x86/focus-143.0.4.multi.android-x86.apk",
     "builds below pub/fenix/releases/"),
    ("fenix/releases/97.0.0-alpha.2/android/fenix-97.0.0-alpha.2-android-x86/"
     "fenix-97.0.0-alpha.2.multi.android-x86.apk", "builds below pub/fenix/releases/"),
    ("fenix/releases/97.0.0-beta/android/fenix-97.0.0-beta.-android-x86/"
     "fenix-97.0.0-beta..multi.android-x86.apk", "builds below pub/fenix/releases/"),
    ("firefox/releases/97.0-beta.2/win32/de/Firefox Setup 97.0.exe", "a build there is called"),
    ("android/focus/latest/Focus-arm.apk", "only pub/firefox/"),
    ("fennec/releases/55.0/android-x86/multi/fennec-55.0.multi.android-i386.apk",
     "only pub/firefox/"),
]  # fmt: skip
