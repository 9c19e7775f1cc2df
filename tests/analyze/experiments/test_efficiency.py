"""The efficiency table is put together from what lies beside the stores."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.planted import BACKBONE, HEAD, Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext, varied
from vadprobe.analyze.experiments.efficiency import PAPER_HEADS, PAPER_SHAPES, efficiency
from vadprobe.analyze.experiments.rows import Row, Table, table_lines
from vadprobe.analyze.features.pass_costs import NO_SHAPES, TEXT_TOKENS, PassCost
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.writing.timings.pass_shape import PassShape, TextShape
from vadprobe.store.writing.timings.run_timings import PassTimings, RunTimings
from vadprobe.store.writing.timings.text_timings import NAME, TextTimings

TEXT = TextShape(BACKBONE.n_layers, BACKBONE.hidden_size, BACKBONE.n_heads, 2, BACKBONE.head_dim, 64, 100)
SHAPE = PassShape(TEXT, ((16, 48, 12),), ((16, 16, 12),), 30, {"coarse": 6, "detailed": 9, "question": 5})
PROMPTS = ("coarse", "detailed", "question")


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return write_planted(tmp_path)


@pytest.fixture
def lab(planted: Planted, tmp_path: Path) -> Iterator[ExperimentContext]:
    with open_scheduler("synchronous", 0) as scheduler:
        yield ExperimentContext(
            (case_of(load_job(planted.job("headhunt")), None),), StepCache(tmp_path / "s"), scheduler
        )


def keep(lab: ExperimentContext, passes: tuple[PassTimings, ...], shape: PassShape | None = SHAPE) -> str:
    """Leave timings beside the segments' store, and return the digest of its specification."""
    (case,) = lab.cases
    spec = case.inputs(case.config).store.spec
    digests = {spec.prompt.key: spec.digest}
    run = RunTimings("a" * 32, "", "a GPU", "bfloat16", 3.0, digests, passes, shape)
    run.write(case.layout.backbone(case.segment, case.backbone))
    return spec.digest


def passes(prompts: tuple[str, ...], blocks: int, clips: int, seconds: float) -> PassTimings:
    return PassTimings(prompts, blocks, clips, 1.0, {"model": seconds, "decoding": 9.0, "writing": 9.0}, (8,))


def by_key(table: Table) -> dict[str, Row]:
    return {row.key: row for row in table.rows if row.key}


def test_every_way_has_its_seconds_and_operations(lab: ExperimentContext) -> None:
    timed = (passes(PROMPTS, 3, 10, 4.0), passes(("coarse",), 3, 4, 1.0), passes(("coarse",), HEAD[0] + 1, 5, 0.5))
    digest = keep(lab, timed)
    texts = lab.cases[0].texts
    assert texts is not None
    TextTimings(digest, "a GPU", "bfloat16", 2, 1.0, 6.3, 63).write(texts.with_name(NAME))
    table = efficiency(lab)
    rows = by_key(table)
    wanted = {
        "full": (0.4, SHAPE.operations(PROMPTS)),
        "full-one": (0.25, SHAPE.operations(("coarse",))),
        "early": (0.1, SHAPE.operations(("coarse",), HEAD[0] + 1)),
        "text": (0.5 + 6.3, SHAPE.text_operations("coarse", TEXT_TOKENS)),
    }
    for key, (seconds, operations) in wanted.items():
        assert rows[key].numbers["seconds"].value == pytest.approx(seconds), key
        assert rows[key].numbers["tflop"].value == pytest.approx(operations / 1e12), key
        assert not rows[key].missing
    assert rows["features-all"].numbers["features"].value == 3 * 4 * 8
    assert rows["features-kept"].numbers["features"].value == 8
    assert (rows["videos-all"].numbers["videos"].value, rows["videos-used"].label) == (
        16,
        "calibration videos (100.0 %)",
    )
    text = "\n".join(table_lines(table))
    assert "full pass, 3 prompts (a GPU, bfloat16)" in text
    assert "100,352" in text
    assert " 640" in text


def test_the_papers_features_follow_from_its_shapes() -> None:
    blocks, heads, values = PAPER_SHAPES
    assert (blocks * heads * values, PAPER_HEADS * values) == (100_352, 640)


def test_what_was_not_timed_says_so_and_has_its_operations(lab: ExperimentContext) -> None:
    keep(lab, (passes(PROMPTS, 3, 10, 4.0),))
    rows = by_key(efficiency(lab))
    for key, words in (("full-one", "no such pass"), ("early", "answers = false"), ("text", "'vadprobe describe JOB'")):
        assert math.isnan(rows[key].numbers["seconds"].value)
        assert rows[key].numbers["tflop"].value > 0
        assert words in rows[key].reason


def test_without_timings_or_shapes_everything_has_a_reason(lab: ExperimentContext) -> None:
    rows = by_key(efficiency(lab))
    assert "kept no timings" in rows["full-one"].missing
    keep(lab, (passes(("coarse",), 3, 10, 4.0),), shape=None)
    row = by_key(efficiency(lab))["full-one"]
    assert row.numbers["seconds"].value == 0.4
    assert row.reason == NO_SHAPES
    (case,) = lab.cases
    broken = replace(case, prompts=("nothing",), config=varied(case.config, score_prompt=None))
    table = efficiency(replace(lab, cases=(broken,)))
    assert "no feature store" in table.rows[0].reason


def test_a_cost_is_a_row_of_a_figure() -> None:
    assert PassCost("text", "a text", 1.5, None, "because").row == ("a text", 1.5, None)
