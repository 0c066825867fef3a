# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
"""The catalogue of every Mozilla build ever published."""

__version__ = "1.0.0"

PROJECT_URL = "https://github.com/mozilla-services/buildhub"
USER_AGENT = f"buildhub/{__version__} (+{PROJECT_URL})"
