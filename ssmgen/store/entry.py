"""One tuned config: the choice, and the evidence for it, as a value and as JSON data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import InvalidInputError, SsmgenError
from ssmgen.kernels import interface, variants
from ssmgen.problem import Option, Problem

__all__ = ["EVIDENCE", "TunedConfig", "device_data", "problem_data", "read_device", "read_problem"]

EVIDENCE = ("measured", "predicted")


@dataclass(frozen=True)
class TunedConfig:
    """The best config found for a problem on a device.

    Attributes:
        problem: The exact problem it was tuned for; it serves the problem's whole class.
        config: The config.
        evidence: `measured` on the device, or `predicted` from the static model.
        seconds: Median time of one run.
        quartiles: First and third quartile of the time, in seconds; both `seconds` where it was predicted.
        default_seconds: Median time of the built-in default in the same run; None where it did not run.
        reference_seconds: Median time of the PyTorch reference in the same run; None where it was not timed.
        error: Relative error of each output against float64, by output; empty where it did not run.
        source_hash: Hash of the rendered source.
        versions: Version of everything that compiled and ran it, by name.
        device: The device; whether it is present is not recorded.
        threads: Threads that a CPU kernel ran with; None on a GPU.
        created: The day it was saved, UTC, as `2026-01-31`.
    """

    problem: Problem
    config: Config
    evidence: str
    seconds: float
    quartiles: tuple[float, float]
    default_seconds: float | None
    reference_seconds: float | None
    error: Mapping[str, float]
    source_hash: str
    versions: Mapping[str, str]
    device: DeviceFacts
    threads: int | None
    created: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", replace(self.device, present=False))

    @property
    def key(self) -> tuple[str, str]:
        """What a file holds one entry of: the problem class, on one arch."""
        return str(self.problem.problem_class()), self.device.arch

    def to_data(self) -> dict[str, Any]:
        """The entry as JSON data, its keys in the order in which people read them."""
        return {
            "problem_class": str(self.problem.problem_class()),
            "problem": problem_data(self.problem),
            "config": str(self.config),
            "evidence": self.evidence,
            "seconds": self.seconds,
            "quartiles": list(self.quartiles),
            "default_seconds": self.default_seconds,
            "reference_seconds": self.reference_seconds,
            "error": dict(sorted(self.error.items())),
            "source_hash": self.source_hash,
            "versions": dict(sorted(self.versions.items())),
            "device": device_data(self.device),
            "threads": self.threads,
            "created": self.created,
        }

    @staticmethod
    def from_data(data: object) -> TunedConfig:
        """The entry that `to_data` wrote. `problem_class` is there for people; it follows from the problem.

        Raises:
            InvalidInputError: A value is missing, of another type or out of its range.
        """
        try:
            return _parse(_mapping(data, "an entry"))
        except KeyError as error:
            raise InvalidInputError(f"{error.args[0]!r} is missing") from error
        except InvalidInputError:
            raise
        except SsmgenError as error:
            raise InvalidInputError(str(error)) from error
        except (OverflowError, ValueError) as error:
            # Integers of JSON know no bounds; floats do, and so does reading an integer from a config's text.
            raise InvalidInputError(f"a number is too large ({error})") from error


def problem_data(problem: Problem) -> dict[str, Any]:
    """A problem as JSON data."""
    return {
        "op": problem.op,
        "direction": problem.direction,
        "dtype": problem.dtype,
        "dims": dict(problem.dims),
        "options": dict(problem.options),
    }


def device_data(facts: DeviceFacts) -> dict[str, Any]:
    """A device as JSON data; whether it is present is not part of it."""
    return {item.name: getattr(facts, item.name) for item in fields(facts) if item.name != "present"}


def _parse(data: Mapping[str, Any]) -> TunedConfig:
    low, high = (_seconds(value, "quartiles") for value in _pair(data["quartiles"], "quartiles"))
    evidence = _text(data["evidence"], "evidence")
    if evidence not in EVIDENCE:
        raise InvalidInputError(f"evidence is {evidence!r}, not one of {', '.join(EVIDENCE)}")
    error = _mapping(data["error"], "error")
    versions = _mapping(data["versions"], "versions")
    problem, device = read_problem(data["problem"]), read_device(data["device"])
    return TunedConfig(
        problem=problem,
        config=_config(_text(data["config"], "config"), problem, device),
        evidence=evidence,
        seconds=_seconds(data["seconds"], "seconds"),
        quartiles=(low, high),
        default_seconds=_optional_seconds(data["default_seconds"], "default_seconds"),
        reference_seconds=_optional_seconds(data["reference_seconds"], "reference_seconds"),
        error={
            _text(name, "an output"): _number(value, f"error of {name!r}") for name, value in error.items()
        },
        source_hash=_text(data["source_hash"], "source_hash"),
        versions={
            _text(name, "a version"): _text(value, f"version of {name!r}") for name, value in versions.items()
        },
        device=device,
        threads=None if data["threads"] is None else _count(data["threads"], "threads"),
        created=_text(data["created"], "created"),
    )


def read_problem(value: object) -> Problem:
    """The problem that `problem_data` wrote, of an op that exists: options reach templates, so each must be listed.

    Raises:
        KeyError: A value is missing.
        SsmgenError: A value is of another type, or not one of the interface's.
    """
    data = _mapping(value, "problem")
    face = interface(_text(data["op"], "op"))
    dims, options = _mapping(data["dims"], "dims"), _mapping(data["options"], "options")
    if set(dims) != set(face.dims):
        raise InvalidInputError(f"{face.op} has the dims {', '.join(face.dims)}, not {', '.join(dims)}")
    if not set(options) <= set(face.options):
        raise InvalidInputError(
            f"{face.op} has the options {', '.join(face.options)}, not {', '.join(options)}"
        )
    # An option that came later than the file was off.
    options = {name: options.get(name, values[0]) for name, values in face.options.items()}
    if data["dtype"] not in face.dtypes:
        raise InvalidInputError(f"{face.op} has no dtype {data['dtype']!r}")
    if data["direction"] not in ("forward", "backward"):
        raise InvalidInputError(f"direction is {data['direction']!r}, not forward or backward")
    sizes = {name: _count(dims[name], name) for name in face.dims}
    chosen = {name: _option(name, options[name], face.options[name]) for name in face.options}
    return replace(Problem.of(face.op, sizes, data["dtype"], chosen), direction=data["direction"])


def _config(text: str, problem: Problem, device: DeviceFacts) -> Config:
    config = Config.parse(text)
    for variant in variants(problem.op, "c" if device.kind == "cpu" else "triton"):
        if (variant.name, variant.direction) == (config.variant, problem.direction):
            return variant.completed(config)
    return config


def _option(name: str, value: object, allowed: tuple[Option, ...]) -> Option:
    # 1 == True in Python, but not in a template.
    for item in allowed:
        if type(item) is type(value) and item == value:
            return item
    raise InvalidInputError(f"option {name} is {value!r}, not one of {', '.join(map(str, allowed))}")


def read_device(value: object) -> DeviceFacts:
    """The device that `device_data` wrote, not present.

    Raises:
        KeyError: A value is missing.
        InvalidInputError: A value is of another type, or out of its range.
    """
    data = _mapping(value, "device")
    return DeviceFacts(
        kind=_text(data["kind"], "kind"),
        name=_text(data["name"], "name"),
        arch=_text(data["arch"], "arch"),
        lanes=_count(data["lanes"], "lanes"),
        max_threads=_count(data["max_threads"], "max_threads"),
        max_registers=_count(data["max_registers"], "max_registers"),
        shared_bytes=int(_number(data["shared_bytes"], "shared_bytes")),
    )


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInputError(f"{what} is {value!r:.80}, not an object")
    return value


def _pair(value: object, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidInputError(f"{what} is {value!r:.80}, not a pair of numbers")
    return value


def _text(value: object, what: str) -> str:
    # It may be printed: no control characters, which a terminal would obey.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InvalidInputError(f"{what} is {value!r:.80}, not a printable text")
    return value


def _count(value: object, what: str) -> int:
    if type(value) is not int or value < 1:
        raise InvalidInputError(f"{what} is {value!r:.80}, not a positive integer")
    return value


def _number(value: object, what: str) -> float:
    if type(value) not in (int, float) or not (0 <= value < math.inf):  # type: ignore[operator]
        raise InvalidInputError(f"{what} is {value!r:.80}, not a finite number of at least 0")
    return float(value)  # type: ignore[arg-type]


def _seconds(value: object, what: str) -> float:
    seconds = _number(value, what)
    if seconds == 0:
        raise InvalidInputError(f"{what} is 0, not a time")
    return seconds


def _optional_seconds(value: object, what: str) -> float | None:
    return None if value is None else _seconds(value, what)
