"""Settings: the robot file, the policy card, and whether the two and the wire can work together.

``load_robot`` and ``load_card`` read files; every class behind them is frozen. Numbers in, problems out:
nothing here opens a port or runs a model.
"""

from spinal.runtime.config.load import load_robot
from spinal.runtime.config.robot import RobotConfig

__all__ = ["RobotConfig", "load_robot"]
