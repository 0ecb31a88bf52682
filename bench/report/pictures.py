"""Which pictures a result is worth: as many as a person looks at, the rest counted. Drawing needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from spinal.bench.report import shapes, words
from spinal.bench.report.text import file_name, plain
from spinal.bench.result import Curve, Distribution, Result, SuiteResult, Verdict, Waterfall

MOST_IN_SUITE = 24
MOST_IN_ALL = 100
MOST_MARGINS = 30
NEEDS = 'pictures need matplotlib: pip install "spinal[bench]"'

READING = {
    "margins": "Each dot is a judged figure; the line is its limit, the bar its 95 % interval.",
    "distribution": "Left, how often each duration came, grey its floor in the same run. Right, the duration that "
    "a share of the records did not pass: the further the blue line leaves the grey one, the more is ours.",
    "waterfall": "Each bar is a stage, from when to when; what no bar covers is waiting.",
    "curves": "Each line bears its name at its end; a shaded band is the 95 % interval.",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """``kind``: a key of READING. ``suite`` is "" for the one of the whole result."""

    suite: str
    kind: str
    file: str
    png: bytes
    alt: str


@dataclass(frozen=True, slots=True)
class Sketch:
    """A picture that is not drawn yet."""

    suite: str
    kind: str
    file: str
    subject: Distribution | Waterfall | list[Curve] | list[words.Margin]


@dataclass(slots=True)
class Plan:
    """What will be drawn, and for each suite what not and why."""

    sketches: list[Sketch] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def available() -> bool:
    """Whether matplotlib is there and works."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def plan(result: Result) -> Plan:
    """Chooses; pure. First in each suite is what a failed or inconclusive figure belongs to."""
    chosen = Plan()
    rows = words.margins(result, MOST_MARGINS)
    if rows:
        chosen.sketches.append(Sketch("", "margins", "margins.png", rows))
    for name, suite in result.suites.items():
        wanted, refused = _of_suite(name, suite)
        room = max(0, min(MOST_IN_SUITE, MOST_IN_ALL - len(chosen.sketches)))
        if len(wanted) > room:
            refused.append(
                f"{len(wanted) - room} more pictures are not drawn: {MOST_IN_SUITE} a suite are the most"
            )
        chosen.sketches += wanted[:room]
        chosen.left_out[name] = refused
    return _with_own_files(chosen)


def draw(sketches: list[Sketch], say: Callable[[str], None]) -> Iterator[Picture]:
    """Draws them one after the other. ``say`` gets a line now and then."""
    from spinal.bench.report import ink, lines, plots

    with ink.style():
        for at, sketch in enumerate(sketches, 1):
            if at % 10 == 0:
                say(f"{at} of {len(sketches)} pictures")
            subject = sketch.subject
            if isinstance(subject, Distribution):
                figure, said = plots.distribution(subject), words.of_distribution(subject)
            elif isinstance(subject, Waterfall):
                figure, said = plots.waterfall(subject), words.of_waterfall(subject)
            elif sketch.kind == "margins":
                rows = [row for row in subject if isinstance(row, words.Margin)]
                figure, said = plots.margins(rows), words.of_margins(rows)
            else:
                group = [curve for curve in subject if isinstance(curve, Curve)]
                figure, said = lines.curves(group), words.of_curves(group)
            yield Picture(sketch.suite, sketch.kind, sketch.file, ink.png(figure), said.alt)


def _of_suite(name: str, suite: SuiteResult) -> tuple[list[Sketch], list[str]]:
    things: list[Distribution | Curve | Waterfall] = [*suite.distributions, *suite.curves, *suite.waterfalls]
    refused = [
        f"{plain(thing.name, 80)} cannot be drawn: {why}" for thing in things if (why := shapes.unfit(thing))
    ]
    sketches = [
        Sketch(name, "waterfall", file_name(name, one.name), one)
        for one in suite.waterfalls
        if not shapes.unfit(one)
    ]
    drawable = [one for one in suite.curves if not shapes.unfit(one)]
    for group in shapes.panels(drawable):
        base = group[0].name if len(group) == 1 else shapes.parted(group[0].name)[0]
        sketches.append(Sketch(name, "curves", file_name(name, base), group))
    sketches += [
        Sketch(name, "distribution", file_name(name, one.name), one)
        for one in sorted(suite.distributions, key=lambda one: _calm(one, suite))
        if not shapes.unfit(one)
    ]
    return sketches, refused


def _calm(one: Distribution, suite: SuiteResult) -> bool:
    """Whether no figure of it failed or stayed open; sorts those that did to the front."""
    bad = (Verdict.FAIL, Verdict.INCONCLUSIVE)
    return not any(metric.verdict in bad and metric.name.startswith(one.name) for metric in suite.metrics)


def _with_own_files(chosen: Plan) -> Plan:
    """Two names that become the same file name are told apart by a figure."""
    seen: dict[str, int] = {}
    named = []
    for sketch in chosen.sketches:
        stem = sketch.file.removesuffix(".png")
        seen[stem] = seen.get(stem, 0) + 1
        file = f"{stem}.png" if seen[stem] == 1 else f"{stem}-{seen[stem]}x.png"
        named.append(Sketch(sketch.suite, sketch.kind, file, sketch.subject))
    return Plan(named, chosen.left_out)
