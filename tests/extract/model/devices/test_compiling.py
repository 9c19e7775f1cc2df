"""A language model whose blocks are compiled has the features of one that is not, up to rounding.

Tested with the traced code run as it is ("eager", "aot_eager"), which needs no compiler, and once with the default.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from tests.support.extractions import WHOLE, features_of, make_extractor, run_all, store_of
from tests.support.oracles.eager_reference import ROUNDING
from tests.support.oracles.prompt_passes import NAMES, Clips, blocks_run
from vadprobe.extract.model import backbone as backbone_module
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.blocks import compiling
from vadprobe.extract.model.blocks.compiling import compile_blocks
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.capture import Captured
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED

PROMPTS = ("Yes?", "Does anything abnormal happen in this video?", "What is seen? Answer with one word: yes or no.")
SHAPES = ((2, 4), (3, 7))  # clips and frames
MakeClips = Callable[[int, int], Sequence[np.ndarray]]


pytestmark = pytest.mark.usefixtures("nothing_compiled_before")


def features(
    backbone: Backbone, clips: Sequence[np.ndarray], *, shared: bool, n_blocks: int | None = None
) -> list[Captured]:
    """Three prompts, behind shared tokens or each in a pass of its own."""
    made = Clips.of(backbone, clips)
    return made.together(PROMPTS, n_blocks) if shared else [made.alone(prompt, n_blocks) for prompt in PROMPTS]


def largest_difference(mine: Sequence[Captured], theirs: Sequence[Captured]) -> float:
    found = 0.0
    for one, other in zip(mine, theirs, strict=True):
        for name in NAMES:
            value, wanted = getattr(one, name), getattr(other, name)
            assert (value is None) == (wanted is None)
            if value is not None:
                assert value.shape == wanted.shape
                found = max(found, float((value - wanted).abs().max()))
    return found


def both(describe_tiny: Any, family: str, backend: str) -> tuple[Backbone, Backbone]:
    description = describe_tiny(family)
    eager, compiled = (load(description, "cpu", threads=1) for _ in range(2))
    compile_blocks(compiled.parts, backend)
    return eager, compiled


@pytest.mark.parametrize(
    ("family", "backend"),
    [
        ("internvl", "eager"),
        pytest.param("qwen2_5_vl", "aot_eager", marks=pytest.mark.slow),
        pytest.param("qwen3_vl", "eager", marks=pytest.mark.slow),
    ],
)
def test_compiled_features_equal_eager_ones_and_little_code_serves_all(
    describe_tiny: Any, random_clips: MakeClips, family: str, backend: str
) -> None:
    eager, compiled = both(describe_tiny, family, backend)
    for shared in (False, True):
        for clips, frames in SHAPES:
            videos = random_clips(clips, frames)
            mine, theirs = features(compiled, videos, shared=shared), features(eager, videos, shared=shared)
            assert largest_difference(mine, theirs) <= ROUNDING, (shared, clips, frames)
    made = counters["stats"]["unique_graphs"]
    assert 1 <= made <= 8  # six blocks, three prompts, two shapes, two ways
    assert not counters["graph_break"]
    for shared in (False, True):
        features(compiled, random_clips(4, 6), shared=shared)
    assert counters["stats"]["unique_graphs"] == made

    # A pass that ends early has the same bits and runs no further.
    n_blocks = 4
    for shared in (False, True):
        with blocks_run(compiled.parts.blocks) as ran:  # outside the compiled code, so also after it was made
            early = features(compiled, videos, shared=shared, n_blocks=n_blocks)
        assert ran == set(range(n_blocks))
        whole = features(compiled, videos, shared=shared)
        for one, other in zip(early, whole, strict=True):
            assert torch.equal(one.hidden_states, other.hidden_states[:, : n_blocks + 1])
            assert torch.equal(one.head_outputs, other.head_outputs[:, :n_blocks])
            assert one.answer_logits is None


def test_hooks_that_come_after_compiling_are_missed_and_that_is_an_error(
    describe_tiny: Any, random_clips: MakeClips
) -> None:
    eager = load(describe_tiny("internvl"), "cpu", threads=1)
    for projection in eager.parts.projections:
        projection._forward_pre_hooks.clear()
        del projection.heads_slot
    compile_blocks(eager.parts, "eager")
    clips = random_clips(2, 3)
    with pytest.raises(RuntimeError, match=r"captured 7 of 7 hidden states and the heads of 0 of 6 blocks"):
        features(eager, clips, shared=False)
    late = Backbone(eager.description, eager.model, TextBlocks.of(eager.model), eager.device)
    with pytest.raises(RuntimeError, match=r"the heads of 0 of 6 blocks; hooks must be registered before the model"):
        features(late, clips, shared=False)


def test_load_compiles_only_if_asked(describe_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TextBlocks] = []
    monkeypatch.setattr(backbone_module, "compile_blocks", asked.append)
    assert load(describe_tiny("internvl"), "cpu", threads=1) is not None
    assert asked == []
    compiled = load(describe_tiny("internvl"), "cpu", threads=1, compiled=True)
    assert asked == [compiled.parts]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the default backend needs a C++ compiler on the CPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the compiler imports
def test_the_default_backend_gives_the_same_features(describe_tiny: Any, random_clips: MakeClips) -> None:
    """Slow for its C++ compiler, 20 s even for one prompt; the traced code is run above without one."""
    eager = load(describe_tiny("qwen2_5_vl"), "cpu", threads=1)
    compiled = load(describe_tiny("qwen2_5_vl"), "cpu", threads=1, compiled=True)
    clips = random_clips(2, 4)
    for shared in (False, True):
        mine, theirs = features(compiled, clips, shared=shared), features(eager, clips, shared=shared)
        assert largest_difference(mine, theirs) <= ROUNDING  # fused sums are rounded at other places


def test_a_missing_compiler_is_named_before_any_clip_passes(
    describe_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = load(describe_tiny("internvl"), "cpu", threads=1).parts
    before = [block.forward for block in parts.blocks]
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(VadprobeError, match=r"needs a C\+\+ compiler on 'cpu'; install g\+\+.*CXX"):
        compile_blocks(parts)
    assert [block.forward for block in parts.blocks] == before
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    with pytest.raises(VadprobeError, match=r"needs the package 'triton' on 'cuda'"):
        compiling._require_compiler(torch.device("cuda"))
    monkeypatch.setattr(compiling.shutil, "which", lambda name: name if name == "own-compiler" else None)
    monkeypatch.setenv("CXX", "own-compiler")
    compiling._require_compiler(torch.device("cpu"))


def test_an_extraction_compiles_and_its_stores_say_so(
    tmp_path: Path, video_folder: Path, describe_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone_module, "compile_blocks", partial(compile_blocks, backend="eager"))
    about, extractors = describe_tiny("internvl"), []
    for wanted in (True, False):
        settings: dict[str, Any] = {"samplings": [WHOLE], "decoders": 1, "compile": wanted}
        extractors.append(make_extractor(video_folder, tmp_path / str(wanted), about, [SHIPPED["coarse"]], **settings))
        run_all(extractors[-1])
    assert counters["stats"]["unique_graphs"] > 0
    mine, theirs = map(store_of, extractors)
    assert mine.spec.differences(theirs.spec) == ["recipe.compile: True, not missing"]
    found, expected = (features_of(store)["hidden_states"] for store in (mine, theirs))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
