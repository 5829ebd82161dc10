"""The page of evidence, from lists of the code, its tests and its recordings: nothing of it is written by hand."""

from __future__ import annotations

import ast
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ssmgen.kernels import INTERFACES, variants
from ssmgen.store import is_current, read_file
from ssmgen.targets.devices import DEVICES

__all__ = ["evidence", "on_page_markdown"]

PLACE = "<!-- evidence -->"
ROOT = Path(__file__).parents[2]
# Compiles the default of every variant for these GPUs.
_COMPILES = ROOT / "tests" / "kernels" / "test_compile_sample.py"
# Compares the default of every variant with float64: C as compiled, Triton in the interpreter.
_VERIFIES = ROOT / "tests" / "kernels" / "test_every_variant.py"
Measured = Mapping[tuple[str, str], Counter[str]]  # by op and direction, problems on each device


def _literal(path: Path, name: str) -> tuple[str, ...]:
    """The constant of that name in a file of the tests, which is read and not run."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return tuple(ast.literal_eval(node.value))
    raise LookupError(f"{path} has no {name}")


def _configs(kinds: Iterable[str], evidence: str) -> Measured:
    """The shipped configs of current kernels."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for path in sorted((ROOT / "tuned_configs").glob("*/*.json")):
        for entry in read_file(path):
            if entry.evidence == evidence and entry.device.kind in kinds and is_current(entry):
                found[entry.problem.op, entry.problem.direction][entry.device.name] += 1
    return found


def _timed(kinds: Iterable[str]) -> Measured:
    """The points of recorded benchmarks at which this package's kernels were timed and right."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        for run in json.loads(path.read_text()).get("runs", {}).values():
            if run["machine"]["target"] not in kinds:
                continue
            for point in run["points"]:
                done = any(row["provider"] == "ssmgen" and row["status"] == "done" for row in point["rows"])
                modes = ("forward", "backward") if point["mode"] == "training" else (point["mode"],)
                for direction in modes if done else ():
                    found[point["op"], direction][run["machine"]["device"]] += 1
    return found


def _said(counts: Counter[str] | None, unit: str) -> str:
    if not counts:
        return "no"
    return "; ".join(f"{device}, {count} {unit}{'s' * (count > 1)}" for device, count in counts.items())


def _short(device: str) -> str:
    """A GPU by the name that `--target` takes, where it has one."""
    return next((f"`{name}`" for name, known in DEVICES.items() if known.name == device), device)


def _rows(language: str) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Op, direction, and the variants in a language, where the op has the direction."""
    for op, face in INTERFACES.items():
        for direction in ("forward", "backward") if face.has_gradients else ("forward",):
            names = [item.name for item in variants(op, language) if item.direction == direction]
            yield (op, direction), names


def _table(titles: list[str], rows: Iterable[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none: the reference"


def evidence() -> str:
    """The tables in Markdown: what was done with the kernels of each op, in C and in Triton.

    Raises:
        LookupError: A test that a column rests on is not where it was.
    """
    compiled = " and ".join(f"`{gpu}`" for gpu in _literal(_COMPILES, "GPUS"))
    verified = dict.fromkeys(("c", "triton"), "no") | dict.fromkeys(_literal(_VERIFIES, "LANGUAGES"), "yes")
    tuned, timed = _configs(("cpu",), "measured"), _timed(("cpu",))
    cpus = [
        [
            f"`{key[0]}`",
            key[1],
            _names(names),
            verified["c"] if names else "-",
            _said(timed.get(key), "problem") if names else "-",
            _said(tuned.get(key), "config") if names else "-",
        ]
        for key, names in _rows("c")
    ]
    gpus = ("cuda", "hip")
    predicted, measured, benched = _configs(gpus, "predicted"), _configs(gpus, "measured"), _timed(gpus)
    triton = [
        [
            f"`{key[0]}`",
            key[1],
            _names(names),
            verified["triton"] if names else "-",
            compiled if names else "-",
            ", ".join(map(_short, predicted.get(key, ()))) or "no" if names else "-",
            _said(measured.get(key, Counter()) + benched.get(key, Counter()), "problem") if names else "-",
        ]
        for key, names in _rows("triton")
    ]
    return "\n\n".join(
        (
            "## C kernels, on CPUs",
            _table(
                [
                    "op",
                    "direction",
                    "variants",
                    "verified",
                    "timed in the recorded benchmark",
                    "tuned configs that ship",
                ],
                cpus,
            ),
            "## Triton kernels, on GPUs",
            _table(
                [
                    "op",
                    "direction",
                    "variants",
                    "interpreted",
                    "compiled",
                    "predicted configs that ship",
                    "measured",
                ],
                triton,
            ),
        )
    )


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs's event: puts the tables in their place."""
    return markdown.replace(PLACE, evidence()) if PLACE in markdown else markdown
