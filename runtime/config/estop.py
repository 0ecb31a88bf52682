"""[estop]: hardware lines that stop the robot."""

from __future__ import annotations

from spinal.runtime.config.section import Section


class EstopSettings(Section):
    """[estop]: what is wired to this computer."""
