"""Timings: sentences on where the time of an extraction went."""

import time

import pytest
import torch

from vadprobe.extract.pipeline.timings import Timings, gpu_utilisation


def test_timings_say_where_the_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    timings = Timings()
    assert timings.sentence() == timings.busy() == ""
    now[0] = 200.0
    timings.start(torch.device("cpu"))
    for part, seconds in (("model", 6.0), ("decoding", 3.0), ("writing", 1.0)):
        with timings.spend(part):
            now[0] += seconds
    timings.start(torch.device("cpu"))  # a second stream does not begin anew
    timings.count(25.0, 20)
    assert timings.busy() == "2.5x real time, model 60 %"
    assert timings.sentence() == (
        "20 clips in 10 s: 2.0 clips/s, 2.5x real time. The model ran 60 % of the time and waited 30 % for decoding, "
        "10 % for writing."
    )
    assert gpu_utilisation(torch.device("cpu")) is None
