"""Measurements: every figure that the project publishes is made by a module of this folder."""
