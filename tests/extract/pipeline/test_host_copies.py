"""Features on their way to the host: right rows, and one batch late from a GPU."""

import numpy as np
import pytest
import torch

from vadprobe.extract.model.capture import Captured
from vadprobe.extract.pipeline import host_copies
from vadprobe.extract.pipeline.host_copies import NAMES, HostCopies
from vadprobe.store.writing.partition_data import PartitionData

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]


def captured(value: float, dtype: torch.dtype = torch.bfloat16, layers: int = 2, device: str = "cpu") -> Captured:
    make = {"dtype": dtype, "device": device}
    return Captured(
        torch.full((2, layers + 1, 4), value, **make),  # type: ignore[arg-type]
        torch.full((2, layers, 2, 2), value + 1, **make),  # type: ignore[arg-type]
        None if layers < 2 else torch.full((2, 2), value + 2, **make),  # type: ignore[arg-type]
    )


def empty(count: int = 5) -> PartitionData:
    shapes = (count, 3, 4), (count, 2, 2, 2), (count, 2)
    return PartitionData(*(np.full(shape, np.nan, np.float32) for shape in shapes))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_features_arrive_at_their_rows(device: str) -> None:
    data, sender = [empty(), empty()], HostCopies()
    sender.put([captured(1.5, device=device), captured(-2.0, device=device)], data, [3, 0])
    sender.put([captured(7.0, device=device), captured(8.0, device=device)], data, [1, 4])
    sender.finish()
    for one, values in zip(data, ((1.5, 7.0), (-2.0, 8.0)), strict=True):
        for name, offset in zip(NAMES, range(3), strict=True):
            array = getattr(one, name)
            assert (array[[0, 3]] == values[0] + offset).all()
            assert (array[[1, 4]] == values[1] + offset).all()
            assert np.isnan(array[2]).all()


def test_of_a_pass_that_ended_early_the_other_layers_stay_unknown() -> None:
    data = empty()
    HostCopies().put([captured(1.0, layers=1)], [data], [0, 1])
    assert (data.hidden_states[:2, :2] == 1).all()
    assert np.isnan(data.hidden_states[:, 2]).all()
    assert np.isnan(data.head_outputs[:, 1]).all()
    assert np.isnan(data.answer_logits).all()


def test_batches_on_their_way_from_a_gpu_are_waited_for_one_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bookkeeping alone, with a copy that has arrived when it is waited for."""
    waited: list[str] = []

    class Event:
        def __init__(self, name: str) -> None:
            self.name = name

        def synchronize(self) -> None:
            waited.append(self.name)

    monkeypatch.setattr(host_copies, "_keep", lambda pairs, positions: waited.append(f"kept {positions}"))
    sender = HostCopies()
    for number in range(3):
        sender._under_way.append((Event(f"copy {number}"), [], [number]))  # type: ignore[arg-type]
        sender.finish(1)
    assert waited == ["copy 0", "kept [0]", "copy 1", "kept [1]"]
    sender.finish()
    assert waited[4:] == ["copy 2", "kept [2]"]
