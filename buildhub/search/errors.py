"""The errors of a search, in the shape in which Elasticsearch reports them."""

from __future__ import annotations

from typing import Any


class BadRequest(Exception):
    """A request that is wrong, or uses what is not supported; ``kind`` is Elasticsearch's type."""

    def __init__(self, reason: str, kind: str = "parsing_exception", status: int = 400) -> None:
        super().__init__(reason)
        self.kind = kind
        self.status = status

    def body(self) -> dict[str, Any]:
        """Returns the body of the response."""
        cause = {"type": self.kind, "reason": str(self)}
        return {"error": {"root_cause": [cause], **cause}, "status": self.status}


def shown(value: object) -> str:
    """Returns a value of a request as a message quotes it, shortened."""
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"
