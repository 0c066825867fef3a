"""Lucene's regular expressions → RE2's, which need no more than linear time.

Both match whole values here. In Lucene's syntax a part in double quotes is literal, ``@`` is any
text, and ``^`` and ``$`` are characters as all others. What RE2 cannot do (``~`` ``&`` ``<1-9>``
``#``), or what would be read otherwise by other versions of Lucene (``\\d``), is refused.
"""

from __future__ import annotations

import math
import re

from .errors import BadRequest, shown

#: Characters of a pattern, its repetitions (in RE2: of those inside each other, multiplied), and
#: characters of what it becomes where each repetition is written out.
MAX_LENGTH = 1000
MAX_REPETITIONS = 1000
MAX_EXPANDED = 10_000

_TOKEN = re.compile(
    r"""
      "(?P<quoted>[^"]*)"
    | \\(?P<escaped>[^a-zA-Z0-9])
    | \[(?P<negated>\^?)(?P<members>(?:\\[^a-zA-Z0-9]|[^\]\\])+)\]
    | (?P<repeat>[?*+]|\{(?P<low>[0-9]{1,4})(?:,(?P<high>[0-9]{0,4}))?\})
    | (?P<open>\()
    | (?P<same>[|).])
    | (?P<anything>@)
    | (?P<literal>[^"\\\[\]{}~&<>\#])
    """,
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(r"\\?(?P<first>.)(?:-\\?(?P<last>.))?", re.DOTALL)


def translate(pattern: object) -> str:
    """Returns the pattern in RE2's syntax. Raises :class:`BadRequest`."""
    if not isinstance(pattern, str) or len(pattern) > MAX_LENGTH:
        raise _refused(pattern, f"it is no text of at most {MAX_LENGTH} characters")
    position, parts, repeated, depth = 0, [], True, 0
    counts = [1]
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        if not match:
            raise _refused(pattern, f"{shown(pattern[position:])} is not supported")
        if match["repeat"]:
            if repeated:
                raise _refused(pattern, f"{match['repeat']} repeats nothing, or a repetition")
            low = int(match["low"] or 1)
            counts.append(max(low, int(match["high"] or low)))
            if int(match["high"] or low) < low:
                raise _refused(pattern, f"{match['repeat']} is no range")
        depth += (match["open"] is not None) - (match[0] == ")")
        if depth < 0:
            break
        repeated = bool(match["repeat"] or match["open"] or match["same"] == "|")
        parts.append(_translated(match))
        position = match.end()
    if depth:
        raise _refused(pattern, "its parentheses do not match")
    repetitions = math.prod(filter(None, counts))
    if repetitions > MAX_REPETITIONS or repetitions * len(pattern) > MAX_EXPANDED:
        raise _refused(pattern, "it is too large with its repetitions written out")
    return f"(?s:{''.join(parts)})"


def _translated(match: re.Match[str]) -> str:
    if match["members"]:
        return f"[{match['negated']}{_members(match)}]"
    if match["open"]:
        return "(?:"
    if match["anything"]:
        return "(?:.*)"
    if match["repeat"] or match["same"]:
        return match[0]
    return f"(?:{re.escape(match['quoted'])})" if match["quoted"] is not None else re.escape(
        match["escaped"] or match["literal"]
    )


def _members(match: re.Match[str]) -> str:
    """Returns the members of a character class, each as its number, so that none is special."""
    members = []
    for one in _MEMBER.finditer(match["members"]):
        first, last = ord(one["first"]), ord(one["last"] or one["first"])
        if first > last:
            raise _refused(match.string, f"{one[0]} is no range")
        members.append(f"\\x{{{first:x}}}-\\x{{{last:x}}}")
    return "".join(members)


def _refused(pattern: object, why: str) -> BadRequest:
    return BadRequest(
        f"cannot use the regular expression {shown(pattern)}: {why}", "illegal_argument_exception"
    )
