"""How long to wait for the worker before it hangs."""

from __future__ import annotations

__all__ = ["Patience"]

_HANGS_AFTER = 20.0  # times as long as the longest that was answered
# The first config gets some time even of a tiny budget: there has to be something to save.
_FIRST_GRACE = 10.0


class Patience:
    """How long to wait for requests of one kind, learnt from those that were answered."""

    def __init__(self, fewest: float, most: float) -> None:
        """Wait between so many seconds."""
        self._fewest, self._most = fewest, most
        self._longest: float | None = None

    def learn(self, seconds: float) -> None:
        """A request was answered after so many seconds."""
        self._longest = max(seconds, self._longest or 0.0)

    @property
    def hangs(self) -> float:
        """Seconds after which a request hangs, whatever is left of the budget."""
        if self._longest is None:
            return self._most
        return max(self._fewest, min(self._most, _HANGS_AFTER * self._longest))

    def limit(self, left: float) -> tuple[float, bool]:
        """Seconds to wait, and whether they are fewer than it deserves because only `left` are left of the budget.

        What is in flight when the budget ends may finish in its usual time.
        """
        usual = _FIRST_GRACE if self._longest is None else max(1.0, 2.0 * self._longest)
        allowed = max(left, 0.0) + usual
        return (self.hangs, False) if self.hangs <= allowed else (allowed, True)
