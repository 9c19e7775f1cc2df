"""Values that the backbone's dtype cannot hold end the extraction in a sentence; they never reach a store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extractions import make_extractor, run_all
from tests.support.oracles.prompt_passes import Clips
from vadprobe.extract.model.backbone import Backbone, Description, load
from vadprobe.extract.model.capture import Captured
from vadprobe.extract.pipeline import extraction
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED

DescribeTiny = Callable[..., Description]
FLOAT16 = (
    r"layer 3 is infinite or NaN, computed in float16: float16 holds no number above 65504\. Set dtype = .bfloat16."
)


def grown(description: Description, factor: float) -> Backbone:
    """With a third block whose output is that many times as large."""
    loaded = load(description, "cpu", threads=1)
    block: Any = loaded.parts.blocks[2]
    block.mlp.down_proj.weight.mul_(factor)
    assert block.mlp.down_proj.weight.isfinite().all() or np.isnan(factor)
    return loaded


def features(backbone: Backbone, n_blocks: int | None = None) -> Captured:
    clips = [np.random.default_rng(0).integers(0, 256, (4, 60, 60, 3), dtype=np.uint8)] * 2
    return Clips.of(backbone, clips).alone("Yes?", n_blocks)


def test_float16_that_overflows_is_refused_where_bfloat16_goes_on(describe_tiny: DescribeTiny) -> None:
    with pytest.raises(VadprobeError, match=FLOAT16):
        features(grown(describe_tiny("internvl", dtype="float16"), 1e5))
    for dtype in ("bfloat16", "float32"):
        found = features(grown(describe_tiny("internvl", dtype=dtype), 1e5))
        assert float(found.hidden_states[:, 3].abs().max()) > 65504


def test_only_layers_that_run_count(describe_tiny: DescribeTiny) -> None:
    backbone = grown(describe_tiny("internvl", dtype="float16"), 1e5)
    assert features(backbone, n_blocks=2).hidden_states.isfinite().all()
    with pytest.raises(VadprobeError, match="layer 3"):
        features(backbone, n_blocks=3)


def test_values_near_the_end_of_float16_are_kept(describe_tiny: DescribeTiny) -> None:
    found = features(grown(describe_tiny("internvl", dtype="float16"), 1e3))
    assert 1000 < float(found.hidden_states[:, 3].abs().max()) < 65504


def test_weights_that_are_not_numbers_are_named_as_the_cause(describe_tiny: DescribeTiny) -> None:
    with pytest.raises(VadprobeError, match=r"layer 3 is infinite or NaN, computed in float32: the weights may be dam"):
        features(grown(describe_tiny("internvl"), float("nan")))


def test_an_infinite_logit_alone_is_refused(describe_tiny: DescribeTiny) -> None:
    backbone = load(describe_tiny("internvl", dtype="float16"), "cpu", threads=1)
    backbone.model.lm_head.weight.mul_(6e4)
    assert backbone.model.lm_head.weight[list(backbone.description.answer_ids)].isfinite().all()
    with pytest.raises(VadprobeError, match=r"an answer's logit is infinite or NaN, computed in float16"):
        features(backbone)


def test_an_extraction_that_overflows_stops_at_once_and_writes_nothing(
    tmp_path: Path, video_folder: Path, describe_tiny: DescribeTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    description, prompts = describe_tiny("internvl", dtype="float16"), [SHIPPED["coarse"]]
    extractor = make_extractor(video_folder, tmp_path, description, prompts, batch_clips=2)
    done: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "load", lambda *arguments, **settings: grown(description, 1e5))
        with pytest.raises(VadprobeError, match=FLOAT16):
            compute_pending(extractor, Listener(clip_done=done.append))
    assert done == []
    assert extractor.pending() == [(0, 0)]
    again = make_extractor(video_folder, tmp_path, description, prompts, batch_clips=2)
    assert run_all(again) == [{}]
    assert again.pending() == []
