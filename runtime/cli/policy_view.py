"""How a policy looks to a person: what it eats, what it answers, its joints, and what its exporter wrote."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from spinal.runtime.cli.check_view import table_of, to_console
from spinal.runtime.cli.policy_report import PolicyReport
from spinal.runtime.config.card import CardInput, CardJoint, ImageSpec, Normalisation, Part, PolicyCard
from spinal.runtime.config.card.exporters import Exported
from spinal.runtime.config.card.tensors import shown
from spinal.runtime.config.match import CardMatch
from spinal.runtime.config.model_file import ModelFacts, printable
from spinal.runtime.config.onnx_graph import ModelGraph


def show(report: PolicyReport, model: str, console: Console | None = None) -> None:
    """Prints the report without its problems, which belong on stderr."""
    out = to_console(console)
    found, card = report.found, report.found.file.card
    facts = found.file.facts
    if card is not None:
        out.print(Text.assemble((f"{card.name} {card.version}", "bold"), _for(card), "  ", (model, "dim")))
        for line in _answers(card):
            out.print(line)
    else:
        out.print(Text.assemble((printable(found.file.path.name), "bold"), "  no card  ", (model, "dim")))
    for line in _file_lines(report):
        out.print(line)
    if card is not None:
        out.print()
        input_table(out, card.inputs)
        out.print()
        joint_table(out, card.joints, report.match)
    elif facts.graph is not None:
        out.print()
        _tensors(out, facts.graph)
    if found.exported is not None:
        out.print()
        _exported(out, found.exported)
    out.print()
    for warning in report.warnings:
        out.print(Text.assemble(("warning: ", "yellow"), str(warning)))


def _for(card: PolicyCard) -> str:
    return f"  for {card.robot}" if card.robot else ""


def _answers(card: PolicyCard) -> list[str]:
    chunk, output = card.chunk, card.output
    lasts = f"{chunk.steps} actions, {chunk.step_ms:g} ms apart"
    if chunk.steps == 1:
        lasts = f"one action every {chunk.step_ms:g} ms"
    extra = [f"from index {chunk.first}"] if chunk.first else []
    extra += [f"the last one stands for {chunk.repeat} steps"] if chunk.repeat > 1 else []
    extra += [f"prefix up to {card.prefix.max_steps} steps"] if card.prefix.max_steps else []
    means: str = card.representation
    if means in ("relative", "delta"):
        means += f" to {card.relative_to}"
    if card.pose is not None:
        means = f"poses of {card.pose.link} (rotation {card.pose.rotation}, relative to {card.pose.relative})"
    lines = [
        f"answers {lasts}{''.join(f', {word}' for word in extra)}: {means}",
        f"output {printable(output.name)} {output.dtype} {list(output.shape)}{_scaled(output.normalise)},"
        f" decoder {_decoder(card)}",
    ]
    if card.recurrent:
        kept = ", ".join(f"{printable(row.output)} -> {printable(row.input)}" for row in card.recurrent)
        lines.append(f"recurrent: {kept}, zeros at first")
    if card.engine != "onnxruntime" or card.inference_ms is not None:
        took = f", {card.inference_ms:g} ms where it was measured" if card.inference_ms is not None else ""
        lines.append(f"runs on {card.engine}{took}")
    within = card.starts_within_rad
    if within is not None:
        lines.append(f"starts within {within:g} rad of its default pose")
    return lines


_NOT_SHOWN = ("kind", "x", "time", "velocity", "output", "error")
"""Of a decoder's table: names of tensors that only the loop sees."""


def _decoder(card: PolicyCard) -> str:
    decoder = card.decoder
    said = {
        key: value
        for key, value in decoder.model_dump(mode="json", exclude_defaults=True).items()
        if key not in _NOT_SHOWN and isinstance(value, int | float | str) and not key.endswith("sha256")
    }
    words = [f"{key} {printable(str(value), 40)}" for key, value in said.items()]
    if card.encoder is not None:
        words.append(f"encoder {card.encoder.file}")
    return f"{decoder.kind} ({', '.join(words)})" if words else decoder.kind


def _scaled(normalise: Normalisation | None) -> str:
    if normalise is None or normalise.mode == "identity":
        return ""
    return f", {normalise.mode}"


def _file_lines(report: PolicyReport) -> list[str]:
    found = report.found
    facts = found.file.facts
    lines = [file_line("model", facts)]
    if found.encoder is not None:
        lines.append(file_line("encoder", found.encoder))
    if facts.sha256:
        inside = facts.content_sha256 != facts.sha256
        lines.append(f"sha256 {facts.sha256}")
        lines += [f"       {facts.content_sha256} without its card"] if inside else []
    source = {"metadata": "card from the model's own metadata", "": ""}
    line = source.get(found.file.source, f"card from {found.file.source}")
    return [*lines, line] if line else lines


