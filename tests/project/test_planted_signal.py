"""The generator plants what it says: means, variances and clusters of the features, and stores that verify."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.support.planted_signal import Planting, planted_heads
from benchmarks.support.planted_stores import write_planted_stores
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

PROMPTS = ("coarse", "detailed", "question")
SMALL = Planting(
    n_layers=4, n_heads=5, head_dim=6, hidden_size=12, prompts=PROMPTS, robust=3, unstable=4, covariance=3, layers=(2,)
)

HELD = ((0, 1), (2, 3))


def distances(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(L, H): distance of the class means."""
    means = features[..., labels == 1, :].mean(axis=2) - features[..., labels == 0, :].mean(axis=2)
    return np.asarray(np.linalg.norm(means, axis=-1))


def test_means_differ_in_the_named_heads_under_the_named_prompts_alone() -> None:
    features, labels, _, truth = planted_heads(SMALL, 4000)
    assert [len(truth.robust), len(truth.covariance), sum(map(len, truth.unstable.values()))] == [3, 3, 4]
    for prompt in PROMPTS:
        found = distances(features[prompt], labels)
        shown = {tuple(map(int, place)) for place in np.argwhere(found > 1)}
        assert shown == set(truth.robust) | set(truth.unstable[prompt])
        assert found[found < 1].max() < 0.3


def test_covariance_only_heads_differ_in_variance_alone() -> None:
    features, labels, _, truth = planted_heads(SMALL, 4000)
    for values in features.values():
        centred = [values[..., labels == label, :] for label in (0, 1)]
        deviations = [part.std(axis=2).mean(axis=-1) for part in centred]
        differs = {tuple(map(int, place)) for place in np.argwhere(deviations[1] / deviations[0] > 1.15)}
        assert differs == set(truth.covariance)


def test_overlap_leaves_anomalous_videos_without_a_shift() -> None:
    whole = planted_heads(SMALL, 4000)
    half = planted_heads(replace(SMALL, overlap=0.5), 4000)
    robust = whole[3].robust
    ratio = distances(half[0]["coarse"], half[1]) / distances(whole[0]["coarse"], whole[1])
    assert np.allclose([ratio[head] for head in robust], 0.5, atol=0.1)


def test_clips_of_a_video_share_an_offset_in_every_prompt() -> None:
    planting = replace(SMALL, cluster=2.0, robust=0, unstable=0, covariance=0)
    features, labels, groups, _ = planted_heads(planting, 200, clips_per_video=20)
    assert len(labels) == len(groups) == 4000
    within, between = [], []
    for values in features.values():
        by_video = values.reshape(4, 5, 200, 20, 6)
        within.append(by_video.var(axis=3).mean())
        between.append(by_video.mean(axis=3).var(axis=2).mean())
    assert np.allclose(within, 1, atol=0.1)
    assert np.allclose(between, 4, rtol=0.15)
    one, other = (features[prompt].reshape(-1, 200, 20, 6).mean(axis=2).ravel() for prompt in PROMPTS[:2])
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_noise_may_be_shared_heavy_tailed_and_have_massive_dimensions() -> None:
    planting = replace(SMALL, shared=0.6, tails=4.0, robust=0, unstable=0, covariance=0)
    features, _, _, _ = planted_heads(planting, 4000)
    one, other = features["coarse"].ravel(), features["question"].ravel()
    assert np.corrcoef(one, other)[0, 1] == pytest.approx(0.6, abs=0.05)
    assert one.var() == pytest.approx(1, abs=0.1)
    assert np.mean(one**4) / one.var() ** 2 > 3.5, "a normal distribution has 3"
    massive, _, _, _ = planted_heads(replace(SMALL, massive=2), 50)
    assert ((massive["coarse"].mean(axis=2) > 20).sum(axis=-1) == 2).all()


def test_a_draw_is_repeatable_and_another_is_independent() -> None:
    first, again, other = (planted_heads(SMALL, 30, draw=draw)[0]["coarse"] for draw in (0, 0, 1))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_the_classes_have_the_share_asked_for() -> None:
    _, labels, _, _ = planted_heads(SMALL, 40, anomalous=0.2)
    assert labels.sum() == 8


@pytest.mark.parametrize("repeat", [False, True])
def test_stores_verify_and_hold_what_was_planted(tmp_path: Path, repeat: bool) -> None:
    written = write_planted_stores(
        tmp_path,
        SMALL,
        120,
        10,
        positive_share=0.5,
        repeat=repeat,
        failed=[5, 700],
        heads=[(0, 1), (2, 3)],
        layers=[1, 2],
    )
    assert len(written.labels) == 1200
    truth = np.concatenate([
        [written.dataset.truth(video.video_id, 240)[24 * clip : 24 * clip + 24].all() for clip in range(10)]
        for video in written.dataset.videos
    ])  # fmt: skip
    assert np.array_equal(written.labels, truth)
    kept = np.setdiff1d(np.arange(1200), [5, 700])
    for prompt, path in written.stores.items():
        assert not verify(path).problems, prompt
        store = FeatureStore.open(path)
        assert sorted(store.failures) == [5, 700]
        hidden = store.hidden_states(kept, [1, 2]).swapaxes(0, 1)[:, None]
        found = distances(hidden, written.labels[kept])[:, 0]
        assert found[1] > 1.5, "layer 2 is informative"
        assert found[0] < 0.7, "layer 1 is not"


def test_stores_do_not_depend_on_how_often_writing_was_interrupted(tmp_path: Path) -> None:
    one, other = (write_planted_stores(tmp_path / name, SMALL, 60, 10) for name in ("one", "other"))
    path = other.stores["coarse"]
    path.with_suffix(".records").joinpath("000001.json").unlink()
    write_planted_stores(tmp_path / "other", SMALL, 60, 10)
    rows = np.arange(600)
    first, again = (FeatureStore.open(written.stores["coarse"]).blocks(rows, [0, 3]) for written in (one, other))
    assert np.array_equal(first, again)
