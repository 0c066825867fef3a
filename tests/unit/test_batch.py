"""Records as they are sent to Kinto."""

from __future__ import annotations

import pytest

from buildhub.errors import BadInput
from buildhub.kinto import (
    record_data,
)


@pytest.mark.parametrize("name", ["last_modified", "schema"])
def test_what_the_server_adds_is_not_sent_to_it(name):
    assert record_data({"data": {"id": "a", name: 1, "x": 2}}) == {"id": "a", "x": 2}


@pytest.mark.parametrize("id", ["a", "A-b_c", "0", "x" * 1000])
def test_an_id_that_kinto_takes(id):
    assert record_data({"data": {"id": id}}) == {"id": id}


@pytest.mark.parametrize("id", ["", "-a", "a b", "a.b", "ä", "a\n", None, 7, [], {}])
def test_an_id_that_kinto_refuses(id):
    with pytest.raises(BadInput, match="is not a valid record id"):
        record_data({"data": {"id": id}})
