"""The choices that make a kernel: variant, block sizes, unroll, ... as a value with a stable text form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ssmgen.errors import InvalidInputError

__all__ = ["Config", "Value"]

Value = bool | int | str

_TEXT = re.compile(r"(?P<variant>[a-z][a-z0-9_]*)(?:\((?P<params>[^()]*)\))?")
_PARAM = re.compile(r"(?P<name>[a-z][a-z0-9_]*)=(?P<value>[a-z0-9_.+-]+)")


@dataclass(frozen=True)
class Config:
    """One point of a space, e.g. `sequential(block_d=128,num_warps=1,unroll=4)`.

    Attributes:
        variant: The variant's name.
        params: (name, value) pairs, sorted by name.
    """

    variant: str
    params: tuple[tuple[str, Value], ...] = ()

    @staticmethod
    def of(variant: str, params: Mapping[str, Value]) -> Config:
        """A config from a mapping."""
        return Config(variant, tuple(sorted(params.items())))

    @staticmethod
    def parse(text: str) -> Config:
        """The config that `str` wrote; checks the form only: whether a space holds it is the space's affair.

        Raises:
            InvalidInputError: The text has another form.
        """
        match = _TEXT.fullmatch(re.sub(r"\s*([(),=])\s*", r"\1", text.strip()))
        if match is None:
            raise InvalidInputError(
                f"{text!r} is not a config; expected the form variant(name=value,...), "
                "e.g. sequential(block_d=128,unroll=4)."
            )
        params: dict[str, Value] = {}
        for part in filter(None, (match["params"] or "").split(",")):
            param = _PARAM.fullmatch(part)
            if param is None or param["name"] in params:
                raise InvalidInputError(f"{part!r} in config {text!r} is not a new name=value pair.")
            params[param["name"]] = _value(param["value"])
        return Config.of(match["variant"], params)

    def __getitem__(self, name: str) -> Value:
        for key, value in self.params:
            if key == name:
                return value
        raise KeyError(f"config {self} has no {name!r}")

    def integer(self, name: str) -> int:
        """The value of an integer param."""
        value = self[name]
        assert isinstance(value, int) and not isinstance(value, bool), f"{name}={value!r}"
        return value

    def __str__(self) -> str:
        params = ",".join(f"{name}={_text(value)}" for name, value in self.params)
        return f"{self.variant}({params})"


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    # No choice has more digits; what has stays a text, which no space holds.
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
