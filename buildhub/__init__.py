# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
"""The catalogue of every Mozilla build ever published."""

__version__ = "2.0.0"

PROJECT_URL = "https://github.com/mozilla-services/buildhub"
#: Bytes of the largest row of an inventory, or record on a line; a longer line is bad.
MAX_LINE = 16 << 20
#: Bytes, unpacked, of the largest response but Kinto's: sixteen may come at the same time.
MAX_BODY = 8 << 20
#: Bytes, unpacked, of the largest response of Kinto: a page of 10,000 records has 10 MB.
MAX_PAGE = 64 << 20

USER_AGENT = f"buildhub/{__version__} (+{PROJECT_URL})"
