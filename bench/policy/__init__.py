"""Inference through the runtime beside bare onnxruntime: what `policy` measures with."""
