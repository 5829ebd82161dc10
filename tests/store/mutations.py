"""Files of tuned configs as accidents and attackers leave them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["mutated"]

_STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, -0.0, 1e-320, 1e308, 0.5, float("nan"), float("inf")),
    *(
        "",
        " ",
        "\x00",
        "\x1b[2J",
        "\ud800",
        "é",
        "a" * 10_000,
        "../../etc/passwd",
        "/dev/zero",
        "linear_scan",
    ),
    *("{{ 7 * 7 }}", "{% include '/etc/passwd' %}", "__import__('os').system('true')", "*/ #include <x>"),
    *("channels(lanes=16,tile=64)", "channels(lanes=1e9)", "channels(tile=99999999)", "x(y={{z}})", "x()y"),
    *([], {}, [[]], [None] * 100, {"schema": 1}, {"__class__": "Config"}, {"op": "linear_scan"}),
)
_PIECES = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[" * 2000,
    b'"',
    b",",
    b"NaN",
    b"1e999",
    b"\\u0000",
    b"\\",
)


def mutated(text: str, chance: random.Random) -> bytes:
    """The text after one to four mutations of its data, or of its bytes."""
    if chance.random() < 0.5:
        data = json.loads(text)
        for _ in range(chance.randint(1, 4)):
            data = _replaced(data, chance)
        return json.dumps(data).encode("utf-8", "surrogatepass")
    content = text.encode()
    for _ in range(chance.randint(1, 4)):
        content = chance.choice(_OF_BYTES)(content, chance)
    return content


def _replaced(data: Any, chance: random.Random) -> Any:
    """The data with one value, key or entry changed, anywhere in it."""
    data = {"": data}  # so that the whole has a place, too
    places: list[tuple[Any, Any]] = [(data, "")]
    for place, key in places:
        inner = place[key]
        if isinstance(inner, (dict, list)):
            places += [(inner, name) for name in (inner if isinstance(inner, dict) else range(len(inner)))]
    place, key = chance.choice(places)
    what = chance.random()
    if what < 0.1 and place is not data:
        del place[key]
    elif what < 0.2:
        if isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        elif place is not data:
            place[str(chance.choice(_STRANGE))] = place.pop(key)
    else:
        place[key] = copy.deepcopy(chance.choice(_STRANGE))
    return data[""]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    if not content:
        return content
    index = chance.randrange(len(content))
    return content[:index] + bytes([content[index] ^ 1 << chance.randrange(8)]) + content[index + 1 :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[end:] if chance.random() < 0.7 else content[:start]


def _repeated(content: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[start:]


def _inserted(content: bytes, chance: random.Random) -> bytes:
    index = chance.randrange(len(content) + 1)
    return content[:index] + chance.choice(_PIECES) + content[index:]


_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flipped, _cut, _repeated, _inserted)
