"""[reflexes]: from which measurements on a joint holds or stops by itself."""

from __future__ import annotations

from spinal.runtime.config.section import Section


class ReflexSettings(Section):
    """[reflexes]: thresholds for all joints."""
