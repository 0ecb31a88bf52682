"""Feetech STS servos: what their registers mean, in which units, and an emulated bus to develop against."""
