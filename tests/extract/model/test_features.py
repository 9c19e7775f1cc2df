"""Features equal what `generate` reports and attention written out head by head, on every device and in every dtype.

The same functions run on the CPU, where float32 and bfloat16 are always tested; those with a GPU are marked `gpu`. A
relative difference is the length of the difference over that of what is compared with, for each clip and layer; the
tolerance of each dtype is a few of its roundings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import FAMILIES
from tests.support.extractions import features_of, make_extractor, run_all, store_of
from tests.support.oracles.prompt_passes import NAMES, PROMPTS, Clips, blocks_run, first_token_report
from tests.support.profiles import LONG
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.blocks.compiling import compile_blocks
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.store.verification.verify import verify

FRAMES = 5  # odd, so that Qwen2.5-VL pairs the last frame with itself
TOLERANCES: Mapping[torch.dtype, float] = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 5e-3}
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
PLACES = [
    pytest.param((device, dtype), id=f"{device}-{dtype}", marks=[pytest.mark.gpu, NO_GPU] if device == "cuda" else [])
    for device, dtype in (
        ("cpu", "float32"),
        ("cpu", "bfloat16"),
        ("cuda", "float32"),
        ("cuda", "bfloat16"),
        ("cuda", "float16"),
    )
]


@dataclass(frozen=True)
class Bench:
    """A backbone of a kind at its place, and the tolerance of its dtype."""

    kind: str
    backbone: Backbone
    tolerance: float

    def clips(self, count: int, seed: int = 0, seconds: Sequence[float] | None = None) -> Clips:
        return Clips.of(self.backbone, noise(count, seed), seconds)


def noise(count: int, seed: int = 0) -> list[np.ndarray]:
    make = np.random.default_rng(seed)
    return [make.integers(0, 256, (FRAMES, 64, 70, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(autouse=True)
def _float32_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a GPU convolves float32 with the precision of TF32, 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    device, dtype = request.param
    return device, dtype


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest, describe_tiny: Any) -> Bench:
    (device, dtype), kind = request.param
    loaded = load(describe_tiny(kind, dtype=dtype), device, threads=1)
    return Bench(kind, loaded, TOLERANCES[getattr(torch, dtype)])


BENCHES = [
    pytest.param((place.values[0], family), id=f"{place.id}-{family}", marks=place.marks)
    for place in PLACES
    for family in FAMILIES
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bench" in metafunc.fixturenames:
        metafunc.parametrize("bench", BENCHES, indirect=True, scope="module")


def relative(mine: Tensor, theirs: Tensor, from_dimension: int = 2) -> float:
    """The largest relative difference of a clip and layer."""
    assert mine.shape == theirs.shape
    one, other = (value.detach().float().cpu().flatten(from_dimension) for value in (mine, theirs))
    return float(((one - other).norm(dim=-1) / other.norm(dim=-1)).max())


def assert_close(mine: Captured, theirs: Captured, tolerance: float) -> None:
    assert relative(mine.hidden_states, theirs.hidden_states) <= tolerance
    assert relative(mine.head_outputs, theirs.head_outputs) <= tolerance
    assert mine.answer_logits is not None
    assert theirs.answer_logits is not None
    # Two logits may both be near 0: their scale is that of a sum over the hidden state, about 1 here.
    assert float((mine.answer_logits - theirs.answer_logits).abs().max()) <= 4 * tolerance


def assert_same_bits(mine: Captured, theirs: Captured) -> None:
    for name in NAMES:
        one, other = getattr(mine, name), getattr(theirs, name)
        assert one is other is None or torch.equal(one, other), name


def test_hidden_states_are_those_of_generate(bench: Bench) -> None:
    clips = bench.clips(2)
    captured, report = clips.alone(), first_token_report(bench.backbone.model, clips.raw())
    reported = torch.stack([layer[:, -1] for layer in report.hidden_states[0][:-1]], dim=1)
    # On a GPU, a kept cache may choose another kernel.
    tolerance = 0.0 if bench.backbone.device.type == "cpu" else bench.tolerance
    assert relative(captured.hidden_states[:, :-1], reported) <= tolerance
    spec, last = bench.backbone.description.spec, report.hidden_states[0][-1][:, -1]
    assert captured.hidden_states.shape == (2, spec.n_layers + 1, spec.hidden_size)
    assert relative(captured.hidden_states[:, -1], last, 1) > 1e-2  # before the final norm
    with torch.inference_mode():
        normed = bench.backbone.model.get_decoder().norm(captured.hidden_states[:, -1])
    assert relative(normed, last, 1) <= tolerance
    logits = report.logits[0][:, list(bench.backbone.description.answer_ids)]
    assert captured.answer_logits is not None
    assert float((captured.answer_logits.float() - logits.float()).abs().max()) <= 4 * bench.tolerance


def test_heads_and_layers_equal_the_eager_reference(bench: Bench, describe_tiny: Any) -> None:
    """Written out in float32 on the CPU, from the same weights and the same embeddings."""
    model = bench.backbone.model
    clips = bench.clips(2)
    captured, report = clips.alone(), first_token_report(model, clips.raw())
    plain = load(describe_tiny(bench.kind), "cpu", threads=1).model
    plain.load_state_dict({name: weight.float().cpu() for name, weight in model.state_dict().items()})
    reference = clips.reference(plain, report.hidden_states[0][0].float().cpu())
    assert relative(captured.head_outputs, reference.heads) <= bench.tolerance
    assert relative(captured.hidden_states, reference.hidden) <= bench.tolerance


def test_prompts_behind_shared_tokens_equal_their_own_passes(bench: Bench) -> None:
    clips = bench.clips(2)
    together = clips.together(PROMPTS)
    for prompt, mine in zip(PROMPTS, together, strict=True):
        assert_close(mine, clips.alone(prompt), bench.tolerance)
    assert relative(together[0].hidden_states[:, 1:], together[1].hidden_states[:, 1:]) > 5 * bench.tolerance


def test_clips_of_a_batch_equal_each_clip_alone(bench: Bench) -> None:
    seconds = [0.4, 1.0, 2.5]
    batch = bench.clips(3, 1, seconds).alone()
    for number, (clip, duration) in enumerate(zip(noise(3, 1), seconds, strict=True)):
        row = slice(number, number + 1)
        assert batch.answer_logits is not None
        mine = Captured(batch.hidden_states[row], batch.head_outputs[row], batch.answer_logits[row])
        assert_close(mine, Clips.of(bench.backbone, [clip], [duration]).alone(), bench.tolerance)


@pytest.mark.parametrize("n_blocks", [1, 4])
def test_a_pass_that_ends_early_has_the_same_bits(bench: Bench, n_blocks: int) -> None:
    clips = bench.clips(2)
    with blocks_run(bench.backbone.parts.blocks) as ran:
        early = [clips.alone(n_blocks=n_blocks), *clips.together(n_blocks=n_blocks)]
    assert ran == set(range(n_blocks))
    whole = [clips.alone(), *clips.together()]
    for one, other in zip(early, whole, strict=True):
        hidden, heads = other.hidden_states[:, : n_blocks + 1], other.head_outputs[:, :n_blocks]
        assert_same_bits(one, Captured(hidden, heads, None))


def test_a_repeated_run_has_the_same_bits(bench: Bench) -> None:
    clips, again = bench.clips(2), bench.clips(2)
    for one, other in zip(clips.together(), again.together(), strict=True):
        assert_same_bits(one, other)
    assert_same_bits(clips.alone(), again.alone())


def test_another_dtype_rounds_the_same_features(bench: Bench, describe_tiny: Any) -> None:
    """Against float32 on the CPU. Weights and every step are rounded, so a few tolerances add up over the layers."""
    plain = load(describe_tiny(bench.kind), "cpu", threads=1)
    mine, theirs = bench.clips(2).alone(), replace(bench, backbone=plain).clips(2).alone()
    assert mine.hidden_states.dtype is mine.head_outputs.dtype is bench.backbone.model.dtype
    assert_close(Captured(*(getattr(mine, name).float().cpu() for name in NAMES)), theirs, 3 * bench.tolerance)


@pytest.mark.parametrize("place", PLACES if LONG else PLACES[1:], indirect=True)  # not the same place twice
def test_a_store_written_here_holds_the_features(
    tmp_path: Path, place: tuple[str, str], describe_tiny: Any, video_folder: Path
) -> None:
    device, dtype = place
    stores = []
    for number, (where, kind) in enumerate(((device, dtype), ("cpu", "float32"))):
        about = describe_tiny("qwen2_5_vl", dtype=kind)
        extractor = make_extractor(video_folder, tmp_path / f"{number}", about, device=where)
        assert run_all(extractor) == [{}]
        stores.append([store_of(extractor, prompt) for prompt in range(2)])
    for mine, theirs in zip(*stores, strict=True):
        assert mine.spec.recipe["device"] == device
        assert verify(mine.path).problems == ()
        found, wanted = (
            torch.as_tensor(features_of(store)["hidden_states"], dtype=torch.float32) for store in (mine, theirs)
        )
        assert relative(found, wanted) <= 3 * TOLERANCES[getattr(torch, dtype)]


@pytest.mark.parametrize("place", PLACES if LONG else PLACES[1:], indirect=True)  # test_compiling.py has float32
@pytest.mark.usefixtures("nothing_compiled_before")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the compiler imports
def test_compiled_features_equal_eager_ones(place: tuple[str, str], describe_tiny: Any) -> None:
    device, dtype = place
    if device == "cuda" and not find_spec("triton"):
        pytest.skip("compiling for a GPU needs triton")
    eager, compiled = (
        Bench(
            "internvl",
            load(describe_tiny("internvl", dtype=dtype), device, threads=1),
            TOLERANCES[getattr(torch, dtype)],
        )
        for _ in range(2)
    )
    compile_blocks(compiled.backbone.parts, "inductor" if device == "cuda" else "eager")
    mine, theirs = compiled.clips(2), eager.clips(2)
    if LONG or device == "cuda":  # more shapes, so more code to make
        for one, other in zip(mine.together(), theirs.together(), strict=True):
            assert_close(one, other, eager.tolerance)
    assert_close(mine.alone(), theirs.alone(), eager.tolerance)
    assert_same_bits(mine.alone(), mine.alone())


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors made inside that are still alive, and the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, count: int) -> None:
        self._known.discard(key)
        self.now -= count


@contextmanager
def measured_peak(device: torch.device) -> Iterator[Callable[[], int]]:
    """Most bytes that were alive at once inside, beyond those from before."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield lambda: torch.cuda.max_memory_allocated() - before
    else:
        with LiveBytes() as bytes_:
            yield lambda: bytes_.peak


def test_capturing_needs_little_memory_beside_the_pass(bench: Bench) -> None:
    """The captured positions twice, once by layer and once together; a kept sequence would be many times as much."""
    clips, backbone = bench.clips(8), bench.backbone
    captured = clips.alone()  # also a first pass, after which libraries have their workspaces
    features = sum(value.nbytes for value in (captured.hidden_states, captured.head_outputs))
    sequence = clips.arguments()["input_ids"].numel() * backbone.description.spec.hidden_size
    allowed = 2 * features + 64 * 1024
    assert allowed < sequence * captured.hidden_states.element_size() * backbone.description.spec.n_layers / 2
    del captured
    peaks = []
    with torch.inference_mode():
        arguments = {**clips.arguments(), "mm_encoder_outputs": clips.encoded()}
        with measured_peak(backbone.device) as peak:
            backbone.model.model(**arguments, use_cache=False)
            peaks.append(peak())
        with measured_peak(backbone.device) as peak:
            capture(backbone.model, backbone.parts, arguments, backbone.description.answer_ids)
            peaks.append(peak())
    assert peaks[0] > 0
    assert peaks[1] - peaks[0] <= allowed
