"""The page of a result: whole, self-contained, right in its words, and safe whatever the file says."""

import math
import re
import sys
from html import escape
from html.parser import HTMLParser

import bench_samples as samples
import msgspec
import numpy as np
import pytest

from spinal.bench import judge
from spinal.bench.report import classes, command, page, pictures, shapes, text, words
from spinal.bench.result import Curve, Distribution, Metric, Stage, SuiteResult, Verdict, Waterfall, save
from spinal.runtime.cli.main import main

VOID = {"meta", "img", "br", "link", "hr", "input"}
HOSTILE = "<script>alert(1)</script>\" onload='x' $\\frac{ \x07\u202e../../etc/passwd"


class Strict(HTMLParser):
    """Tags balanced, ids unique; what it saw is kept."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.words = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for found, attrs in self.tags if found == tag]

    @property
    def said(self):
        return " ".join("".join(self.words).split())


def written(result, folder):
    where, drawn = command.write(result, folder)
    return Strict(where.read_text()), where.read_text(), drawn


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("page")
    return (*written(samples.full(), folder), folder)


def test_the_page_needs_nothing_but_itself(whole):
    parsed, html, _, _ = whole
    for tag, attrs in parsed.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name == "src":
                assert value.startswith("data:image/png;base64,")
            if name == "href":
                assert re.fullmatch(r"#suite-\d+", value)
    assert "url(" not in html
    assert "@import" not in html
    assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(https?:)?//", html)
    policies = [attrs["content"] for attrs in parsed.all("meta") if "http-equiv" in attrs]
    assert policies == [page.POLICY]


def test_the_page_has_every_metric_with_its_verdict_and_why(whole):
    parsed, html, _, _ = whole
    for suite in samples.full().suites.values():
        for metric in suite.metrics:
            assert f'class="name">{escape(metric.name)}</th>' in html
            if metric.why:
                assert metric.why in parsed.said
        for note in suite.notes:
            assert note in parsed.said


def test_it_opens_with_the_verdict_the_machine_and_where_it_comes_from(whole):
    parsed, _, _, _ = whole
    metrics = [metric for suite in samples.full().suites.values() for metric in suite.metrics]
    passed = sum(metric.verdict is Verdict.PASS for metric in metrics)
    start = parsed.said[parsed.said.index("Spinal bench 1 failed") :]
    assert start.startswith(f"Spinal bench 1 failed, 2 inconclusive, {passed} passed, 1 absent")
    for fact in (
        "Some Processor 3000, 2 cores, 7.8 GiB, x86_64",
        "6.1.0-rt, not PREEMPT_RT",
        "fifo, timer_slack; refused: mlock: RLIMIT_MEMLOCK is 8 MiB",
        "yes: QEMU",
        "performance",
        "gcc 12.2.0, optimised",
        "onnxruntime 1.22.0: CPUExecutionProvider",
        "0123456789ab",
        "spinal bench run --json r.json",
        "2025-11-21T03:00:00+00:00",
    ):
        assert fact in start[:1500]
    assert "Not in this file: step, policy" in start


def test_a_changed_tree_and_bare_metal_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "available", lambda: False)
    result = msgspec.structs.replace(
        samples.full(), commit="0123456789ab+", machine=samples.machine(virtual="", preempt_rt=True)
    )
    parsed, _, _ = written(result, tmp_path)
    assert "0123456789ab+ (the tree was changed)" in parsed.said
    assert "no: bare metal" in parsed.said
    assert "6.1.0-rt, PREEMPT_RT" in parsed.said


def test_failing_rows_come_first_and_what_failed_is_drawn_first(whole):
    _, html, _, _ = whole
    section = html[html.index('aria-label="reaction"') :]
    classes_seen = re.findall(
        r'<tr class="(\w+)"><th scope="row" class="name">', section[: section.index("</table>")]
    )
    assert classes_seen == ["fail", "absent", "pass"]
    tick = [sketch.file for sketch in pictures.plan(samples.full()).sketches if sketch.suite == "tick"]
    assert tick[0] == "tick-100hz.busy.late-us.png"


def test_every_picture_has_words_and_every_table_its_headers(whole):
    parsed, _, drawn, folder = whole
    images = parsed.all("img")
    assert len(images) == drawn == len(list(folder.glob("*.png"))) == 14
    for image in images:
        assert len(image["alt"]) > 60
    assert sum("scope" in attrs for attrs in parsed.all("th")) == len(parsed.all("th"))
    assert sorted(path.suffix for path in folder.iterdir() if path.suffix != ".png") == [".html"]


def test_the_disturbance_of_each_suite_is_said(whole):
    parsed, _, _, _ = whole
    assert "Meanwhile the hypervisor took 0.3% of the time" in parsed.said
    assert "Disturbed: the hypervisor took 3.1% of the time (limit 2%)." in parsed.said
    assert "What the machine suffered meanwhile is not in the file." in parsed.said


@pytest.mark.parametrize(
    ("p99", "fits"),
    [
        (26.0, "fits all 4 classes"),
        (50.0, "fits all 4 classes"),
        (50.1, "fits navigation and teleoperation"),
        (70.0, "fits navigation and teleoperation"),
        (100.0, "fits navigation."),
        (100.1, "fits no class; the widest ends at 100 ms"),
    ],
)
def test_the_class_of_a_machine(p99, fits):
    found = classes.reaction(samples.full(reaction=samples.reaction(p99)))
    assert found is not None
    assert fits in classes.sentence(found)


def test_the_class_is_unknown_without_its_suite_or_its_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "available", lambda: False)
    absent = SuiteResult(metrics=[judge.missing("reaction_ms.p99", "ms", "no simulator")])
    assert classes.reaction(samples.full(reaction=absent)) is None
    result = samples.full()
    del result.suites["reaction"]
    assert classes.reaction(result) is None
    parsed, _, _ = written(result, tmp_path)
    assert "Unknown: this file has no reaction_ms.p99" in parsed.said
    assert classes.COMMAND in parsed.said
    assert "✓ fits" not in parsed.said


def test_the_class_takes_the_plain_figure_before_conditions_and_the_slowest_of_these():
    def reaction(*names):
        metrics = [Metric(name=name, unit=unit, value=value) for name, unit, value in names]
        return classes.reaction(samples.full(reaction=SuiteResult(metrics=metrics)))

    loaded = ("loaded.reaction_ms.p99", "ms", 80.0)
    assert reaction(loaded, ("reaction_ms.p99", "us", 30_000.0)) == classes.Reaction("reaction_ms.p99", 30.0)
    assert reaction(("idle.reaction_ms.p99", "ms", 20.0), loaded).p99_ms == 80.0
    assert reaction(("reaction_ms.p99", "parsecs", 1.0)) is None


def test_without_matplotlib_the_page_is_made_and_says_what_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    parsed, _, drawn = written(samples.full(), tmp_path)
    assert drawn == 0
    assert not parsed.all("img")
    assert pictures.NEEDS in parsed.said
    assert capsys.readouterr().err.count('pip install "spinal[bench]"') == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def hostile():
    edges = [1.0, 2.0, 3.0]
    fine = Distribution(name=HOSTILE, unit="$us", edges=edges, counts=[1, 5, 1])
    bad = [
        Distribution(name="lengths", unit="us", edges=edges, counts=[1]),
        Distribution(name="falling", unit="us", edges=[3.0, 2.0, 1.0], counts=[1, 1, 1]),
        Distribution(name="negative", unit="us", edges=edges, counts=[1, -1, 1]),
        Distribution(name="empty", unit="us", edges=edges, counts=[0, 0, 0]),
        Distribution(name="huge", unit="us", edges=[1.0, 1e300, 1e301], counts=[1, 1, 1]),
        Distribution(name="floor", unit="us", edges=edges, counts=[1, 1, 1], floor_counts=[1]),
    ]
    line = {"x_name": HOSTILE, "x_unit": "", "y_name": "$y_", "y_unit": "%"}
    curves = [
        Curve(name=HOSTILE, x=[1.0], lines={HOSTILE: [1.0]}, **line),
        Curve(name="flat", x=[0.0, 0.0], lines={"a": [0.0, 0.0], "b": [None, None]}, **line),
        Curve(name="no x", x=[], lines={"a": []}, **line),
        Curve(name="no line", x=[1.0], lines={}, **line),
        Curve(name="short", x=[1.0, 2.0], lines={"a": [1.0]}, **line),
        Curve(name="holes", x=[1.0, 2.0], lines={"a": [None, None]}, **line),
        Curve(name="far", x=[1.0, 2.0], lines={"a": [1e308, -1e308]}, **line),
        Curve(name="many", x=[1.0, 2.0], lines={str(n): [float(n), 1.0] for n in range(200)}, **line),
    ]
    falls = [
        Waterfall(name=HOSTILE, stages=[Stage(name=HOSTILE, begin_us=5.0, end_us=5.0)]),
        Waterfall(name="backwards", stages=[Stage(name="a", begin_us=5.0, end_us=1.0)]),
        Waterfall(name="none", stages=[]),
    ]
    metrics = [
        Metric(
            name=HOSTILE,
            unit=HOSTILE,
            value=1e308,
            floor=1e-308,
            ratio=None,
            limit=0.0,
            verdict=Verdict.FAIL,
            why=HOSTILE,
        ),
        Metric(name="a" * 10_000, unit="", value=-0.0, low=-1.0, high=1.0, limit=-3.0, verdict=Verdict.PASS),
    ]
    suite = SuiteResult(
        metrics=metrics, distributions=[fine, *bad], curves=curves, waterfalls=falls, notes=[HOSTILE] * 500
    )
    machine = samples.machine(processor=HOSTILE, realtime={HOSTILE: HOSTILE}, providers=[HOSTILE] * 90)
    return msgspec.structs.replace(
        samples.full(), machine=machine, commit=HOSTILE, command=HOSTILE, suites={HOSTILE: suite, "..": suite}
    )


def test_a_hostile_file_is_shown_as_text_and_stays_in_its_folder(tmp_path):
    pytest.importorskip("matplotlib")
    source = tmp_path / "r.json"
    save(hostile(), source)
    assert main(["bench", "report", str(source), "--out", str(tmp_path / "out"), "--open-nothing"]) == 0
    html = (tmp_path / "out" / "report.html").read_text()
    parsed = Strict(html)
    assert not parsed.all("script")
    assert "<script>alert(1)</script>" in parsed.said
    assert all(not name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert "\u202e" not in html
    assert "\x07" not in html
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "r.json"]
    names = [path.name for path in (tmp_path / "out").glob("*.png")]
    assert len(names) == len(parsed.all("img")) > 4
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*\.png", name) and ".." not in name for name in names)
    for thing in (
        "lengths",
        "falling",
        "negative",
        "empty",
        "huge",
        "floor",
        "no x",
        "short",
        "far",
        "backwards",
        "none",
    ):
        assert f"{thing} cannot be drawn: " in parsed.said
    assert len(html) < 4_000_000


def test_pictures_are_bounded_and_what_is_left_out_is_counted():
    many = [
        Distribution(name=f"d{n}", unit="us", edges=[1.0, 2.0], counts=[1, 1])
        for n in range(pictures.MOST_IN_SUITE + 7)
    ]
    suite = SuiteResult(metrics=[], distributions=many)
    planned = pictures.plan(msgspec.structs.replace(samples.full(), suites={str(n): suite for n in range(9)}))
    assert len(planned.sketches) == pictures.MOST_IN_ALL
    assert planned.left_out["0"] == [
        f"7 more pictures are not drawn: {pictures.MOST_IN_SUITE} a suite are the most"
    ]
    assert any("31 more pictures" in line for line in planned.left_out["8"])
    assert len({sketch.file for sketch in planned.sketches}) == len(planned.sketches)


def test_the_same_file_gives_the_same_bytes(tmp_path):
    pytest.importorskip("matplotlib")
    result = samples.full(tick=SuiteResult(metrics=[]))
    command.write(result, tmp_path / "a")
    command.write(result, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_bad_input_gets_one_line(tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text('{"schema": 99}')
    assert main(["bench", "report", str(other)]) == 2
    said = capsys.readouterr().err
    assert "has schema 99" in said
    assert "Traceback" not in said
    good = tmp_path / "good.json"
    save(samples.full(), good)
    (tmp_path / "taken").write_text("")
    assert main(["bench", "report", str(good), "--out", str(tmp_path / "taken")]) == 2
    assert "taken cannot be written" in capsys.readouterr().err


def test_nothing_is_opened_where_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "available", lambda: False)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    source = tmp_path / "r.json"
    save(samples.full(), source)
    assert main(["bench", "report", str(source)]) == 0
    assert opened == []
    assert (tmp_path / "r-report" / "report.html").is_file()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["bench", "report", str(source), "--open-nothing"]) == 0
    assert opened == []
    assert main(["bench", "report", str(source)]) == 0
    assert len(opened) == 1


def test_the_histogram_keeps_every_record_and_the_tail_reaches_the_last():
    values = np.random.default_rng(3).lognormal(3, 1, 5000)
    counts = samples.buckets(values)
    bins = shapes.log_bins(*shapes.span(samples.EDGES_US, [counts]))
    assert shapes.in_bins(samples.EDGES_US, counts, bins).sum() == pytest.approx(1.0)
    one_in, at = shapes.tail(samples.EDGES_US, counts, float(values.max()))
    assert one_in[-1] == pytest.approx(5000)
    assert at[-1] <= values.max()
    assert np.all(np.diff(at) >= 0)
    for fraction in (0.5, 0.9, 0.99):
        shown = np.interp(1 / (1 - fraction), one_in, at)
        assert shown == pytest.approx(np.quantile(values, fraction), rel=0.08)


def test_intervals_belong_to_their_line_and_slow_is_no_bound():
    lines = {"ours": [1.0], "ours low": [0.9], "ours high": [1.1], "slow": [2.0], "others low": [3.0]}
    proper, found = shapes.bands(lines)
    assert list(proper) == ["ours", "slow", "others low"]
    assert found == {"ours": ("ours low", "ours high")}
    assert shapes.bands({"picked": [1.0], "95 %, low": [0.9], "95 %, high": [1.0]})[1] == {
        "picked": ("95 %, low", "95 %, high")
    }
    proper, found = shapes.bands({"low": [1.0], "high": [2.0]})
    assert list(proper) == ["low", "high"]
    assert found == {}


def test_a_seam_is_one_picture_of_three_panels_however_its_name_is_parted():
    for sign in (".", " "):
        named = [
            msgspec.structs.replace(curve, name=f"a seam{sign}{curve.y_name}")
            for curve in reversed(samples.seam().curves)
        ]
        other = msgspec.structs.replace(named[0], name="step response")
        grouped = shapes.panels([*named, other])
        assert [[curve.y_name for curve in group] for group in grouped] == [
            ["position", "velocity", "acceleration"],
            ["acceleration"],
        ]


def test_ours_is_drawn_however_many_others_there_are():
    lines = {f"other{n}": [1.0, 2.0] for n in range(30)} | {"spinal": [1.0, 2.0]}
    assert "spinal" in shapes.drawn(lines)
    assert len(shapes.drawn(lines)) == shapes.MOST_LINES
    assert "large" in shapes.drawn(lines | {"large": [-9.0, 0.0]})


def test_margins_are_shares_of_the_limit_over_it_also_where_higher_is_better():
    metrics = [
        judge.exact("fast", "us", 12.0, 10.0),
        judge.exact("gain", "", 0.45, 0.9, better="higher"),
        judge.exact("none", "", 0.0, 0.0),
        judge.exact("shown", "", 3.0),
    ]
    rows = words.margins(samples.full(step=SuiteResult(metrics=metrics)), 100)
    shares = {row.name: row.share for row in rows if row.name.startswith("step.")}
    assert shares == pytest.approx({"step.gain": 2.0, "step.fast": 1.2})
    assert [row.verdict for row in rows[:3]] == [Verdict.FAIL] * 3
    assert [row.share for row in rows[3:]] == sorted((row.share for row in rows[3:]), reverse=True)
    assert not any(row.name.startswith("exact.") for row in rows)
    assert len(words.margins(samples.full(), 3)) == 3


def test_names_are_pushed_apart_around_their_middle():
    pytest.importorskip("matplotlib")
    from spinal.bench.report import ink

    assert ink.apart([0.5, 0.1], 0.1) == [0.5, 0.1]
    close = ink.apart([0.50, 0.52, 0.51], 0.1)
    assert close == pytest.approx([0.41, 0.61, 0.51])
    assert np.diff(sorted(ink.apart([0.3] * 5 + [0.35], 0.05))).min() == pytest.approx(0.05)


def test_amounts_in_the_unit_a_person_would_say():
    assert text.amount(1500.0, "us") == "1.5 ms"
    assert text.amount(0.2, "us") == "200 ns"
    assert text.amount(0.0, "us") == "0"
    assert text.amount(math.nan, "us") == text.amount(None, "us") == "-"
    assert text.amount(20.1, "rad/s^3") == "20.1 rad/s^3"


def test_a_file_name_stays_in_its_folder():
    assert text.file_name("..", "../a/../b") == "a-b"
    assert text.file_name("$$$") == "picture"
