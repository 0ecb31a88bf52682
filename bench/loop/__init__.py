"""The native loop beside an empty one: what `tick`, `step` and `scale` measure with."""
