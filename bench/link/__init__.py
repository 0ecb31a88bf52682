"""A planner's messages, and a bare echo of them: what `link` measures with."""
