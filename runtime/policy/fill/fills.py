"""All inputs of a model from one observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.native.tensor import TensorInput
from spinal.runtime.config.card import CardInput, Part, PolicyCard
from spinal.runtime.config.card.fed import FedCard
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import Meaning
from spinal.runtime.decode.normalise import scaling
from spinal.runtime.decode.units import JointUnits
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.fill.history import History
from spinal.runtime.policy.fill.memory import Memory
from spinal.runtime.policy.fill.plain import Fill, plain_fill
from spinal.runtime.policy.fill.sources import Sources
from spinal.runtime.policy.image import ImageInput
from spinal.runtime.types import Image, Observation

Array = NDArray[np.float64]


class Fills:
    """Puts an observation into the inputs of ``engine``. One thread; ``restart`` seeds a ``normal`` noise.

    ``meaning``: what the model's actions mean, for a prefix in its own numbers; a model beside a policy has none.
    ``robot``: for units that its file gives. Raises PolicyError for a card that this robot cannot feed.
    """

    def __init__(
        self,
        card: FedCard,
        engine: Engine,
        meaning: Meaning | None = None,
        robot: RobotConfig | None = None,
    ) -> None:
        self._card = card
        if meaning is None and isinstance(card, PolicyCard):
            meaning = Meaning(card, robot)
        self._meaning = meaning
        self._units = meaning.units if meaning else JointUnits(card.joints, robot.joints if robot else None)
        self._memory = Memory(card, engine)
        self._sources = Sources(card, robot, self._meaning, self._memory)
        self._histories: list[History] = []
        self.remembers = self._memory.used
        """Whether it needs to hear which answers were used (``accepted``)."""
        self._fills = [
            self._fill(tensor, engine.inputs[tensor.name])
            for tensor in card.inputs
            if tensor.name not in self._memory.recurrent | card.filled_by_head
        ]
        self._looks_back = self.remembers or bool(self._histories)
        self.restart(0)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._memory.restart(seed)
        for history in self._histories:
            history.forget()

    def fill(self, observation: Observation) -> None:
        """All inputs. Raises PolicyError when a goal or a picture is missing, or does not fit."""
        if self._looks_back and self._memory.broken(observation):
            for history in self._histories:
                history.forget()
        for fill in self._fills:
            fill(observation)

    def accepted(self, stamp_ns: int, actions: Array) -> None:
        """The answer to the observation at ``stamp_ns`` is used: ``actions`` [step, channel], the model's numbers.

        Raises PolicyError when the state that the model hands to itself is not finite.
        """
        self._memory.accepted(stamp_ns, actions)

    def _fill(self, tensor: CardInput, buffer: NDArray[Any]) -> Fill:
        if tensor.stream.startswith("camera:"):
            return self._camera(tensor, buffer)
        whole = self._meaning is not None and self._meaning.plain
        as_it_is = whole or (self._units.plain and tensor.stream != "prefix")
        if as_it_is and buffer.dtype == np.float32:
            plain = plain_fill(tensor, self._card, TensorInput(buffer), self._memory)
            if plain is not None:
                return plain
        return self._general(tensor, buffer)

    def _general(self, tensor: CardInput, buffer: NDArray[Any]) -> Fill:
        """Each part's numbers one behind the other, then into the tensor's own type."""
        numbers = np.zeros(buffer.size)
        writers, at = [], 0
        for part in tensor.filled_by:
            of = f"input {tensor.name}" if part is tensor else f"input {tensor.name}, part {part.stream}"
            if part.source[0] in ("camera", "recurrent"):
                raise PolicyError(
                    f"{of} is a tensor of its own", hint="give it an entry in the card's inputs"
                )
            size, write = self._part(part, buffer.size - at, numbers[at:], of)
            writers.append(write)
            at += size
        if at != buffer.size:
            raise PolicyError(
                f"input {tensor.name} has {buffer.size} numbers, and its parts give {at}",
                hint="correct its shape in the card, or its parts",
            )
        shaped = numbers.reshape(buffer.shape)
        whole = scaling(tensor.normalise, numbers.size, f"input {tensor.name}") if tensor.parts else None

        def fill(observation: Observation) -> None:
            for write in writers:
                write(observation)
            if whole is not None:
                numbers[:] = whole.into(numbers)
            np.copyto(buffer, shaped, casting="unsafe")

        return fill

    def _part(self, part: Part, room: int, into: Array, of: str) -> tuple[int, Callable[[Observation], None]]:
        """Its numbers, with those before, and what writes them to the beginning of ``into``."""
        size, source = self._sources.of(part, max(1, room // part.history), of)
        scale = scaling(part.normalise, size, of)
        whole = size * part.history
        if whole > len(into):
            raise PolicyError(
                f"{of} gives {whole} numbers, and the tensor has room for {len(into)}",
                hint="correct its shape in the card",
            )
        place = into[:whole]
        if part.history == 1:

            def write(observation: Observation) -> None:
                numbers = source(observation)
                place[...] = numbers if scale is None else scale.into(numbers)

            return size, write
        step_ms = part.history_step_ms or self._card.chunk.step_ms
        history = History(part.history, round(step_ms * 1e6), (size,))
        self._histories.append(history)
        rows = place.reshape(part.history, size)

        def write_all(observation: Observation) -> None:
            numbers = source(observation)
            history.take(observation.stamp_ns, numbers if scale is None else scale.into(numbers), rows)

        return whole, write_all

    def _camera(self, tensor: CardInput, buffer: NDArray[Any]) -> Fill:
        name = tensor.source[1]
        most_ns = None if tensor.max_age_ms is None else round(tensor.max_age_ms * 1e6)

        def picture(observation: Observation) -> Image:
            image = observation.images.get(name)
            if image is None:
                raise PolicyError(f"camera {name}: no picture", hint="is it there, and does it answer?")
            age_ns = observation.stamp_ns - image.capture_ns
            if most_ns is not None and age_ns > most_ns:
                raise PolicyError(
                    f"camera {name}: its picture is {age_ns // 1_000_000} ms old",
                    hint="does it still answer?",
                )
            return image

        if tensor.history == 1:
            into = ImageInput(tensor, tensor, buffer)
            return lambda observation: into.put(picture(observation).pixels)
        if buffer.ndim != 5 or buffer.shape[:2] != (1, tensor.history):
            raise PolicyError(
                f"input {tensor.name} has the shape {list(buffer.shape)}",
                hint=f"a history of pictures is [1, {tensor.history}, ...]",
            )
        newest = np.zeros(buffer.shape[2:], buffer.dtype)
        one = ImageInput(tensor, tensor, newest)
        step_ns = round((tensor.history_step_ms or self._card.chunk.step_ms) * 1e6)
        history = History(tensor.history, step_ns, newest.shape, newest.dtype)
        self._histories.append(history)

        def fill(observation: Observation) -> None:
            one.put(picture(observation).pixels)
            history.take(observation.stamp_ns, newest, buffer[0])

        return fill
