"""Spinal: the software between a learned policy and the motors.

The folders beside this package are its rooms: ``spinal.runtime``, ``spinal.drivers``,
``spinal.native``, ``spinal.launch`` and ``spinal.bench``. ``runtime/README.md`` walks one
action through them.
"""

__version__ = "0.1.0"
