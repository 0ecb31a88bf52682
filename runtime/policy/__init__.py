"""Observation -> ONNX -> decode -> waypoints, at the policy's rate, in a process of its own."""