def file_line(called: str, facts: ModelFacts) -> str:
    """One line of a model file: its size, its operators, who made it."""
    size = f"{facts.size_bytes / 1e6:.3g} MB" if facts.size_bytes >= 100_000 else f"{facts.size_bytes} bytes"
    if facts.graph is None:
        return f"{called} {size}"
    graph = facts.graph
    operators = ", ".join(
        f"{count} of {printable(domain)} {graph.opsets.get(domain, '')}".rstrip()
        for domain, count in sorted(graph.operators.items())
    )
    producer = f", from {printable(graph.producer)}" if graph.producer else ""
    return f"{called} {size}, operators: {operators or 'none'}{producer}"


def input_table(out: Console, inputs: Sequence[CardInput]) -> None:
    """What fills each tensor."""
    rows = []
    for tensor in inputs:
        shape = str(list(tensor.shape))
        if tensor.stream:
            rows.append([printable(tensor.name), tensor.dtype, shape, tensor.stream, *_part(tensor)])
            continue
        whole = _scaled(tensor.normalise).removeprefix(", ")
        rows.append([printable(tensor.name), tensor.dtype, shape, f"{len(tensor.parts)} parts", "", whole])
        rows += [["", "", "", part.stream, *_part(part)] for part in tensor.parts]
    _print(out, ["input", "type", "shape", "filled by", "unit", "on its way in"], rows)


def _part(part: Part | CardInput) -> tuple[str, str]:
    notes = []
    if part.history > 1:
        apart = f", {part.history_step_ms:g} ms apart" if part.history_step_ms else ""
        notes.append(f"{part.history} instants{apart}")
    if part.source[0] == "camera":
        image = part.image or ImageSpec()
        notes.append(f"{image.fit}, {image.colours}, {image.layout}, {image.range}")
    if part.joints is not None:
        notes.append(f"{len(part.joints)} joints in its own order")
    if part.normalise is not None and part.normalise.mode != "identity":
        notes.append(part.normalise.mode)
    return "" if part.unit == "1" else part.unit, "; ".join(notes)


def joint_table(out: Console, joints: Sequence[CardJoint], match: CardMatch | None) -> None:
    """The card's joints, beside the robot's where there is one."""
    headings = ["joint", "kind", "unit", "default", "stiffness", "damping"]
    if match is None:
        _print(out, headings, [_joint(joint) for joint in joints])
        return
    rows: list[list[str | Text]] = []
    for row in match.joints:
        cells = _joint(joints[row.index]) if row.index < len(joints) else [""] * len(headings)
        difference = Text(row.difference or "same", "red" if row.difference else "green")
        rows.append([*cells, row.robot, difference])
    _print(out, [*headings, "robot", "difference"], rows)


def _joint(joint: CardJoint) -> list[str | Text]:
    numbers = (joint.default_position, joint.stiffness, joint.damping)
    kind = f"{joint.kind}, absolute" if joint.absolute else joint.kind
    return [joint.name, kind, joint.unit, *map(_number, numbers)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


_WORDS = ("type", "shape", "filled by", "unit", "kind", "robot", "difference", "on its way in", "")
"""Columns of words, which begin on the left."""


def _print(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """A table without the columns in which nothing stands."""
    kept = [k for k in range(len(headings)) if any(row[k] for row in rows)]
    table = table_of(*(headings[k] for k in kept))
    for column, k in zip(table.columns, kept, strict=True):
        column.justify = "left" if k == 0 or headings[k] in _WORDS else "right"
    for row in rows:
        table.add_row(*(row[k] for k in kept))
    out.print(table)


def _tensors(out: Console, graph: ModelGraph) -> None:
    rows = [
        [printable(tensor.name), called, shown(tensor)]
        for called, tensors in (("input", graph.inputs), ("output", graph.outputs))
        for tensor in tensors
    ]
    _print(out, ["tensor", "", "type"], rows)


def _exported(out: Console, exported: Exported) -> None:
    out.print(Text("what the exporter wrote into the model", "bold"))
    if exported.joints:
        columns = ("default_position", "stiffness", "damping", "action_scale")
        rows = [
            [printable(joint.name, 48), *(_number(getattr(joint, word)) for word in columns)]
            for joint in exported.joints
        ]
        _print(out, ["joint", "default", "stiffness", "damping", "action scale"], rows)
    for word in exported.unassigned:
        values = exported.lists[word]
        out.print(f"{word}: {len(values)} numbers for {len(exported.joints)} joints, not said whose")
    for called, names in (
        ("observations", exported.observations),
        ("commands", exported.commands),
        ("bodies", exported.bodies),
    ):
        if names:
            out.print(f"{called}: {printable(', '.join(names), 400)}")
    for key, text in exported.words.items():
        out.print(f"{key}: {printable(text)}")
