"""Which seeds serve which purpose, in one place, so that no evaluation runs on what was trained on."""

EVALUATION = range(0, 1_000_000)
"""Published figures, the demo and the bench."""
VALIDATION = range(1_000_000, 2_000_000)
"""Choosing gains, checkpoints and settings."""
TRAINING = range(10_000_000, 20_000_000)
"""Recording data to train on."""
