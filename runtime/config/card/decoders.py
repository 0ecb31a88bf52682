"""How an answer becomes actions: a table for each decoder that is built in, and one for those of others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from spinal.runtime.config.section import FILE_NAME_PATTERN, SHA256_PATTERN, Name, Section

Edges = Literal["openvla", "rt1", "openpi"]


class GraphFile(Section):
    """A second graph beside the model, run once an observation: its outputs are inputs of the model by name."""

    file: str = Field(pattern=FILE_NAME_PATTERN, description="its file name, in the model's folder")
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] = Field(description="its SHA-256")


class ChunkDecoder(Section):
    """The output is the chunk: [1, steps, channels]."""

    kind: Literal["chunk"] = "chunk"


class EnsembleDecoder(Section):
    """Temporal ensembling of overlapping chunks (ACT, arXiv 2304.13705)."""

    kind: Literal["ensemble"]
    coefficient: float = Field(
        default=0.01,
        ge=-10,
        le=10,
        description="m of w_i = exp(-m i), i = 0 the oldest; below 0 favours the newest",
    )


class FastDecoder(Section):
    """Tokens of FAST (arXiv 2501.09747): byte-pair encoded DCT coefficients."""

    kind: Literal["fast"]
    tokenizer: str = Field(
        pattern=FILE_NAME_PATTERN,
        description="tokenizer.json of the byte-pair encoding, in the model's folder",
    )
    tokenizer_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] = Field(description="its SHA-256")
    scale: float = Field(default=10.0, gt=0, description="of the coefficients")
    min_token: int = Field(default=0, description="of the coefficients, as the processor's config says")
    max_token: int | None = Field(
        default=None, description="coefficients above it are refused; without, 2 scale sqrt(T)"
    )
    largest: float = Field(
        default=3.0,
        gt=0,
        description="an answer with a decoded number beyond it is refused; about 1 is usual, as actions are"
        " normalised to -1 to 1 between their quantiles",
    )
    from_vocabulary: int | None = Field(
        default=None, ge=1, description="a language model's vocabulary size: id = size - 1 - skipped - token"
    )
    skipped: int = Field(default=128, ge=0, description="ids at the vocabulary's end that are not used")
    pad: int | None = Field(default=None, description="the id behind which nothing follows")


class BeastDecoder(Section):
    """B-spline tokens (BEAST, arXiv 2506.06072): control points, straight into the trajectory."""

    kind: Literal["beast"]
    controls: int = Field(ge=2, le=64, description="control points of each channel")
    degree: int = Field(
        default=4, ge=0, le=5, description="of the arm joints' spline; grippers are steps (degree 0)"
    )
    levels: int = Field(default=256, ge=2, le=65536, description="values of a token; 0 to levels - 1")
    low: Annotated[tuple[float, ...], Field(strict=False)] = Field(
        min_length=1,
        max_length=8192,
        description="weight of token 0: one, or [channel, control point] flattened",
    )
    high: Annotated[tuple[float, ...], Field(strict=False)] = Field(
        min_length=1, max_length=8192, description="weight of token levels - 1, likewise"
    )
    from_vocabulary: int | None = Field(
        default=None, ge=1, description="a language model's vocabulary size: id = size - 1 - token"
    )


class BinsDecoder(Section):
    """One token a number (RT-1, RT-2, OpenVLA; openpi's binning)."""

    kind: Literal["bins"]
    edges: Edges = Field(
        default="openvla",
        description="openvla: centres of 255 bins between -1 and 1; rt1: token / 255 between low and high; openpi:"
        " token / 256 * 2 - 1",
    )
    from_vocabulary: int | None = Field(
        default=None, ge=1, description="a language model's vocabulary size: bin = size - id - 1"
    )
    low: float = Field(default=-1.0, description="for rt1")
    high: float = Field(default=1.0, description="for rt1")


class VqDecoder(Section):
    """Residual codes (VQ-BeT, arXiv 2403.03181): the summed vectors' decoded chunk plus the codes' offsets."""

    kind: Literal["vq"]
    logits: str = Field(min_length=1, max_length=200, description="output [1, layers, codes]")
    offsets: str = Field(
        min_length=1, max_length=200, description="output [1, layers, codes, steps * channels]"
    )
    table: str = Field(
        pattern=FILE_NAME_PATTERN,
        description="safetensors in the model's folder: codebooks [layers, codes, width], and the decoder's"
        " weight.K [out, in] and bias.K [out]",
    )
    table_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] = Field(description="its SHA-256")


class FlowDecoder(Section):
    """Flow matching, looped here: the model is one step x, t -> v. Guidance, prefix and streaming need this form.

    ``time_per_position``: t is [1, steps] and each position may stand elsewhere; without, t is [1].
    """

    kind: Literal["flow"]
    steps: int = Field(ge=1, le=100, description="Euler steps of an answer")
    noise_at: Literal[0, 1] = Field(
        description="the time at which x is noise: 1 for openpi and lerobot (v = noise - action), 0 for Kinetix"
        " and GR00T"
    )
    x: str = Field(min_length=1, max_length=200, description="input [1, chunk.steps, channels]")
    time: str = Field(min_length=1, max_length=200, description="input of the flow time")
    velocity: str = Field(min_length=1, max_length=200, description="output [1, chunk.steps, channels]")
    time_per_position: bool = Field(default=False, description="true: time is [1, chunk.steps], else [1]")
    noise_scale: float = Field(
        default=1.0, ge=0, le=10, description="of the normal noise that it begins from"
    )
    encoder: GraphFile | None = Field(default=None, description="run once an observation, before the steps")
    error: str | None = Field(
        default=None, description="input [1, chunk.steps, channels] of a vector-Jacobian product in the graph"
    )
    vjp: str | None = Field(
        default=None, description="its output: the error times the Jacobian of x + (1 - t) v"
    )


class DiffusionDecoder(Section):
    """Diffusion with DDIM (arXiv 2010.02502, eta 0) on a squared-cosine schedule, looped here."""

    kind: Literal["diffusion"]
    steps: int = Field(ge=1, le=200, description="denoising steps of an answer")
    train_steps: int = Field(default=100, ge=1, le=10000, description="of the schedule it was trained on")
    prediction: Literal["epsilon", "sample", "v_prediction"] = Field(
        default="epsilon", description="epsilon, sample or v_prediction"
    )
    clip: float | None = Field(default=1.0, gt=0, description="bound of the predicted sample")
    x: str = Field(min_length=1, max_length=200, description="input [1, chunk.steps, channels]")
    time: str = Field(min_length=1, max_length=200, description="input [1] of the step's number")
    output: str = Field(min_length=1, max_length=200, description="output [1, chunk.steps, channels]")
    encoder: GraphFile | None = Field(default=None, description="run once an observation, before the steps")


class OtherDecoder(Section):
    """A decoder that a package registers under ``spinal.decoders``."""

    kind: Literal["other"]
    name: Name = Field(description="as its package registers it")
    settings: dict[str, Any] = Field(default_factory=dict, description="what it is given")


DecoderSettings = Annotated[
    ChunkDecoder
    | EnsembleDecoder
    | FastDecoder
    | BeastDecoder
    | BinsDecoder
    | VqDecoder
    | FlowDecoder
    | DiffusionDecoder
    | OtherDecoder,
    Field(discriminator="kind"),
]
