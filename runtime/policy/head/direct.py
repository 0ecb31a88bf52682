"""A graph that answers at once."""

from __future__ import annotations

from collections.abc import Iterator

from spinal.runtime.decode.decoder import Answer
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.head.head import Array, Guide, Partial


class DirectHead:
    """One run of one graph. A graph that takes a prefix or noise finds them among its inputs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answer(self, guide: Guide | None, noise: Array | None = None) -> Answer:
        """Nothing can be said to it from here."""
        if guide is not None:
            raise PolicyError(
                f"a graph that answers at once takes no guide of the kind {guide.kind}",
                hint="guidance needs the flow looped from outside: see kind = flow of the card's decoder",
            )
        self._engine.run()
        return self._engine.outputs

    def stream(self, guide: Guide | None, noise: Array | None = None) -> Iterator[Partial]:
        """All at once."""
        answer = self.answer(guide, noise)
        yield Partial(answer, len(next(iter(answer.values()))[0]))

    def restart(self, seed: int) -> None:
        """Nothing is kept."""
