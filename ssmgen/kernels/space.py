"""The configs that are valid for a problem on a target, and the reasons why the others are not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import InvalidInputError, unknown
from ssmgen.kernels.variant import Variant
from ssmgen.problem import Problem

__all__ = ["Space"]


@dataclass(frozen=True)
class Space:
    """All configs of the given variants for one problem on one device.

    Attributes:
        problem: What must be computed.
        facts: The device.
        variants: The variants that support the problem, the default one first.
        configs: The valid configs of each variant's name, in the order of the choices.
        excluded: How many configs each rule left out, as {(variant, rule): count}.
    """

    problem: Problem
    facts: DeviceFacts
    variants: tuple[Variant, ...]
    configs: dict[str, tuple[Config, ...]]
    excluded: Counter[tuple[str, str]]

    @staticmethod
    def of(problem: Problem, facts: DeviceFacts, variants: Sequence[Variant]) -> Space:
        """Enumerate the product of every variant's choices and apply its rules, the first failing rule counting."""
        supported = tuple(variant for variant in variants if variant.supports(problem))
        configs: dict[str, tuple[Config, ...]] = {}
        excluded: Counter[tuple[str, str]] = Counter()
        for variant in supported:
            valid = []
            choices = variant.params(problem, facts)
            for values in itertools.product(*choices.values()):
                config = Config.of(variant.name, dict(zip(choices, values, strict=True)))
                rule = variant.broken_rule(problem, config, facts)
                if rule is None:
                    valid.append(config)
                else:
                    excluded[variant.name, rule.name] += 1
            configs[variant.name] = tuple(valid)
        return Space(problem, facts, supported, configs, excluded)

    def where(self, keeps: Callable[[Config], bool]) -> Space:
        """The same space with only the configs that are to be kept."""
        kept = {name: tuple(filter(keeps, configs)) for name, configs in self.configs.items()}
        return replace(self, configs=kept)

    def __len__(self) -> int:
        return sum(len(configs) for configs in self.configs.values())

    def __contains__(self, config: Config) -> bool:
        return config in self.configs.get(config.variant, ())

    def variant(self, config: Config) -> Variant:
        """The variant of a config.

        Raises:
            UnknownNameError: No variant of that name supports the problem.
        """
        for variant in self.variants:
            if variant.name == config.variant:
                return variant
        raise unknown("variant", config.variant, [variant.name for variant in self.variants])

    def default(self) -> Config:
        """The built-in default of the first variant."""
        return self.variants[0].default(self.problem, self.facts)

    def check(self, config: Config) -> Variant:
        """The config's variant, if the space holds the config.

        Raises:
            UnknownNameError: No such variant.
            InvalidInputError: A param is missing, unknown or out of its choices, or a rule excludes the config.
        """
        variant = self.variant(config)
        choices = variant.params(self.problem, self.facts)
        given = dict(config.params)
        if set(given) != set(choices):
            raise InvalidInputError(f"config {config} must name exactly {', '.join(sorted(choices))}.")
        for name, values in choices.items():
            # 1 == True in Python, and a config file may hold either: compare types too.
            if not any(value == given[name] and type(value) is type(given[name]) for value in values):
                allowed = ", ".join(str(value) for value in values)
                raise InvalidInputError(f"config {config}: {name} must be one of {allowed}.")
        rule = variant.broken_rule(self.problem, config, self.facts)
        if rule is not None:
            raise InvalidInputError(f"config {config} is excluded by rule {rule.name!r}: {rule.reason}.")
        return variant
