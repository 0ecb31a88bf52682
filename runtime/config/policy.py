"""[policy]: which model runs, how often, on what, and what else may run in its place or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from spinal.runtime.config.section import FILE_PATTERN, LABEL_PATTERN, PROVIDER_PATTERN, Name, Section

Provider = Annotated[str, Field(pattern=PROVIDER_PATTERN)]
Word = Annotated[str, Field(min_length=1, max_length=4096)]
FAR = 10
"""An inference that takes so many times what the card says is a fault."""


class CudaOptions(Section):
    """[policy.options.cuda]: for CUDAExecutionProvider."""

    device: int = Field(default=0, ge=0, le=63, description="which GPU, as CUDA counts them")
    graph: bool = Field(
        default=False,
        description="true: record the inference as a CUDA graph in the warm-up and replay it; every node must be"
        " on the GPU",
    )
    memory_mib: int | None = Field(
        default=None, ge=16, le=1 << 20, description="the most GPU memory that the arena may take, in MiB"
    )


class TensorRtOptions(Section):
    """[policy.options.tensorrt]: for TensorrtExecutionProvider. Built engines are kept in our cache directory."""

    device: int = Field(default=0, ge=0, le=63, description="which GPU, as CUDA counts them")
    fp16: bool = Field(default=False, description="true: half precision where TensorRT finds it faster")
    graph: bool = Field(default=False, description="true: record the inference as a CUDA graph and replay it")
    cache: bool = Field(default=True, description="true: keep built engines, so that a restart builds none")
    workspace_mib: int | None = Field(
        default=None, ge=16, le=1 << 20, description="the most memory that building may take, in MiB"
    )


class OpenVinoOptions(Section):
    """[policy.options.openvino]: for OpenVINOExecutionProvider."""

    device: Literal["CPU", "GPU", "NPU", "AUTO"] = Field(
        default="CPU", description="where it runs: CPU, GPU, NPU, or AUTO"
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads of an inference on the processor")
    cache: bool = Field(default=True, description="true: keep compiled models")


class EngineOptions(Section):
    """[policy.options]: how a model is run. The defaults leave the cores to the loop and the bus."""

    threads: int = Field(default=1, ge=1, le=64, description="threads of one inference, 1 to 64")
    spinning: bool = Field(
        default=False,
        description="true: threads that wait for work burn their core; only with cores to spare",
    )
    memory_mib: int = Field(
        default=4096,
        ge=16,
        le=1 << 20,
        description="the most memory that onnxruntime's arena may take in the policy process, in MiB",
    )
    cuda: CudaOptions = Field(default_factory=CudaOptions, description="for CUDAExecutionProvider")
    tensorrt: TensorRtOptions = Field(
        default_factory=TensorRtOptions, description="for TensorrtExecutionProvider"
    )
    openvino: OpenVinoOptions = Field(
        default_factory=OpenVinoOptions, description="for OpenVINOExecutionProvider"
    )


class EngineCommand(Section):
    """[policy.engines.<name>]: a process that runs models whose card names it. See runtime/policy/engines.md."""

    command: Annotated[tuple[Word, ...], Field(strict=False)] = Field(
        min_length=1,
        max_length=64,
        description="the program and its arguments; no shell reads it, and a card cannot name one",
    )
    deadline_ms: int = Field(
        default=500, ge=1, le=2000, description="an answer that takes longer counts as a hang: it is killed"
    )
    start_limit_s: float = Field(
        default=40.0, gt=0, le=600, description="how long it may take until its model is loaded and warm"
    )


class SwapSettings(Section):
    """[policy.swap]: how another model takes over while the robot runs."""

    folders: Annotated[tuple[Annotated[str, Field(pattern=FILE_PATTERN)], ...], Field(strict=False)] = Field(
        default=(),
        max_length=16,
        description="folders besides the model's own that a model may be taken from, each from / on",
    )
    shadow_steps: int = Field(
        default=25, ge=1, le=1000, description="observations that both models answer before the switch"
    )
    shadow_limit_s: float = Field(
        default=60.0, gt=0, le=600, description="how long that may take, loading included"
    )
    compared_actions: int = Field(
        default=5, ge=1, le=127, description="how many of a chunk's first actions are compared"
    )
    max_difference_rad: float = Field(
        default=0.25,
        gt=0,
        description="arm joints: a larger difference of an action refuses the model, in rad",
    )
    max_difference_m: float = Field(
        default=0.02, gt=0, description="grippers: a larger difference refuses the model, in m"
    )
    probation_s: float = Field(
        default=5.0, ge=0, le=600, description="how long the model before stays ready to take over again"
    )


class BlindSettings(Section):
    """[policy.ab]: a second model, and a coin for each goal that says which of the two runs."""

    model: str = Field(
        min_length=1, max_length=4096, description="the other ONNX file, relative to the robot file"
    )
    seed: int | None = Field(
        default=None, ge=0, le=2**32 - 1, description="of the coins; drawn at the start when absent"
    )


class ResidualSettings(Section):
    """[policy.residual]: a small model that corrects the policy's answers on fresh observations."""

    model: str = Field(
        min_length=1,
        max_length=4096,
        description="the ONNX file of a model whose card says residual",
    )
    max_share: float = Field(
        default=0.25,
        gt=0,
        le=20,
        description="the most that it may move a joint's target, as a share of what the joint travels in a policy"
        " period at its velocity limit; the rest is cut off and counted",
    )
    hz: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="how often it corrects; above policy.hz the newest chunk is corrected again while the policy"
        " thinks; without, once for each of the policy's answers",
    )


