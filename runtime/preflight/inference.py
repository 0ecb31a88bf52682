"""onnxruntime: one build of it, and providers that are there in truth and not only in its list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from spinal.runtime.preflight.finding import Finding, Status

TRY_LIMIT_S = 60.0
BUILDS = ("onnxruntime", "onnxruntime-gpu")
ON_GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")


def builds() -> Finding | None:
    """Whether two builds overwrite each other's files."""
    there = [name for name in BUILDS if _installed(name)]
    if len(there) <= 1:
        return None
    return Finding(
        "onnxruntime",
        Status.BAD,
        "onnxruntime and onnxruntime-gpu are both installed",
        "they share their files: the one that came last has removed the other's providers",
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
    )


def providers(model: Path) -> Finding:
    """On what ``model`` really runs. Takes seconds: each provider is tried with a session of its own.

    In a process of its own: a provider whose libraries are broken prints, and may crash.
    """
    try:
        return _tried(model)
    except subprocess.TimeoutExpired:
        return Finding(
            "inference",
            Status.BAD,
            f"onnxruntime did not load a small model in {TRY_LIMIT_S:.0f} s",
            "a policy's process would not become ready",
            "look at what keeps this computer busy, then at: python -c 'import onnxruntime'",
        )


def _tried(model: Path) -> Finding:
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(model)],
        capture_output=True,
        text=True,
        timeout=TRY_LIMIT_S,
        check=False,
    )
    try:
        tried = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding(
            "inference",
            Status.BAD,
            f"onnxruntime cannot be used: {last}",
            "no policy can run",
            "pip install --force-reinstall onnxruntime-gpu",
        )
    return judged(tried["version"], tried["usable"], tried["missing"])


def judged(version: str, usable: Sequence[str], missing: Sequence[str]) -> Finding:
    """The finding for providers that work, and those that are only listed."""
    fact = f"onnxruntime {version} runs on {_short(usable) or 'nothing'}"
    if missing:
        fact += f"; listed, and does not work: {_short(missing)}"
    if not usable:
        return Finding(
            "inference",
            Status.BAD,
            fact,
            "no policy can run",
            "pip install --force-reinstall onnxruntime-gpu",
        )
    if any(name in usable for name in ON_GPU):
        return Finding("inference", Status.GOOD, fact, "a network may run on the GPU")
    fix = (
        "if this computer has a GPU: install its driver, and the CUDA libraries of this build"
        if missing
        else ""
    )
    return Finding("inference", Status.NOTE, fact, "networks share the processors with the loop", fix)


def main() -> None:
    """Tries every listed provider with the model that the command line names; prints one line of JSON."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    listed, usable = ort.get_available_providers(), []
    for name in listed:
        try:
            session = ort.InferenceSession(sys.argv[1], options, providers=[name])
        except Exception:  # noqa: BLE001,S112  onnxruntime raises its own classes, and RuntimeError
            continue
        if session.get_providers()[0] == name:
            usable.append(name)
    missing = [name for name in listed if name not in usable]
    print(json.dumps({"version": ort.__version__, "usable": usable, "missing": missing}))


def _short(names: Sequence[str]) -> str:
    return ", ".join(name.removesuffix("ExecutionProvider") for name in names)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
