"""The live robot under a load: ``python -m spinal.bench live [--load 2] [--seconds 60] [--hz 100]``.

Runs ``spinal demo`` headless, with its floor at the same time: an empty native loop of the servo's rate and
priority on the same machine. A load is that many busy processes at nice 0, not pinned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from spinal.bench.statistics import wilson
from spinal.runtime.config import load_robot

START_S = 6.0
"""The robot is up and the floor's first pages are touched."""


def add_parser(subparsers: Any) -> None:
    """Declares the suite."""
    parser = subparsers.add_parser("live", help="the live demo beside its floor, idle or under a load")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--load", type=int, default=0, help="busy processes beside it (default 0)")
    parser.add_argument("--hz", type=int, default=50, help="policy rate (default 50)")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--json", type=Path, help="keep the demo's own JSON, with its floor")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints a table; 1 when the demo failed."""
    with tempfile.TemporaryDirectory(prefix="spinal-bench-") as folder:
        figures = measure(args.seconds, args.load, args.hz, args.delay_ms, Path(folder))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    for line in table(figures):
        print(line)
    return 0 if figures["ok"] else 1


def measure(seconds: float, load: int, hz: int, delay_ms: float, folder: Path) -> dict[str, Any]:
    """The demo's figures, and ``floor`` from the same time. Raises CalledProcessError when it fails."""
    robot = robot_at(hz, folder)
    busy = [_start(["-c", "while True: pass"]) for _ in range(load)]
    output = folder / "demo.json"
    command = ["-m", "spinal.runtime.cli.main", "demo", "--headless", "--robot", str(robot)]
    command += ["--seconds", str(seconds), "--json", str(output), "--delay-ms", str(delay_ms)]
    servo_hz = load_robot(robot).control.servo_hz
    floor_command = ["-m", "spinal.bench.floor", "--seconds", str(max(1.0, seconds - START_S / 2))]
    try:
        floor = subprocess.Popen(
            [sys.executable, *floor_command, "--hz", str(servo_hz)], stdout=subprocess.PIPE, text=True
        )
        try:
            done = subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=False)
            measured, _ = floor.communicate(timeout=60)
        finally:
            floor.kill()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    if not output.exists():
        raise subprocess.CalledProcessError(done.returncode, command)
    figures: dict[str, Any] = json.loads(output.read_text())
    figures["floor"] = json.loads(measured)
    figures["load"] = load
    return figures


def robot_at(hz: int, folder: Path) -> Path:
    """The default simulated robot with its policy at ``hz``, as a file in ``folder``."""
    shipped = Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml"))
    model = load_robot(shipped).policy
    if model is None:
        raise ValueError("the default robot has no policy")
    lines = []
    section = ""
    for line in shipped.read_text().splitlines():
        section = line.strip() if line.startswith("[") else section
        key = line.split("=")[0].strip()
        if section == "[policy]" and key == "hz":
            lines.append(f"hz = {hz}")
        elif section == "[policy]" and key == "model":
            lines.append(f"model = {json.dumps(model.model)}")
        else:
            lines.append(line)
    robot = folder / shipped.name
    robot.write_text("\n".join(lines) + "\n")
    return robot


def table(figures: dict[str, Any]) -> list[str]:
    """What a person reads."""
    low, high = wilson(figures["successes"], figures["episodes"])
    late, floor = figures["servo"]["late_us"], figures["floor"]["late_ns"]
    rows = [
        f"load {figures['load']} busy processes, policy {figures['policy']['hz']} Hz, {figures['seconds']:.0f} s",
        f"picked   {figures['successes']} of {figures['episodes']}"
        f" ({figures['successes'] / max(1, figures['episodes']):.3f}, 95 % {low:.3f} to {high:.3f}),"
        f" {figures['pick_s'] or 0:.2f} s each (median)",
        "lateness us        p50     p99    p999      max",
        "  loop        " + "".join(f"{late[key]:9.0f}" for key in ("p50", "p99", "p999", "max")),
        "  floor       " + "".join(f"{floor[key] / 1000:9.0f}" for key in ("p50", "p99", "p999", "max")),
        f"missed   {figures['servo']['missed']} of {figures['servo']['ticks']} ticks",
        _quantiles("reaction in force ms", figures["reaction_ms"]),
        _quantiles("  with the sensor ms", figures["reaction_with_sensor_ms"]),
        _quantiles("observation age ms", figures["policy"]["age_ms"]),
        f"starved  {figures['policy']['starved_ticks']} ticks",
        f"response ms  {figures['response_ms']}",
        f"seam     {figures['command']['max_seam']}",
        _quantiles("inference us", figures["policy"]["inference_us"]),
        _quantiles("bus cycle us", figures["bus"]["measured_us"]) + f"  errors {figures['bus']['errors']}",
        f"limited  {figures['command']['limited_ticks']} ticks, rms jerk {figures['command']['rms_jerk']} rad/s^3",
    ]
    return rows


def _quantiles(name: str, quantiles: dict[str, float]) -> str:
    return (
        f"{name:<22}p50 {quantiles['p50']:g}  p99 {quantiles['p99']:g}  max {quantiles['max']:g}"
        f"  n {quantiles['n']:.0f}"
    )


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments])
