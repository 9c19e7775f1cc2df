"""Timings of texts: a text of any length at the measured speeds, and runs that add up."""

from dataclasses import replace
from pathlib import Path

from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.writing.timings.text_timings import NAME, TextTimings, read_text_timings

TIMES = TextTimings("digest", "GPU", "bfloat16", 4, 8.0, 3.0, 30)


def test_a_text_takes_its_pass_and_every_further_token() -> None:
    assert TIMES.seconds(1) == 2.0
    assert TIMES.seconds(11) == 3.0
    assert replace(TIMES, later_tokens=0).seconds(64) is None
    assert replace(TIMES, texts=0).seconds(64) is None


def test_runs_add_up_where_features_and_device_are_the_same() -> None:
    assert TIMES.added(None) == TIMES
    assert TIMES.added(TIMES) == replace(TIMES, texts=8, first=16.0, later=6.0, later_tokens=60)
    assert TIMES.added(replace(TIMES, device="CPU")) == TIMES


def test_only_timings_of_the_same_features_are_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    assert read_text_timings(path, "digest") is None
    TIMES.write(path)
    assert read_text_timings(path, "digest") == TIMES
    assert read_text_timings(path, "other") is None
    for content in ({"version": 2}, {"version": 1}, [], {}):
        write_json(path, content)
        assert read_text_timings(path, "digest") is None
