"""Who fills which input of a model, settled once when the policy is loaded.

``fills.py``: all inputs. ``sources.py``: what each stream says. ``history.py``: what it said before. ``memory.py``:
what the model itself said. ``plain.py``: the inputs that need nothing of all this, natively.
"""

from spinal.runtime.policy.fill.fills import Fills

__all__ = ["Fills"]
