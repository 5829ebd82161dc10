"""Problems described by fields: in a mapping, or in a file that has one on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ssmgen.device import DeviceFacts
from ssmgen.errors import InvalidInputError, SsmgenError, unknown
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.request import Request, sizes_of

__all__ = ["Fields", "Wanted", "read_shapes", "wanted"]

Fields = Mapping[str, object]


class Wanted(NamedTuple):
    """A forward problem, and whether its gradients are wanted, too."""

    problem: Problem
    training: bool


def wanted(fields: Fields, facts: DeviceFacts, *, training: bool = False) -> Wanted:
    """What fields describe.

    Args:
        fields: The `op` and, where they are not what `ssmgen tune` takes by default, sizes (`batch`, `dim`, `seqlen`,
            `d_state`, ...), `dtype`, options and `training`.
        facts: The device, on which the default dtype depends.
        training: Whether gradients are wanted where the fields do not say.

    Raises:
        InvalidInputError: There is no op, or a value does not fit.
        UnknownNameError: There is no such op, dtype or field.
    """
    given = dict(fields)
    if "op" not in given:
        raise InvalidInputError(f"a problem needs its 'op'; {given!r} has none.")
    face = interface(str(given.pop("op")))
    trains = bool(given.pop("training", training))
    dtype = given.pop("dtype", None)
    options = {name: given.pop(name) for name in face.options if name in given}
    texts = [f"{name}={str(value).lower()}" for name, value in options.items()]
    known = {*face.dims, *sizes_of(face.op)}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"field of {face.op}", name, ("training", "dtype", *known, *face.options))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidInputError(f"{name} of {face.op} must be a size of at least 1, not {value!r}.")
    sizes: dict[str, int] = given  # type: ignore[assignment]
    request = Request(sizes, None if dtype is None else str(dtype), texts)
    (problem,) = request.problems([face.op], facts)
    return Wanted(
        problem.with_dims(**{name: size for name, size in sizes.items() if name in face.dims}), trains
    )


def read_shapes(path: Path, facts: DeviceFacts, *, training: bool = False) -> tuple[Wanted, ...]:
    """The problems of a file that has an object of fields, in JSON, on each line.

    Empty lines, and those that start with #, are passed over.

    Args:
        path: The file.
        facts: See `wanted`.
        training: See `wanted`.

    Raises:
        InvalidInputError: The file cannot be read, has no problem, or a line that is none; the message has its number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read as text: {error}.") from error
    found = []
    for number, fields in _objects(path, text):
        try:
            found.append(wanted(fields, facts, training=training))
        except SsmgenError as error:
            raise InvalidInputError(f"{path}, line {number}: {error}") from error
    if not found:
        raise InvalidInputError(f'{path} has no problem; write one on a line: {{"op": "selective_scan"}}.')
    return tuple(found)


def _objects(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    # Not `splitlines`, which breaks lines at characters that JSON allows within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(
                f"{path}, line {number}: no JSON ({error}); "
                'write an object on one line: {"op": "selective_scan", "dim": 1536}.'
            ) from error
        if not isinstance(data, dict):
            raise InvalidInputError(
                f"{path}, line {number}: an object of fields is wanted, not {line.strip()!r:.60}."
            )
        yield number, data
