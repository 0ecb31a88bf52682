"""The seam benchmark: chunks that disagree, ways to execute them, and what is measured of the motion.

``feed`` makes the chunks, ``linear``, ``spline``, ``jerk_limited`` and ``spinal_loop`` execute them, ``smoothness``
and ``bandwidth`` measure. Everything is deterministic.
"""
