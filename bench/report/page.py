"""The page: one HTML file that needs nothing else, no network and no script.

Everything that comes out of the result passes ``_say`` on its way in: a result may come from anybody. Beyond that
the page forbids itself, by its own policy, to load anything that it does not contain.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from spinal.bench import judge
from spinal.bench.disturbance import reason
from spinal.bench.report import classes, words
from spinal.bench.report.pictures import READING, Picture, Plan
from spinal.bench.report.text import LONGEST, plain, times, unit_sign
from spinal.bench.result import Metric, Result, SuiteResult, Verdict
from spinal.bench.suites import TABLE
from spinal.bench.table import number

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
CSS = Path(__file__).with_name("page.css")
FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ABSENT, Verdict.PASS, Verdict.INFO)
MARKS = {
    Verdict.PASS: "✓ pass",
    Verdict.FAIL: "✗ FAIL",
    Verdict.INCONCLUSIVE: "? inconclusive",
    Verdict.INFO: "",
    Verdict.ABSENT: "absent",
}
TONES = {Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.INCONCLUSIVE: "open"}
COLUMNS = ("metric", "value", "floor", "ratio", "limit", "verdict", "why")
MOST_SUITES = 50
MOST_ROWS = 1000
MOST_NOTES = 100
SHOWN_PICTURES = 4
"""In each suite; the others wait behind a line that opens."""
SHOWN_INFO = 12


def page(result: Result, planned: Plan, pictures: Sequence[Picture], missing: str) -> str:
    """The whole page. ``missing``: why there are no pictures, or ""."""
    suites = list(result.suites.items())[:MOST_SUITES]
    by_suite: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_suite.setdefault(picture.suite, []).append(picture)
    explained: set[str] = set()
    body = [_head(result, missing), _class(result), *_figures(by_suite.get("", []), explained)]
    for at, (name, suite) in enumerate(suites):
        body.append(
            _suite(at, name, suite, planned.left_out.get(name, []), by_suite.get(name, []), explained)
        )
    if len(result.suites) > MOST_SUITES:
        body.append(f"<p>{len(result.suites) - MOST_SUITES} more suites are not shown.</p>")
    title = f"Spinal bench: {_say(_verdict(result))}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{CSS.read_text()}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _verdict(result: Result) -> str:
    everything = [metric for suite in result.suites.values() for metric in suite.metrics]
    return f"{words.tally(everything)}."


def _head(result: Result, missing: str) -> str:
    machine = result.machine
    everything = [metric for suite in result.suites.values() for metric in suite.metrics]
    tone = TONES.get(judge.worst(everything), "")
    granted = [name for name, refusal in machine.realtime.items() if refusal is None]
    refused = [f"{name}: {refusal}" for name, refusal in machine.realtime.items() if refusal is not None]
    facts = {
        "processor": f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB,"
        f" {machine.architecture}",
        "kernel": f"{machine.kernel}, {'PREEMPT_RT' if machine.preempt_rt else 'not PREEMPT_RT'}",
        "granted": f"{', '.join(granted[:20]) or 'nothing'}"
        + (f"; refused: {'; '.join(refused[:20])}" if refused else ""),
        "governor": machine.governor,
        "virtual": _virtual(machine.virtual),
        "python": machine.python,
        "native core": machine.compiler,
        "inference": f"{machine.onnxruntime}: {', '.join(machine.providers[:20]) or 'no providers'}",
        "commit": result.commit + (" (the tree was changed)" if result.commit.endswith("+") else ""),
        "command": result.command,
        "measured": result.began_utc,
    }
    rows = "\n".join(f"<dt>{_say(name)}</dt><dd>{_say(fact)}</dd>" for name, fact in facts.items())
    links = "\n".join(
        f'<li><a href="#suite-{at}">{_say(name, 60)}</a> '
        f'<span class="faint">{_say(words.tally(suite.metrics))}</span></li>'
        for at, (name, suite) in enumerate(list(result.suites.items())[:MOST_SUITES])
    )
    absent = [suite.name for suite in TABLE if suite.name not in result.suites]
    others = f'<p class="faint">Not in this file: {", ".join(absent)}.</p>' if absent else ""
    lacking = f'<p class="open">{_say(missing)}</p>' if missing else ""
    return (
        f'<h1>Spinal bench</h1>\n<p class="verdict {tone}">{_say(_verdict(result))}</p>\n'
        f'<dl class="facts">\n{rows}\n</dl>\n{lacking}'
        f'<nav aria-label="Suites">\n<ul>\n{links}\n</ul>\n</nav>\n{others}'
    )


def _virtual(by: str) -> str:
    if not by:
        return "no: bare metal"
    return "yes" if by == "virtual" else f"yes: {by}"


def _class(result: Result) -> str:
    found = classes.reaction(result)
    rows = []
    for one in classes.CLASSES:
        fits = found is not None and one.fits(found.p99_ms)
        said = "unknown" if found is None else "✓ fits" if fits else "too slow"
        tone = "absent" if found is None else "pass" if fits else "fail"
        rows.append(
            f'<tr class="{tone}"><th scope="row">{one.name}</th><td>{one.band}</td>'
            f'<td class="mark">{said}</td></tr>'
        )
    source = f" ({_say(found.metric)})" if found is not None and found.metric != classes.METRIC else ""
    return (
        f"<h2>What this machine is fit for</h2>\n<p>{_say(classes.sentence(found))}{source}</p>\n"
        '<div class="scroll"><table>\n<caption>The field\'s classes, by p99 from an event to the motion that '
        "answers it; a faster machine fits a slower class.</caption>\n"
        '<thead><tr><th scope="col">class</th><th scope="col">p99</th><th scope="col">this machine</th></tr>'
        f"</thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table></div>"
    )


def _suite(
    at: int,
    name: str,
    suite: SuiteResult,
    left_out: Sequence[str],
    pictures: Sequence[Picture],
    explained: set[str],
) -> str:
    title = _say(name, 60)
    ordered = sorted(suite.metrics, key=lambda metric: FIRST.index(metric.verdict))[:MOST_ROWS]
    judged = [metric for metric in ordered if metric.verdict is not Verdict.INFO]
    info = [metric for metric in ordered if metric.verdict is Verdict.INFO]
    parts = [
        f'<section aria-label="{title}">\n<h2 id="suite-{at}">{title}</h2>',
        f'<p class="faint">{_say(words.tally(suite.metrics))} in {suite.seconds:.0f} s. {_disturbance(suite)}</p>',
    ]
    if len(info) > SHOWN_INFO and judged:
        parts.append(_table(judged, f"{name}: judged figures"))
        parts.append(
            _folded(f"{len(info)} figures without a limit", _table(info, f"{name}: without a limit"))
        )
    elif ordered:
        parts.append(_table(ordered, f"{name}: all figures"))
    if len(suite.metrics) > MOST_ROWS:
        parts.append(f"<p>{len(suite.metrics) - MOST_ROWS} more figures are in the file.</p>")
    notes = [*suite.notes[:MOST_NOTES], *left_out[:MOST_NOTES]]
    if notes:
        parts.append(
            "<ul>\n" + "\n".join(f'<li class="why">{_say(note, 1000)}</li>' for note in notes) + "\n</ul>"
        )
    drawn = _figures(pictures, explained)
    parts += drawn[:SHOWN_PICTURES]
    if len(drawn) > SHOWN_PICTURES:
        more = len(drawn) - SHOWN_PICTURES
        parts.append(
            _folded(f"{more} more picture{'s' if more > 1 else ''}", "\n".join(drawn[SHOWN_PICTURES:]))
        )
    return "\n".join([*parts, "</section>"])


def _disturbance(suite: SuiteResult) -> str:
    seen = suite.disturbance
    if seen is None:
        return "What the machine suffered meanwhile is not in the file."
    said = f"Meanwhile the hypervisor took {seen.steal:.1%} of the time, and something waited for a processor in "
    said += f"{seen.pressure:.0%} of it."
    why = reason(seen, loaded=True)
    return said + (f' <span class="open">Disturbed: {_say(why)}.</span>' if why else "")


def _table(metrics: Sequence[Metric], caption: str) -> str:
    explained = any(metric.why for metric in metrics)
    columns = COLUMNS if explained else COLUMNS[:-1]
    right = {"value", "floor", "ratio", "limit"}
    tones = {column: ' class="figure"' if column in right else "" for column in columns}
    head = "".join(f'<th scope="col"{tones[column]}>{column}</th>' for column in columns)
    rows = "\n".join(_row(metric, explained) for metric in metrics)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{_say(caption)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _row(metric: Metric, explained: bool) -> str:
    range_ = words.interval(metric)
    small = f' <span class="interval">{range_}</span>' if range_ else ""
    floored = metric.floor is not None
    bound = {"lower": "≤", "higher": "≥"}[metric.better]
    limit = "" if metric.limit is None else f"{bound} {number(metric.limit)}" + ("×" if floored else "")  # noqa: RUF001
    why = f'<td class="why">{_say(metric.why)}</td>' if explained else ""
    return (
        f'<tr class="{metric.verdict}"><th scope="row" class="name">{_say(metric.name)}</th>'
        f'<td class="figure">{_value(metric)}{"" if floored else small}</td>'
        f'<td class="figure">{number(metric.floor) if floored else ""}</td>'
        f'<td class="figure">{times(metric.ratio) if floored else ""}{small if floored else ""}</td>'
        f'<td class="figure">{limit}</td><td class="mark">{MARKS[metric.verdict]}</td>{why}</tr>'
    )


def _value(metric: Metric) -> str:
    """In the unit of its name, as its limit is: a table is compared, a picture is read."""
    return f"{number(metric.value)} {_say(unit_sign(metric.unit))}".strip()


def _figures(pictures: Sequence[Picture], explained: set[str]) -> list[str]:
    """How to read a kind of picture stands below the first of it alone."""
    drawn = []
    for picture in pictures:
        data = base64.b64encode(picture.png).decode("ascii")
        how = "" if picture.kind in explained else f"\n<figcaption>{_say(READING[picture.kind])}</figcaption>"
        explained.add(picture.kind)
        drawn.append(
            f'<figure>\n<img alt="{_say(picture.alt, 3000)}" src="data:image/png;base64,{data}">{how}\n</figure>'
        )
    return drawn


def _folded(line: str, inside: str) -> str:
    return f"<details>\n<summary>{_say(line)}</summary>\n{inside}\n</details>"


def _say(text: str, longest: int = LONGEST) -> str:
    return escape(plain(text, longest), quote=True)
