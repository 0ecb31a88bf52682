"""The policy card: what a model eats, what it answers, and for which joints. Nothing here needs onnxruntime."""

from spinal.runtime.config.card.actions import (
    MAX_STEPS,
    MIN_STEPS,
    CardJoint,
    CardOutput,
    ChunkShape,
    PoseSpec,
    PrefixConditioning,
    Recurrent,
)
from spinal.runtime.config.card.card import PolicyCard
from spinal.runtime.config.card.inputs import CardInput, ImageSpec, Part
from spinal.runtime.config.card.load import (
    PolicyFile,
    card_path,
    load_card,
    parse_card,
    parse_card_json,
    read_policy,
)
from spinal.runtime.config.card.normalise import Normalisation
from spinal.runtime.config.onnx_graph import CARD_KEY

__all__ = [
    "CARD_KEY",
    "MAX_STEPS",
    "MIN_STEPS",
    "CardInput",
    "CardJoint",
    "CardOutput",
    "ChunkShape",
    "ImageSpec",
    "Normalisation",
    "Part",
    "PolicyCard",
    "PolicyFile",
    "PoseSpec",
    "PrefixConditioning",
    "Recurrent",
    "card_path",
    "load_card",
    "parse_card",
    "parse_card_json",
    "read_policy",
]
