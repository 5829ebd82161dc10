"""The options that commands share, as types of their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "AsJson",
    "Backward",
    "Batch",
    "Channels",
    "Config",
    "DState",
    "Dim",
    "Dtype",
    "Groups",
    "Heads",
    "Length",
    "Model",
    "Op",
    "Options",
    "Poles",
    "Rank",
    "SeqLen",
    "Shapes",
    "Storage",
    "TargetName",
    "Tokens",
    "Width",
]


def _size(flag: str, meaning: str, default: str) -> Any:
    return typer.Option(
        flag, min=1, metavar="N", help=meaning, show_default=default, rich_help_panel="Problem"
    )


DState = Annotated[int | None, _size("--d-state", "States per channel of a selective scan.", "16")]
Batch = Annotated[int | None, _size("--batch", "Sequences.", "1")]
Dim = Annotated[int | None, _size("--dim", "Channels.", "1536; S4's ops 512")]
SeqLen = Annotated[
    int | None,
    _size(
        "--seqlen",
        "Steps L; the nodes of cauchy_mult are L/2 + 1.",
        "2048; cauchy_mult 8192; dplr_kernel 4096",
    ),
]
Groups = Annotated[int | None, _size("--groups", "Groups of channels that share B and C.", "1")]
Heads = Annotated[
    int | None, _size("--heads", "Heads of selective_state_update; --dim is then that of a head.", "1")
]
Tokens = Annotated[int | None, _size("--tokens", "Tokens of one call of an update of a state.", "1")]
Poles = Annotated[int | None, _size("--poles", "Poles of S4's ops: pairs of them, half of S4's N.", "32")]
Rank = Annotated[int | None, _size("--rank", "Rank of P and Q of dplr_kernel: 1 for LegS, 2 for LegT.", "1")]
Channels = Annotated[int | None, _size("--channels", "Rows of C of dplr_kernel.", "1")]
Width = Annotated[int | None, _size("--width", "Taps of causal_conv1d and its update.", "4")]
Length = Annotated[int | None, _size("--length", "Steps that the state of causal_conv1d_update keeps.", "4")]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="fp32, bf16, fp16 or fp64, of linear_scan also c64 and c128; S4's ops take the complex one.",
        show_default="fp32; bf16 on a GPU",
        rich_help_panel="Problem",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME[=VALUE]",
        help="An option of the op: D, z, softplus, layout=channel, ...; repeatable.",
        show_default=False,
        rich_help_panel="Problem",
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="TEXT",
        help="This config, written as `ssmgen list` writes it.",
        show_default="the one that runs",
    ),
]
Shapes = Annotated[
    Path | None,
    typer.Option(
        "--shapes",
        metavar="FILE",
        help='Problems of a file, one on each line: {"op": "selective_scan", "dim": 1536, "training": true}.',
        show_default=False,
        rich_help_panel="Problem",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Problems that a published model runs: mamba-130m to -2.8b, mamba2-130m, s4-lra, ...; "
        "of sizes only --batch and --seqlen are then taken.",
        show_default=False,
        rich_help_panel="Problem",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Share trials with other machines of this kind: postgresql://..., or a file that all can reach.",
        show_default="a journal of this machine",
    ),
]
Backward = Annotated[bool, typer.Option("--backward", help="The gradients' kernel of a training call.")]
Op = Annotated[
    str,
    typer.Argument(
        help="The op, as `ssmgen list` names it: selective_scan, cauchy_mult, ...", show_default=False
    ),
]
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="cpu, cuda, hip, interpret, or a GPU that is only named: sm_90, gfx942, h100, ...",
        show_default="SSMGEN_TARGET, else the GPU, else the CPU",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, errors included, on standard output and no progress.")
]
