"""Imports the modules of commands, also those that are imported late, for commands.py."""

import importlib
import pkgutil
import sqlite3  # noqa: F401

import aiohttp  # noqa: F401
import isal.igzip  # noqa: F401
import kinto_http  # noqa: F401
import orjson  # noqa: F401
import yaml  # noqa: F401

import buildhub
from tests.support import botocore_models

for _module in pkgutil.walk_packages(buildhub.__path__, "buildhub."):
    importlib.import_module(_module.name)
botocore_models.share()
botocore_models.read()
