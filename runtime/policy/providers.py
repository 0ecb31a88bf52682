"""What onnxruntime is told about each execution provider: [policy.options] in its words, and no other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from spinal.runtime.config.policy import EngineOptions

CUDA, TENSORRT, OPENVINO = "CUDAExecutionProvider", "TensorrtExecutionProvider", "OpenVINOExecutionProvider"
ON_DEVICE = {CUDA: "cuda", TENSORRT: "cuda"}
"""Providers whose tensors lie in a device's own memory, and that device's name."""
MIB = 1 << 20


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where built engines are kept: ``$XDG_CACHE_HOME/spinal/engines``, private to this user, made if need be."""
    cache = environ.get("XDG_CACHE_HOME", "")
    folder = (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "spinal" / "engines"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def with_options(providers: Sequence[str], options: EngineOptions) -> list[tuple[str, dict[str, str]]]:
    """``providers``, each with what it is told."""
    return [(name, _told(name, options)) for name in providers]


def device_of(provider: str, options: EngineOptions) -> tuple[str, int] | None:
    """(kind, number) of the device whose memory ``provider`` works in; None for the processor's."""
    kind = ON_DEVICE.get(provider)
    if kind is None:
        return None
    return kind, options.tensorrt.device if provider == TENSORRT else options.cuda.device


def _told(name: str, options: EngineOptions) -> dict[str, str]:
    if name == CUDA:
        cuda = options.cuda
        told = {"device_id": str(cuda.device), "enable_cuda_graph": str(int(cuda.graph))}
        return told | ({"gpu_mem_limit": str(cuda.memory_mib * MIB)} if cuda.memory_mib else {})
    if name == TENSORRT:
        rt = options.tensorrt
        told = {"device_id": str(rt.device), "trt_fp16_enable": str(rt.fp16)}
        told["trt_cuda_graph_enable"] = str(rt.graph)
        if rt.cache:
            folder = str(cache_directory())
            told |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": folder}
            told |= {"trt_timing_cache_enable": "True", "trt_timing_cache_path": folder}
        return told | ({"trt_max_workspace_size": str(rt.workspace_mib * MIB)} if rt.workspace_mib else {})
    if name == OPENVINO:
        told = {"device_type": options.openvino.device, "num_of_threads": str(options.openvino.threads)}
        return told | ({"cache_dir": str(cache_directory())} if options.openvino.cache else {})
    return {}
