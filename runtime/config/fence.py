"""[fence] and [kinematics]: where the arm may be, and how it is built."""

from __future__ import annotations

from spinal.runtime.config.section import Section


class FenceSettings(Section):
    """[fence]: the workspace, keep-out boxes and the arm's own links."""
