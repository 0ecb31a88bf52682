"""A camera's picture into a model's input: resized, laid out, scaled and normalised in one pass over its pixels."""

from spinal.runtime.policy.image.prepare import ImageInput

__all__ = ["ImageInput"]
