"""Lucene's regular expressions → RE2's, which need linear time. Both match whole values here.

In Lucene's syntax a part in double quotes is literal, ``@`` is any text, ``^`` and ``$`` are plain
characters. What RE2 does not have (``~ & # <1-9>``) is refused, and so is
what versions of Lucene read differently (``\\d``).
"""

from __future__ import annotations

import math
import re

from .fields import BadRequest, shown

#: Characters of a pattern; its repetitions, multiplied (RE2's own bound); and both multiplied.
_MAX_LENGTH, _MAX_REPETITIONS, _MAX_EXPANDED = 1000, 1000, 10_000

_TOKEN = re.compile(
    r"""
      "(?P<quoted>[^"]*)"
    | \\(?P<escaped>[^a-zA-Z0-9])
    | \[(?!\^\])(?P<negated>\^?)(?P<members>(?:\\[^a-zA-Z0-9]|[^\]\\])+)\]
    | (?P<repeat>[?*+] | \{(?P<low>[0-9]{1,4})(?:,(?P<high>[0-9]{0,4}))?\})
    | (?P<special>[(|).@])
    | (?P<literal>[^"\\\[\]{}~&<>\#])
    """,
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(r"\\?(?P<first>.)(?:-\\?(?P<last>.))?", re.DOTALL)


def translate(pattern: object) -> str:
    """Returns the pattern in RE2's syntax. Raises :class:`BadRequest`."""
    if not isinstance(pattern, str) or len(pattern) > _MAX_LENGTH:
        raise BadRequest(f"a regular expression is a text of at most {_MAX_LENGTH} characters")
    position, parts, counts, atom, depth = 0, [], [len(pattern)], False, 0
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        if not match or (match["repeat"] and not atom):
            raise BadRequest(f"regular expressions do not support {shown(pattern[position:])}")
        parts.append(_translated(match))
        counts.append(int(match["high"] or match["low"] or 1) or 1)
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        atom = not match["repeat"] and match[0] not in ("(", "|")
        position = match.end() if depth >= 0 else len(pattern)
    if depth or math.prod(counts) > _MAX_EXPANDED or math.prod(counts[1:]) > _MAX_REPETITIONS:
        raise BadRequest(f"the regular expression {shown(pattern)} is too large or not complete")
    return f"(?s:{''.join(parts)})"


def _translated(match: re.Match[str]) -> str:
    if match["members"]:
        return f"[{match['negated']}{''.join(map(_range, _MEMBER.finditer(match['members'])))}]"
    if match["repeat"] and int(match["high"] or 1000) < int(match["low"] or 0):
        raise BadRequest(f"{match[0]} is no range")
    if match["repeat"] or match["special"]:
        return {"(": "(?:", "@": "(?:.*)"}.get(match[0], match[0])
    literal = match["quoted"] if match["quoted"] is not None else match["escaped"]
    return f"(?:{re.escape(literal or match['literal'] or '')})"


def _range(member: re.Match[str]) -> str:
    """Returns a member of a character class by its numbers, so that no character is special."""
    first, last = ord(member["first"]), ord(member["last"] or member["first"])
    if first > last:
        raise BadRequest(f"{member[0]} is no range")
    return f"\\x{{{first:x}}}-\\x{{{last:x}}}"
