"""The script of the page: its functions that touch no page are run by Node.js, where there is one."""

import json
import shutil
import subprocess
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from vadprobe.analyze.report.page import writing
from vadprobe.analyze.report.sections.encoding import encoded

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed, so the page's script cannot be run")
HOSTILE = "</script><b onmouseover=\"x\" a='&'>"


def run(expression: str, **names: Any) -> Any:
    """Evaluate an expression behind the page's script; the names are its variables."""
    values = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in names.items())
    program = f"{writing._joined(writing._SCRIPTS)}\n{values}console.log(JSON.stringify({expression}));"
    found = subprocess.run([str(NODE), "-"], input=program, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(found.stdout)


def svg(text: str) -> ElementTree.Element:
    """Parse the drawing, which has to be well-formed."""
    return ElementTree.fromstring(text[: text.index("</svg>") + 6])


def test_scores_are_read_back_as_python_wrote_them() -> None:
    values = np.array([0.0, 0.25, 0.987654, 1.0, np.nan])
    found = run("decoded(text, 0, 1)", text=encoded(values, 0.0, 1.0))
    assert found[-1] is None
    assert found[:-1] == pytest.approx(values[:-1], abs=1 / 4094)


def test_segments_are_found_by_frame() -> None:
    assert run("edgesOf({length: 24}, 3, 60)") == [0, 24, 48, 60]
    assert run("[0, 23, 24, 47, 48, 59].map((frame) => segmentAt([0, 24, 48, 60], frame))") == [0, 0, 1, 1, 2, 2]
    assert run("[isInside([[3, 5]], 2), isInside([[3, 5]], 3), isInside([[3, 5]], 5)]") == [False, True, False]


def test_rows_sort_with_unknown_ones_last_in_both_directions() -> None:
    rows = [3, "", 1, 20]
    assert run("rows.sort((a, b) => compared(a, b, 1))", rows=rows) == [1, 3, 20, ""]
    assert run("rows.sort((a, b) => compared(a, b, -1))", rows=rows) == [20, 3, 1, ""]
    assert run("rows.sort((a, b) => compared(a, b, 1))", rows=["v10", "v9", "a"]) == ["a", "v9", "v10"]


def test_ticks_are_round_and_inside() -> None:
    assert run("ticks(0, 1, 5)") == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert run("ticks(0.5, 6.5, 10, true)") == [1, 2, 3, 4, 5, 6]


def test_a_line_chart_has_every_series_and_its_names_are_escaped() -> None:
    series = [{"name": HOSTILE, "x": [1, 2, 3], "y": [1, None, 3], "points": True}, {"name": "b", "x": [1], "y": [2]}]
    data = {"x": {"label": HOSTILE, "whole": True}, "y": {"label": "y"}, "series": series, "rings": [[3, 3, 0]]}
    text = run("lineChart(data, 500)", data=data)
    assert HOSTILE not in text
    drawn = svg(text)
    assert len(drawn.findall("path[@class='line s0']")) == len(drawn.findall("path[@class='line s1']")) == 1
    assert len(drawn.findall("circle")) == 2 + 1
    assert drawn.findall("path[@class='line s0']")[0].attrib["d"].count("M") == 2  # an unknown point interrupts
    assert "NaN" not in text


def test_a_map_frames_the_chosen_heads_and_tells_values() -> None:
    values = np.arange(12.0) / 11
    data = {"blocks": 3, "heads": 4, "low": 0, "high": 1, "png": "AA", "codes": encoded(values, 0.0, 1.0)}
    drawn = svg(run("mapChart(data, 300)", data={**data, "chosen": [[1, 2]]}))
    assert len(drawn.findall("rect[@class='frame']")) == 1
    assert run("headAt(data, 0.6, 0.4)", data=data) == "block 1, head 2: 0.545"


def test_a_curve_shows_truth_and_detections_and_its_cursor_tells_everything() -> None:
    scores = np.array([0.1, 0.9, np.nan])
    one = {"of": 0, "length": 24, "raw": encoded(scores, 0, 1), "score": encoded(scores, 0, 1), "detected": [[24, 48]]}
    video = {"name": HOSTILE, "kind": "anomalous", "labelled": True, "fps": 24.0, "frames": 60, "truth": [[30, 48]],
             "series": [one], "texts": [[24, 48, 0]]}  # fmt: skip
    parts = [{"name": HOSTILE, "low": 0, "high": 1, "threshold": 0.5}]
    names = {"video": video, "parts": parts, "words": [HOSTILE]}
    text = run("curveChart(video, curveOf(video, parts), parts, 400)", **names)
    assert HOSTILE not in text
    assert "NaN" not in text
    drawn = svg(text)
    assert len(drawn.findall("rect[@class='truth']")) == len(drawn.findall("rect[@class='detected']")) == 1
    words, generated = run("readout(video, curveOf(video, parts), words, 36)", **names)
    assert words == "frame 36, 0:01.5; truly anomalous; score 0.9, probability 0.9, detected"
    assert generated == HOSTILE
    assert "not read" in run("readout(video, curveOf(video, parts), words, 50)", **names)[0]


def test_long_curves_are_thinned_without_losing_a_peak() -> None:
    edges, values = list(range(10_001)), [0.0] * 10_000
    values[7777] = 1.0
    xs, ys = run("steps(edges, values, 500)", edges=edges, values=values)
    assert len(xs) == len(ys) <= 4 * 500
    assert max(ys) == 1.0
