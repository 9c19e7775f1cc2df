"""Texts of a job's segments: one a segment, kept video by video, of the very backbone that made the features."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import write_planted
from vadprobe.analyze.experiments.methods.text_output import TEXTS_RECIPE, read_texts
from vadprobe.extract.demo.captioner.sentences import event_words
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.analyze_job import open_analysis
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.texts import feature_backbone, text_generation
from vadprobe.flows.jobs.texts.event_words import says_one, words_of_events
from vadprobe.flows.jobs.texts.text_generation import write_texts
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.parquet import metadata_in, notes_in, read_parquet
from vadprobe.store.writing.timings.text_timings import NAME, read_text_timings

WORDS = ("abnormal", "yes")


def test_every_scored_segment_has_its_text(job: Job) -> None:
    told: list[tuple[int, int]] = []
    path = write_texts(job, WORDS, max_tokens=4, progress=lambda done, total: told.append((done, total)))
    store = open_analysis(job).store
    rows = read_parquet(path).to_pylist()
    places = [(row["video_id"], row["start_frame"], row["stop_frame"], row["split"]) for row in rows]
    splits = {"clip1": "validation", "clip2": "test", "clip3": "test"}
    assert places == [(name, start, min(start + 8, 20), splits[name]) for name in splits for start in (0, 8, 16)]
    for row in rows:
        assert 0 < row["probability"] < 1
        assert row["names_event"] == says_one(row["text"], frozenset(WORDS))
        assert row["prompt"] == store.spec.prompt.text
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert notes_in(path)[0].startswith("MEANINGLESS")
    output = read_texts(path, store.spec)
    assert output.video_ids == tuple(row["video_id"] for row in rows)
    np.testing.assert_array_equal(output.probabilities, [row["probability"] for row in rows])
    np.testing.assert_array_equal(output.smoothed(0.0), output.probabilities)
    times = read_text_timings(path.with_name(NAME), store.spec.digest)
    assert times is not None
    assert times.texts == len(rows) == 9
    assert times.first > 0
    seconds = times.seconds(64)
    assert seconds is None if times.later_tokens == 0 else seconds is not None and seconds > times.first / 9


def test_an_interrupted_call_goes_on_where_it_ended(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_parquet(write_texts(job, WORDS, max_tokens=3)).to_pylist()
    shutil.rmtree(job.out)

    def interrupted(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_texts(job, WORDS, max_tokens=3, progress=interrupted)
    asked: list[str] = []
    rows = text_generation._Writer.rows

    def noted(writer: text_generation._Writer, video_id: str, decoder: object) -> object:
        asked.append(video_id)
        return rows(writer, video_id, decoder)  # type: ignore[arg-type]

    monkeypatch.setattr(text_generation._Writer, "rows", noted)
    path = write_texts(job, WORDS, max_tokens=3)
    assert asked == ["clip3"]
    times = read_text_timings(path.with_name(NAME), open_analysis(job).store.spec.digest)
    assert times is not None
    assert times.texts == 9, "those of both calls"
    for mine, wanted in zip(read_parquet(path).to_pylist(), whole, strict=True):
        assert {**mine, "probability": 0} == {**wanted, "probability": 0}
        assert mine["probability"] == pytest.approx(wanted["probability"], abs=1e-5)
    asked.clear()
    write_texts(job, ("yes",), max_tokens=3, splits=("test",))
    assert asked == ["clip2", "clip3"]
    assert metadata_in(read_parquet(path).schema, TEXTS_RECIPE)["words"] == ["yes"]


def test_a_segment_that_cannot_be_read_is_unknown(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(writer: text_generation._Writer, path: Path, row: int, decoder: object) -> None:
        return None

    monkeypatch.setattr(text_generation._Writer, "_frames", broken)
    rows = read_parquet(write_texts(job, WORDS, max_tokens=2)).to_pylist()
    assert all(row["text"] == "" and np.isnan(row["probability"]) and row["names_event"] is None for row in rows)


@pytest.mark.parametrize("word", ["left luggage", "hit-and-run", "", "4x4"])
def test_what_is_no_word_is_refused_at_once(word: str, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_generation, "open_analysis", lambda job: pytest.fail("the features were opened"))
    with pytest.raises(VadprobeError, match="must be one word of letters only, got"):
        write_texts(job, ["yes", word])


def test_unknown_words_are_refused_before_a_frame_is_read(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_generation._Writer, "_frames", lambda *given: pytest.fail("a frame was read"))
    monkeypatch.setattr(feature_backbone, "load", lambda *given: pytest.fail("the weights were loaded"))
    with pytest.raises(VadprobeError, match="must have one token for the word 'eventually'"):
        write_texts(job, ["yes", "eventually"])


def test_splits_without_a_video_are_refused(job: Job) -> None:
    with pytest.raises(VadprobeError, match="no video of 'set' that is scored is in the splits other"):
        write_texts(job, WORDS, splits=("other",))
    assert not job.out.exists()


def test_texts_of_another_version_are_made_anew(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(text_generation, "VERSION", 1)
        path = write_texts(job, WORDS, max_tokens=2)
    with pytest.raises(VadprobeError, match="must be of version"):
        read_texts(path, open_analysis(job).store.spec)
    write_texts(job, WORDS, max_tokens=2)
    assert read_texts(path, open_analysis(job).store.spec).words == WORDS


def test_another_backbone_in_the_folder_is_refused(job: Job, workspace: Path) -> None:
    config = workspace / "backbone" / "generation_config.json"
    before = config.read_text()
    config.write_text(before + " ")
    try:
        with pytest.raises(VadprobeError, match="must be the one that the features came from"):
            write_texts(job, WORDS)
    finally:
        config.write_text(before)


def test_the_command_shows_texts_and_the_stamp(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(job.path), "--words", "Abnormal", "yes", "--max-tokens", "3", "--shown", "4"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("Note: MEANINGLESS")
    assert shown[2].startswith("4 test segments, drawn by a seed")
    assert {line.split()[0] for line in shown[4:8]} <= {"clip2", "clip3"}
    assert shown[-1] == f"Texts: {job.out / 'texts.parquet'}"
    assert metadata_in(read_parquet(job.out / "texts.parquet").schema, TEXTS_RECIPE)["words"] == ["abnormal", "yes"]


def test_words_are_known_of_the_demo_s_captioner_alone(job: Job, tmp_path: Path) -> None:
    found = words_of_events(job)
    assert found
    assert found < event_words()  # this tokenizer has the others in pieces
    path = write_texts(job, found, max_tokens=2)
    assert metadata_in(read_parquet(path).schema, TEXTS_RECIPE)["taught"]
    assert read_texts(path, open_analysis(job).store.spec).words == ()
    plain = load_job(write_planted(tmp_path).job("hiprobe"))
    with pytest.raises(VadprobeError, match="give them with --words"):
        words_of_events(plain)
