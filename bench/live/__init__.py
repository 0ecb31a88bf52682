"""The supervised robot from outside: what `reaction`, `link`, `start` and `memory` measure with."""
