"""Timings of extractions: runs add up, devices stay apart, and what is not of the store is left out."""

from dataclasses import replace
from pathlib import Path

from vadprobe.store.files.atomic_files import read_json, write_json
from vadprobe.store.writing.timings.pass_shape import PassShape, TextShape
from vadprobe.store.writing.timings.run_timings import FOLDER, PassTimings, RunTimings, copy_timings, read_timings

TEXT = TextShape(blocks=28, hidden=3584, heads=28, key_value_heads=4, head_dim=128, intermediate=18944, vocabulary=10)
SHAPE = PassShape(TEXT, ((10, 3, 5),), ((7, 7, 4),), 100, {"coarse": 20, "detailed": 30})
SECONDS = {"model": 4.0, "decoding": 2.0, "writing": 1.0}
PASSES = PassTimings(("coarse", "detailed"), 28, 10, 30.0, SECONDS, (8,))
RUN = RunTimings("a" * 32, "2026-01-01T00:00:00+00:00", "GPU", "bfloat16", 9.0, {"coarse": "d"}, (PASSES,), SHAPE)


def test_runs_on_one_device_add_up_and_devices_stay_apart(tmp_path: Path) -> None:
    alone = replace(PASSES, prompts=("coarse",), clips=2, batch_clips=(2,))
    RUN.write(tmp_path)
    replace(RUN, run="b" * 32, shape=None, passes=(replace(PASSES, batch_clips=(4,)), alone)).write(tmp_path)
    other = replace(SHAPE, own={"question": 40})
    replace(RUN, run="d" * 32, shape=other, passes=(replace(PASSES, clips=0),)).write(tmp_path)
    replace(RUN, run="e" * 32, shape=other, passes=(replace(PASSES, blocks=3),)).write(tmp_path)
    replace(RUN, run="c" * 32, device="CPU", shape=None).write(tmp_path)
    cpu, gpu = read_timings(tmp_path, "coarse", "d")
    assert (cpu.device, gpu.device, cpu.shape) == ("CPU", "GPU", None)
    assert gpu.shape == replace(SHAPE, own={**SHAPE.own, "question": 40})
    first, shallow, second = gpu.passes
    assert (first, shallow.blocks) == (alone, 3)
    assert (second.clips, second.video_seconds, second.batch_clips) == (20, 60.0, (4, 8))
    assert second.seconds == {phase: 2 * value for phase, value in SECONDS.items()}


def test_what_is_not_of_the_store_or_not_readable_is_left_out(tmp_path: Path) -> None:
    assert read_timings(tmp_path, "coarse", "d") == ()
    RUN.write(tmp_path)
    path = tmp_path / FOLDER / f"{RUN.run}.json"
    assert read_timings(tmp_path, "coarse", "another store") == ()
    assert read_timings(tmp_path, "question", "d") == ()
    content = read_json(path)
    assert RunTimings.from_json(content) == RUN
    for change in ({"version": 2}, {"passes": 3}, {"shape": {}}, {"more": 1}):
        write_json(path, {**content, **change})
        assert read_timings(tmp_path, "coarse", "d") == ()
    path.write_text("{")
    assert read_timings(tmp_path, "coarse", "d") == ()


def test_timings_travel_with_a_copy(tmp_path: Path) -> None:
    RUN.write(tmp_path / "source")
    for _ in range(2):
        copy_timings(tmp_path / "source", tmp_path / "target")
    assert read_timings(tmp_path / "target", "coarse", "d") == read_timings(tmp_path / "source", "coarse", "d")
    copy_timings(tmp_path / "nothing", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_operations_are_counted_from_the_shapes() -> None:
    maps = 3584 * 128 * (28 + 4) * 2 + 3 * 3584 * 18944
    assert TEXT.block(10, 30) == 2 * 10 * maps + 4 * 10 * 30 * 3584
    assert SHAPE.vision == 2 * 10 * 3 * 5 + 4 * 7 * 7 * 4
    both = SHAPE.operations(("coarse", "detailed"))
    assert both - SHAPE.operations(("coarse",)) == 28 * TEXT.block(30, 130)
    assert SHAPE.operations(("coarse",), 14) - SHAPE.vision == (SHAPE.operations(("coarse",)) - SHAPE.vision) // 2
    assert SHAPE.text_operations("coarse", 1) == SHAPE.vision + 28 * TEXT.block(120, 120) + TEXT.head
