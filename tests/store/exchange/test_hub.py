"""Stores in a repository of a hub: given as one commit, read by ranges, and never written piece by piece."""

import hashlib

import numpy as np
import pytest

from tests.support.builders import all_features, committed_store, tree
from tests.support.processes.hub_server import PAGE, TOKEN, hub_at_hand
from tests.support.processes.remote_servers import Faults
from vadprobe.flows.command_line import main
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.hub_push import push_to_hub
from vadprobe.store.exchange.transfer import Choice, transfer
from vadprobe.store.files.location import location
from vadprobe.store.files.object_store import ForbiddenError, UnreachableError
from vadprobe.store.files.zarr_arrays import open_array
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

PLACE = "hf://datasets/team/features/stores"
N_CLIPS = 300


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def repository(faults):
    with hub_at_hand(faults) as made:
        yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return FeatureStore.open(committed_store(tmp_path_factory.mktemp("source"), N_CLIPS).path)


def test_a_store_is_given_as_one_commit_and_comes_back_with_the_same_bytes(repository, whole, tmp_path, capsys):
    source = str(whole.path.parents[3])
    assert main(["push", source, PLACE]) == 0
    assert f"{PLACE}/{whole.path.relative_to(source)}: 2 of 2 partitions copied" in capsys.readouterr().out
    ((summary, names),) = repository.commits
    assert summary == f"Features of toys: {whole.spec.backbone.key}, prompt {whole.spec.prompt.key}"
    assert len(names) > PAGE, "the listing of the repository has several pages"
    there = {
        name.removeprefix("stores/toys/"): hashlib.sha256(data).hexdigest() for name, data in repository.files.items()
    }
    assert there == {
        name: digest for name, digest in tree(whole.path.parents[2]).items() if digest and ".planning" not in name
    }
    assert main(["ls", PLACE]) == 0
    assert whole.spec.prompt.key in capsys.readouterr().out
    assert main(["pull", f"{PLACE.replace('features/', 'features@main/')}", str(tmp_path)]) == 0
    assert tree(tmp_path / "toys") == tree(whole.path.parents[2])
    assert main(["push", source, PLACE]) == 0
    assert len(repository.commits) == 1, "nothing has changed, so nothing is committed"


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_store_of_a_repository_is_read_where_it_lies(whole, faults, knows_ranges):
    with hub_at_hand(faults, knows_ranges):
        push_to_hub(whole, location(PLACE), Choice())
        there = FeatureStore.open(location(PLACE) / str(whole.path.relative_to(whole.path.parents[3])))
        rows = np.array([1, 7, 299])
        wanted = all_features(whole.spec, "hidden_states")[rows][:, [1]]
        np.testing.assert_array_equal(there.hidden_states(rows, [1]), wanted)
        assert verify(there.path).problems == ()
        assert open_array(there.path, "clip").shape == (N_CLIPS,)
        faults.reset()
        faults.rule = lambda method, path, number: "503" if number == 1 and "resolve" in path else None
        np.testing.assert_array_equal(there.hidden_states(rows, [1]), wanted)
        assert faults.n_faults > 0


def test_what_is_in_the_way_and_what_was_changed_meanwhile(repository, whole, faults):
    push_to_hub(whole, location(PLACE), Choice())
    with pytest.raises(StoreError, match="already holds a store of another specification"):
        push_to_hub(whole, location(PLACE), Choice(layers=(1,)))
    assert len(repository.commits) == 1

    def somebody_commits(method: str, path: str, number: int) -> None:
        if "preupload" in path:
            repository.commits.append(("by somebody else", []))

    faults.rule = somebody_commits
    with pytest.raises(StoreError, match="was changed while the copy was made; give the same command again"):
        push_to_hub(whole, location("hf://datasets/team/features/elsewhere"), Choice())
    assert not any(name.startswith("elsewhere") for name in repository.files)


def test_what_a_repository_does_not_take(repository, whole, tmp_path, monkeypatch):
    with pytest.raises(StoreError, match=r"has no locks for partitions.* 'vadprobe push' when it is finished"):
        transfer(whole, location(PLACE), Choice())
    with pytest.raises(VadprobeError, match="a repository of the hub has no locks"):
        (location(PLACE) / "file").write_bytes(b"x")
    for url in ("hf://models/team/features", "hf://datasets/team", "hf://team/features"):
        with pytest.raises(VadprobeError, match="must be hf://datasets/OWNER/NAME"):
            location(url)
    absent = location("hf://datasets/team/features@next/stores")
    with pytest.raises(FileNotFoundError):
        absent.read_ranges([(0, 1)], 0)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(ForbiddenError, match="HF_TOKEN does not open it") as refused:
        push_to_hub(whole, location(PLACE), Choice())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the attempts of the hub's library
    for action in ((location(PLACE) / "a").read_bytes, lambda: list(location(PLACE).iterdir())):
        with pytest.raises(UnreachableError, match="cannot be reached"):
            action()
    assert TOKEN not in str(refused.value)
    assert "somebody" not in str(refused.value)
    assert repository.commits == []
