"""[estop]: buttons and switches that are wired to this computer and stop the robot.

A line that cannot be read counts as pressed. Wire a button normally closed: an adapter's RTS through the button to
its CTS, and ``active = "low"``, so that a broken wire stops the robot as well.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spinal.runtime.config.section import FILE_PATTERN, Name, Section

MAX_LINES = 4

Active = Literal["low", "high"]
Path = Annotated[str, Field(pattern=FILE_PATTERN)]


class ModemLine(Section):
    """A modem line of a serial adapter that no bus uses."""

    name: Name = Field(description="what people call it, as the robot says it when it is pressed")
    kind: Literal["cts", "dsr", "dcd", "ri"] = Field(description="which of the adapter's lines")
    port: Path = Field(description="the adapter's device, such as /dev/ttyUSB1")
    active: Active = Field(
        default="low",
        description='the level that stops: "low" (a normally closed button; a broken wire stops too) or "high"',
    )

    @property
    def place(self) -> str:
        """The file behind it."""
        return self.port


class GpioLine(Section):
    """A file that says 0 or 1, such as a GPIO's value in sysfs."""

    name: Name = Field(description="what people call it, as the robot says it when it is pressed")
    kind: Literal["gpio"] = Field(description="a file that says 0 or 1")
    path: Path = Field(description="the file, such as /sys/class/gpio/gpio17/value")
    active: Active = Field(
        description='the level that stops: the one that a broken wire leads to, "low" or "high"'
    )

    @property
    def place(self) -> str:
        """The file behind it."""
        return self.path


class EstopSettings(Section):
    """[estop]: what is wired to this computer."""

    lines: Annotated[
        tuple[Annotated[ModemLine | GpioLine, Field(discriminator="kind")], ...], Field(strict=False)
    ] = Field(default=(), max_length=MAX_LINES, description="the lines, at most 4")
