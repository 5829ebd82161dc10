"""An explanation on paper: the configs side by side, the launches of the chosen one, what is left out; and as data."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssmgen.advice import tune_command
from ssmgen.config import Config
from ssmgen.model import LaunchCost, resident_blocks
from ssmgen.report.explanation import Explanation, Row
from ssmgen.report.wording import milliseconds, problem_text
from ssmgen.targets.devices import Device

__all__ = ["explanation_data", "print_explanation"]


def print_explanation(found: Explanation, console: Console) -> None:
    """Print tables that are readable from 80 columns up."""
    console.print(Text(problem_text(found.problem), "bold"))
    console.print(Text.assemble(("chosen   ", "cyan"), found.choice.reason), soft_wrap=True)
    if found.fallback is None:
        without = "nothing else is tuned for it here: a default would serve"
    else:
        match = found.fallback
        away = f"{match.distance:.1f} doublings away" if match.distance else "the same sizes"
        where = f"{problem_text(match.entry.problem)} on {match.entry.device.name}"
        without = f"{match.entry.config}, tuned for {where}, {away}"
    console.print(Text.assemble(("without  ", "cyan"), without), soft_wrap=True)
    console.print()
    _print_rivals(found, console)
    if found.device is not None and found.rows[0].cost is not None:
        console.print()
        _print_launches(found, found.device, console)
    rules = found.rules()
    if rules:
        console.print()
        table = _table("left out", "configs", "because")
        for variant, rule, count, reason in rules:
            table.add_row(f"{variant}: {rule}", str(count), reason)
        console.print(table)
    console.print()
    if found.unknown:
        why = (
            "not compiled for want of time"
            if found.device
            else f"never timed here; to do so: {tune_command(found.problem)}"
        )
        console.print(f"Rivals of unknown time: {found.unknown}, {why}.", style="yellow", soft_wrap=True)
    if found.device is not None:
        console.print(
            f"* predicted for {found.device.name} from machine code: no GPU has confirmed it.",
            style="dim",
        )


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        last = number == len(headings) - 1
        # Configs and reasons wrap; numbers do not.
        table.add_column(heading, no_wrap=number != 0 and not last, overflow="fold")
    return table


def _print_rivals(found: Explanation, console: Console) -> None:
    chosen = found.rows[0]
    table = _table("config", "time", "", "error", "limit", "regs", "slots", "MUFU", "bytes")
    for column in (1, 2, 3, 5, 6, 7, 8):
        table.columns[column].justify = "right"
    for row in found.rows:
        table.add_row(
            _name(row.config, chosen.config),
            _time(row),
            _against(row, chosen),
            _error(row),
            *_cost_cells(row, found.device),
            style="bold" if row is chosen else "",
        )
    console.print(table)
    for row in found.rows:
        if row.failure is not None:
            console.print(f"{_name(row.config, chosen.config)}: {row.failure}", style="yellow")
    console.print(
        "slots, MUFU: instructions of a lane for each state element, loops and all; bytes: to and from memory.",
        style="dim",
    )


def _name(config: Config, chosen: Config) -> str:
    """The config, or only how it differs from the chosen one; broken at its params where a line is too short."""
    if config == chosen or config.variant != chosen.variant:
        return str(config).replace(",", ", ")
    mine, theirs = dict(config.params), dict(chosen.params)
    return ", ".join(f"{name}={value}" for name, value in mine.items() if theirs.get(name) != value)


def _time(row: Row) -> str:
    if row.seconds is None:
        return "-"
    return milliseconds(row.seconds) + ("" if _is_measured(row) else " *")


def _is_measured(row: Row) -> bool:
    return row.measured is not None and row.measured.timing is not None


def _against(row: Row, chosen: Row) -> str:
    if row.seconds is None or chosen.seconds is None:
        return ""
    return f"{row.seconds / chosen.seconds:.2f}x"


def _error(row: Row) -> str:
    errors = row.measured.error.values() if row.measured is not None else ()
    return f"{max(errors):.0e}" if errors else "-"


def _cost_cells(row: Row, device: Device | None) -> list[str]:
    if row.cost is None or device is None:
        return ["-"] * 5
    heaviest = row.cost.heaviest
    spills = row.cost.spills
    registers = f"{heaviest.registers}" + (f" +{spills} spills" if spills else "")
    if not row.cost.is_accounted_for:
        return ["-", registers, "-", "-", "-"]
    return [
        row.cost.limit(device),
        registers,
        f"{row.cost.per_element(device.core):.1f}",
        f"{row.cost.per_element(device.core, 'mufu'):.2f}",
        f"{row.cost.bytes_per_element:.2f}",
    ]


def _print_launches(found: Explanation, device: Device, console: Console) -> None:
    row = found.rows[0]
    assert row.cost is not None
    table = _table("launch", "blocks", "warps", "regs", "shared", "busy", "waves", "time *", "limit")
    for column in range(1, 8):
        table.columns[column].justify = "right"
    for launch, prediction in zip(row.cost.launches, row.cost.predictions(device), strict=True):
        table.add_row(
            launch.function,
            f"{launch.blocks:,}",
            f"{launch.warps} of {prediction.resident * device.core.partitions:.0f}",
            str(launch.registers),
            f"{launch.shared:,}",
            f"{100 * prediction.occupied:.0f}%",
            str(prediction.waves),
            *(("-", "-") if launch.unexplained else (milliseconds(prediction.seconds), prediction.limit)),
        )
    console.print(table)
    for reason in row.cost.unexplained:
        console.print(f"not accounted for: {reason}", style="yellow")


def explanation_data(found: Explanation) -> dict[str, Any]:
    """The explanation as JSON data."""
    return {
        "problem": str(found.problem),
        "target": found.target.name,
        "device": found.device.name if found.device else found.target.facts.name,
        "chosen": str(found.choice.config),
        "reason": found.choice.reason,
        "fallback": None
        if found.fallback is None
        else {
            "config": str(found.fallback.entry.config),
            "problem": str(found.fallback.entry.problem),
            "device": found.fallback.entry.device.name,
            "how": found.fallback.how,
            "doublings": found.fallback.distance,
        },
        "configs": [_row_data(found, row) for row in found.rows],
        "excluded": [
            {"variant": variant, "rule": rule, "configs": count, "reason": reason}
            for variant, rule, count, reason in found.rules()
        ],
        "unknown": found.unknown,
    }


def _row_data(found: Explanation, row: Row) -> dict[str, Any]:
    device = found.device
    data: dict[str, Any] = {
        "config": str(row.config),
        "measured_seconds": row.measured.seconds if row.measured is not None and _is_measured(row) else None,
        "predicted_seconds": row.predicted,
        "error": dict(row.measured.error) if row.measured is not None else {},
        "failure": row.failure,
    }
    if row.cost is None or device is None:
        return data
    predictions = row.cost.predictions(device)
    return data | {
        "limit": row.cost.limit(device),
        "slots_per_element": row.cost.per_element(device.core),
        "pipes_per_element": {
            pipe: row.cost.per_element(device.core, pipe) for pipe in sorted(device.core.cycles)
        },
        "bytes_per_element": row.cost.bytes_per_element,
        "not_accounted_for": list(row.cost.unexplained),
        "launches": [
            _launch_data(launch, device)
            | {
                "predicted_seconds": prediction.seconds,
                "limit": prediction.limit,
                "bounds_seconds": prediction.bounds,
                "waves": prediction.waves,
                "occupied": prediction.occupied,
            }
            for launch, prediction in zip(row.cost.launches, predictions, strict=True)
        ],
    }


def _launch_data(launch: LaunchCost, device: Device) -> dict[str, Any]:
    return {
        "function": launch.function,
        "blocks": launch.blocks,
        "warps": launch.warps,
        "registers": launch.registers,
        "spills": launch.spills,
        "shared_bytes": launch.shared,
        "atomics": launch.atomics,
        "barriers": launch.barriers,
        "resident_blocks": resident_blocks(launch, device.core),
        "instructions_of_a_warp": launch.pipes,
        "instructions_of_a_round": launch.main,
        "main_loop_share": launch.main_share,
        "cycles_alone": launch.alone,
        "read_bytes": launch.read,
        "written_bytes": launch.written,
    }
