"""Named architectures: facts that rules and configs may rely on."""

from __future__ import annotations

import pytest

from ssmgen.errors import UnknownNameError
from ssmgen.targets.architectures import ARCHITECTURES, architecture


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_facts_carry_the_table(name: str) -> None:
    facts = architecture(name)
    assert (facts.arch, facts.name, facts.present) == (name, name, False)
    assert facts.kind == ("cuda" if name.startswith("sm_") else "hip")
    assert facts.lanes == (64 if name.startswith("gfx9") else 32)
    assert facts.shared_bytes % 1024 == 0


def test_an_unknown_name_is_answered_with_a_close_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sm_90'"):
        architecture("sm90")
