"""The benchmark scripts run, and the peers they are measured against give the same values."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.slow
def test_exact_metrics_agree_with_every_peer_at_a_small_size(tmp_path):
    sizes = ["--frames=6e3", "--clips=300", "--videos=20", "--resamples=12", "--peer-resamples=3"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "exact_metrics.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6000 frames in 300 clips of 20 videos" in done.stdout
    assert "scaled linearly to 12" in done.stdout
    differences = json.loads(result.read_text())["differences"]
    assert set(differences) == {"frames", "weights", "bootstrap_weights"}
    assert all(difference < 1e-12 for difference in differences.values()), differences


@pytest.mark.slow
def test_every_way_to_read_a_store_gives_the_values_of_its_peers_at_a_small_size(tmp_path):
    sizes = ["--clips=512", "--blocks=2", "--heads=3", "--head-dim=8", "--many-rows=1500", f"--folder={tmp_path}"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "store_reading.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "limit: memcpy of the result" in done.stdout
    found = json.loads(result.read_text())
    assert len(found["read"]) == 5
    for pattern, formats in [*found["read"].items(), *found["many"].items()]:
        assert {"store, vadprobe", "np.memmap"} <= set(formats), pattern
        assert len({case["digest"] for case in formats.values()}) == 1, pattern
    assert list(found["many"]) == ["1024", "1536"]


@pytest.mark.slow
def test_bytes_per_value_are_counted_of_codecs_that_lose_nothing(tmp_path):
    sizes = ["--clips=256", "--heads=2", "--head-dim=128", "--hidden=256"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "bytes_per_value.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "hidden states of 256, float16" in done.stdout
    for by_dtype in json.loads(result.read_text())["bytes"].values():
        for dtype, raw in {"bfloat16": 2, "float16": 2, "float32": 4}.items():
            for name, row in by_dtype[dtype].items():
                assert row["raw"] == raw
                assert row["store"] < 0.97 * raw, (dtype, name)


@pytest.mark.slow
def test_requests_of_a_store_behind_a_url_are_counted_at_a_small_size(tmp_path):
    pytest.importorskip("obstore", reason="the package for URLs is not installed")
    sizes = ["--clips=512", "--blocks=2", "--heads=3", "--head-dim=8", "--latency=0"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "remote_reading.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())["five heads, all rows"]
    assert found["store, vadprobe"]["requests"] <= 2 * 2  # of each shard its tail, and neighbouring chunks at once
    assert found["store, vadprobe compact"]["requests"] <= 2 + 1  # one shard; and its metadata, asked for once
    assert found[".npy per video"]["requests"] == 512 / 32


@pytest.mark.slow
def test_prompts_that_share_a_pass_agree_with_their_own_at_a_small_size(tmp_path):
    sizes = ["--frames=4", "--height=56", "--width=56", "--prompts=2", "--repeats=1", "--threads=1"]
    backbones = ["qwen2_5_vl", "internvl-512"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "extraction.py"), *sizes, f"--json={result}", "--backbones", *backbones]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 prompts: own passes" in done.stdout
    every = json.loads(result.read_text())
    for name in backbones:
        assert every[name]["difference"] <= 1e-5
        assert every[name]["shared"] > 0
        assert 0 < every[name]["utilisation"] < 1


@pytest.mark.parametrize(("name", "billions", "tokens"), [("InternVL3-8B", 7.94, 2048), ("Qwen2.5-VL-7B", 8.29, 1024)])
def test_the_true_shapes_have_the_published_numbers_of_parameters(tmp_path, monkeypatch, name, billions, tokens):
    monkeypatch.syspath_prepend(str(FOLDER))
    from backbone_shapes import describe_shape, make_backbone

    description = describe_shape(name, tmp_path, "bfloat16", (448, 448))
    model = make_backbone(description, "meta").model
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e9, 2) == billions
    assert (description.spec.n_layers, description.spec.n_heads, description.spec.head_dim) == (28, 28, 128)
    ids = description.family.tokenize("Is something wrong?", 8)
    assert tokens < ids.shape[1] < tokens + 120


@pytest.mark.slow
def test_scripts_of_users_write_the_features_of_the_store_at_a_small_size(tmp_path):
    sizes = ["--videos=2", "--frames=100", "--prompts=2", "--rounds=1", "--size=56", "--threads=1"]
    result = tmp_path / "result.json"
    ways = ["--ways", "vadprobe", "naive script", "batched script"]
    command = [sys.executable, str(FOLDER / "extraction_end_to_end.py"), *sizes, f"--json={result}", *ways]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())
    assert found["clips"] == 6
    assert set(found["differences"]) == {"naive script", "batched script"}
    assert all(0 <= difference <= 1e-5 for difference in found["differences"].values()), found["differences"]


@pytest.mark.slow
def test_every_way_to_decode_returns_the_frames_asked_for_at_a_small_size(tmp_path):
    sizes = ["--minutes=0.1", "--rounds=1", "--sample=3", "--sampling", "24", "8"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "decoding.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ways = json.loads(result.read_text())["ways"]["24-8"]
    assert {"vadprobe", "decord, one reader", "PyAV, one pass"} <= set(ways)
    assert all(found.get("grey_levels", 0) <= 2 for found in ways.values()), ways


@pytest.mark.slow
def test_memory_of_an_extraction_is_sampled_and_drawn_at_a_small_size(tmp_path):
    result = tmp_path / "result.json"
    sizes = ["--clips=1280", "--videos=2", "--length=2", f"--json={result}"]
    command = [sys.executable, str(FOLDER / "extraction_memory.py"), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Worked on 1280 of 1280 clips" in done.stdout
    found = json.loads(result.read_text())
    assert [one["clips"] for one in found["samples"]] == sorted(one["clips"] for one in found["samples"])
    assert max(one["clips"] for one in found["samples"]) == 1280
    assert all(one["level"] > 2**20 for one in found["growth"].values())
    assert result.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_saliency_agrees_with_loops_over_heads_and_dimensions_at_a_small_size(tmp_path):
    sizes = ["--samples", "8", "40", "--layer-samples", "9", "--heads=12", "--prompts=2", "--dimension=16"]
    result = tmp_path / "result.json"
    more = ["--peer-heads=6", "--layers=2", "--hidden=20", f"--json={result}"]
    command = [sys.executable, str(FOLDER / "saliency.py"), *sizes, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "12 heads of 16 dimensions under 2 prompts" in done.stdout
    assert "scaled from 6 heads" in done.stdout
    found = json.loads(result.read_text())
    assert list(found["heads"]) == ["8", "40"]
    for one in found["heads"].values():
        paper, code = one["conventions"]["paper"], one["conventions"]["headhunt-code"]
        for name in ("lda", "symmetric_kl", "maximum_mean_discrepancy"):
            assert paper["differences"][name] < 1e-8, paper
        assert code["differences"]["maximum_mean_discrepancy"] < 1e-8
        assert code["differences"]["symmetric_kl"] < 1e-5  # of scikit-learn's inverses, to their digits
        assert code["same_information"] == 1
        assert len(code["heads"]) == 5
    assert found["layers"]["9"]["difference"] < 1e-6


@pytest.mark.slow
def test_the_locator_and_the_bootstrap_agree_with_every_peer_at_a_small_size(tmp_path):
    sizes = ["--clips", "300", "450", "--videos", "20", "9", "--resamples=12", "--peer-resamples=2", "--rounds=1"]
    result = tmp_path / "result.json"
    command = [sys.executable, str(FOLDER / "locator.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "450 clips of 24 frames in 9 videos" in done.stdout
    assert "measured on 2 resamples and scaled linearly to 12" in done.stdout
    for found in json.loads(result.read_text()):
        cases = {**found["grid"], **found["bootstrap"]}
        peers = {"selecting", "multiplying", "frames", "grid_per_fold", "five", "weights"}
        assert {name for name, case in cases.items() if "difference" in case} == peers
        assert all(cases[name]["difference"] < 1e-12 for name in peers), cases


@pytest.mark.slow
def test_scoring_and_a_streamed_fit_give_the_same_bits_on_a_cluster_at_a_small_size(tmp_path):
    result = tmp_path / "result.json"
    sizes = ["--rows", "600", "--hidden=6", "--head-dim=4", f"--folder={tmp_path}", f"--json={result}"]
    command = [sys.executable, str(FOLDER / "analysis_scale.py"), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "DIFFERENT NUMBERS" not in done.stdout
    found = json.loads(result.read_text())
    assert set(found) == {"score", "fit"}
    for case, by_rows in found.items():
        assert list(by_rows) == ["600"]
        for ways in by_rows.values():
            assert ways["process"]["digest"] == ways["cluster"]["digest"], case
            assert len(ways["cluster"]["worker_bytes"]) == 2
            assert ways["process"]["passes"] == ways["cluster"]["passes"]


@pytest.mark.slow
def test_planted_heads_are_found_among_many_at_a_small_size(tmp_path):
    result = tmp_path / "result.json"
    sizes = ["--videos", "12", "60", "--draws=3", "--layers=4", "--heads=5", "--head-dim=8", "--prompts=3"]
    planted = ["--robust=5", "--unstable=4", "--strength=4", f"--json={result}"]
    command = [sys.executable, str(FOLDER / "planted_heads.py"), *sizes, *planted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "random five, exact" in done.stdout
    found = json.loads(result.read_text())
    assert found["random"] == 0.25
    assert len(found["scenarios"]) == 4
    shares = {rule: entry["mean"] for rule, entry in found["scenarios"]["plain"]["60"]["rules"].items()}
    assert shares["RHI as printed"] > 0.8
    assert shares["LDA alone"] > 0.8
    for by_videos in found["scenarios"].values():
        for one in by_videos.values():
            assert all(0 <= share <= 1 for entry in one["rules"].values() for share in entry["draws"])


@pytest.mark.slow
def test_what_the_null_says_of_planted_heads_at_a_small_size(tmp_path):
    result = tmp_path / "result.json"
    sizes = ["--videos=12", "--draws=6", "--layers=2", "--heads=5", "--head-dim=6", "--permutations=39", "--strength=9"]
    command = [sys.executable, str(FOLDER / "planted_null.py"), *sizes, f"--json={result}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())
    planted, nothing = (found[name]["12"] for name in ("five robust heads", "nothing"))
    assert min(planted["planted"]) == 1
    assert max(nothing["planted"]) == 0
    assert sum(planted["any_significant"]) > sum(nothing["any_significant"])
    assert min(planted["auc_of_chosen"]) > 0.9