class DetectorSettings(Section):
    """[policy.detector]: a model that looks on, and says how it goes."""

    model: str = Field(
        min_length=1,
        max_length=4096,
        description="the ONNX file of a model whose card says detector",
    )
    hz: float | None = Field(
        default=None, gt=0, le=200, description="how often it looks, at most; without, in every policy step"
    )
    hold_on: Annotated[tuple[Annotated[str, Field(pattern=LABEL_PATTERN)], ...], Field(strict=False)] = Field(
        default=(),
        max_length=16,
        description='verdicts at which the policy stops answering, so that the robot holds, e.g. ["failure"]',
    )


class PolicySettings(Section):
    """[policy]: which model runs, how often, and on what."""

    model: str = Field(min_length=1, description="the ONNX file, relative to the robot file")
    hz: int = Field(default=50, ge=1, le=200, description="policy steps per second, 1 to 200")
    providers: Annotated[tuple[Provider, ...], Field(strict=False)] = Field(
        default=("CPUExecutionProvider",),
        min_length=1,
        max_length=8,
        description='onnxruntime execution providers, best first, e.g. ["CPUExecutionProvider"]',
    )
    allow_provider_fallback: bool = Field(
        default=False,
        description="true to run on a later provider when the first is not there, or does not take most of the"
        " model",
    )
    nice: int = Field(default=0, ge=-20, le=19, description="nice value of the policy process, -20 to 19")
    keep_alive_ms: int = Field(
        default=200,
        ge=0,
        le=60_000,
        description="while there is nothing to answer, the model runs so often, so that caches and clocks stay"
        " warm, in ms; 0 for never",
    )
    options: EngineOptions = Field(default_factory=EngineOptions, description="how a model is run")
    engines: Mapping[Name, EngineCommand] = Field(
        default_factory=dict, max_length=16, description="processes that run models whose card names them"
    )
    swap: SwapSettings = Field(
        default_factory=SwapSettings, description="how another model takes over while the robot runs"
    )

    ab: BlindSettings | None = Field(
        default=None, description="another model to be compared with, blind, goal by goal"
    )
    residual: ResidualSettings | None = Field(
        default=None, description="a small model that corrects the policy's answers"
    )
    detector: DetectorSettings | None = Field(default=None, description="a model that says how it goes")

    @property
    def period_ns(self) -> int:
        """Nanoseconds between two policy steps."""
        return round(1_000_000_000 / self.hz)
