"""The benchmark scripts run, and the peers they are measured against give the same values."""

import argparse
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.support import profiles
from tests.support.oracles.eager_reference import ROUNDING
from tests.support.paths import ROOT, SHARED
from tests.support.planted import write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.experiments.tables import TABLES
from vadprobe.store.reading.feature_store import FeatureStore

Run = Callable[..., tuple[str, Any]]


def module_of(name: str) -> str:
    """Return the module of a benchmark."""
    (path,) = (ROOT / "benchmarks").rglob(f"{name}.py")
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def in_this_process(script: ModuleType, arguments: list[str]) -> str:
    """Call a script's main with some arguments; what it printed."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [str(script.__file__), *arguments])
        script.main()
    return printed.getvalue()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script by its name."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # what some scripts set, and this process has back afterwards
    return lambda name: importlib.import_module(module_of(name))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, script: Callable[[str], ModuleType], tmp_path: Path) -> Run:
    """Run a script and give what it printed and measured: in the long profile as a user does.

    In the short profile it runs in this process, and so do the cases for which it starts processes of its own. Their
    values are the same ones; seconds and memory, which the other processes are for, are not looked at here.
    """
    processes = subprocess.run

    def as_a_user(name: str, *arguments: object) -> str:
        command = [sys.executable, "-m", module_of(name), *map(str, arguments)]
        done = processes(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def here(name: str, *arguments: object) -> str:
        module = script(name)

        def case(command: list[str], **options: object) -> "subprocess.CompletedProcess[str]":
            if command[:3] != [sys.executable, "-m", module.__name__]:
                return processes(command, **options)  # type: ignore[call-overload,no-any-return]
            return subprocess.CompletedProcess(command, 0, in_this_process(module, command[3:]))

        monkeypatch.setattr(subprocess, "run", case)
        return in_this_process(module, [str(argument) for argument in arguments])

    def measured(name: str, *arguments: object) -> tuple[str, Any]:
        result = tmp_path / "result.json"
        printed = (as_a_user if profiles.LONG else here)(name, *arguments, f"--json={result}")
        return printed, json.loads(result.read_text())

    return measured


def test_exact_metrics_agree_with_every_peer_at_a_small_size(run, tmp_path):
    sizes = ["--frames=6e3", "--clips=300", "--videos=20", "--resamples=12", "--peer-resamples=3"]
    printed, found = run("exact_metrics", *sizes)
    assert "6000 frames in 300 clips of 20 videos" in printed
    assert "scaled linearly to 12" in printed
    differences = found["differences"]
    assert set(differences) == {"frames", "weights", "bootstrap_weights"}
    assert all(difference < 1e-12 for difference in differences.values()), differences


@pytest.mark.slow
def test_every_way_to_read_a_store_gives_the_values_of_its_peers_at_a_small_size(run, tmp_path):
    sizes = ["--clips=512", "--blocks=2", "--heads=3", "--head-dim=8", "--many-rows=1500", f"--folder={tmp_path}"]
    printed, found = run("store_reading", *sizes)
    assert "limit: memcpy of the result" in printed
    assert len(found["read"]) == 5
    for pattern, formats in [*found["read"].items(), *found["many"].items()]:
        assert {"store, vadprobe", "np.memmap"} <= set(formats), pattern
        assert len({case["digest"] for case in formats.values()}) == 1, pattern
    assert list(found["many"]) == ["1024", "1536"]


def test_bytes_per_value_are_counted_of_codecs_that_lose_nothing(run, tmp_path):
    sizes = ["--clips=256", "--heads=2", "--head-dim=128", "--hidden=256"]
    printed, found = run("bytes_per_value", *sizes)
    assert "hidden states of 256, float16" in printed
    for by_dtype in found["bytes"].values():
        for dtype, raw in {"bfloat16": 2, "float16": 2, "float32": 4}.items():
            for name, row in by_dtype[dtype].items():
                assert row["raw"] == raw
                assert row["store"] < 0.97 * raw, (dtype, name)


def test_requests_of_a_store_behind_a_url_are_counted_at_a_small_size(run, tmp_path):
    pytest.importorskip("obstore", reason="the package for URLs is not installed")
    sizes = ["--clips=512", "--blocks=2", "--heads=3", "--head-dim=8", "--latency=0"]
    _, found = run("remote_reading", *sizes)
    found = found["five heads, all rows"]
    assert found["store, vadprobe"]["requests"] <= 2 * 2  # of each shard its tail, and neighbouring chunks at once
    assert found["store, vadprobe compact"]["requests"] <= 2 + 1  # one shard; and its metadata, asked for once
    assert found[".npy per video"]["requests"] == 512 / 32


def test_prompts_that_share_a_pass_agree_with_their_own_at_a_small_size(run, script, monkeypatch, tmp_path):
    sizes = ["--frames=4", "--height=56", "--width=56", "--prompts=2", "--repeats=1", "--threads=1"]
    backbones = ["qwen2_5_vl", "internvl-512"]
    if not profiles.LONG:  # the rate of a large product takes seconds to measure, and is only printed
        monkeypatch.setattr(script("extraction"), "matmul_peak", lambda *_: 1e12)
    printed, found = run("extraction", *sizes, "--backbones", *backbones)
    assert "2 prompts: own passes" in printed
    for name in backbones:
        assert found[name]["difference"] <= ROUNDING
        assert found[name]["shared"] > 0
        assert found[name]["utilisation"] > 0


@pytest.mark.parametrize(("name", "billions", "tokens"), [("InternVL3-8B", 7.94, 2048), ("Qwen2.5-VL-7B", 8.29, 1024)])
def test_the_true_shapes_have_the_published_numbers_of_parameters(script, tmp_path, name, billions, tokens):
    shapes = script("backbone_shapes")
    description = shapes.describe_shape(name, tmp_path, "bfloat16", (448, 448))
    model = shapes.make_backbone(description, "meta").model
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e9, 2) == billions
    assert (description.spec.n_layers, description.spec.n_heads, description.spec.head_dim) == (28, 28, 128)
    ids = description.family.tokenize("Is something wrong?", 8)
    assert tokens < ids.shape[1] < tokens + 120


def test_scripts_of_users_write_the_features_of_the_store_at_a_small_size(run, tmp_path):
    sizes = ["--videos=2", "--frames=100", "--prompts=2", "--rounds=1", "--size=56", "--threads=1"]
    ways = ["--ways", "vadprobe", "naive script", "batched script"]
    _, found = run("extraction_end_to_end", *sizes, *ways)
    assert found["clips"] == 6
    assert set(found["differences"]) == {"naive script", "batched script"}
    assert all(0 <= difference <= ROUNDING for difference in found["differences"].values()), found["differences"]


def test_seeds_of_the_demo_backbone_are_put_beside_each_other(script, tmp_path):
    card = {"seed": 0, "weights_sha256": "a", "losses": {"caption": 0.5}}
    homes = []
    for seed in (0, 1):
        home = tmp_path / "demos" / f"seed{seed}"
        rows = [
            {"key": "dlsp", "label": "DLSP", "numbers": {"auc": {"value": 0.5 + seed / 10, "low": 0.4, "high": 0.9}}},
            {"key": "text", "label": f"  text (sigma 0.{seed})", "numbers": {"auc": {"value": None if seed else 0.7}}},
        ]
        for place, content in {
            "backbones/demo-captioner/backbone_card.json": {**card, "seed": seed},
            "surveillance/surveillance.json": {"seed": 0},
            **{
                f"comparison/comparison{kind}.json": {"title": "what", "dataset": "set", "rows": rows, "notes": ["So."]}
                for kind in ("", "-kinds", "-transfer")
            },
        }.items():
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            (home / place).write_text(json.dumps(content))
        homes.append(home / "backbones" / "demo-captioner")
        homes[-1].rename(tmp_path / f"seed{seed}")
        homes[-1].parent.mkdir(exist_ok=True)
        homes[-1].symlink_to(tmp_path / f"seed{seed}")
    places = [str(tmp_path / "seed0"), str(tmp_path / "seed1")]
    found = in_this_process(script("demo_backbone"), [*places, "--folder", str(tmp_path / "demos")])
    assert "| DLSP | 0.5000 [0.4000, 0.9000] | 0.6000 [0.4000, 0.9000] | 0.1000 |" in found
    assert "| &nbsp;&nbsp;text | 0.7000 | - | - |" in found
    with pytest.raises(SystemExit, match="of another backbone or seed"):
        in_this_process(script("demo_backbone"), [*places, "--folder", str(tmp_path / "demos"), "--seed", "1"])


def test_every_way_to_decode_returns_the_frames_asked_for_at_a_small_size(run, tmp_path):
    sizes = ["--minutes=0.1", "--rounds=1", "--sample=3", "--sampling", "24", "8"]
    _, found = run("decoding", *sizes)
    ways = found["ways"]["24-8"]
    assert {"vadprobe", "decord, one reader", "PyAV, one pass"} <= set(ways)
    assert all(found.get("grey_levels", 0) <= 2 for found in ways.values()), ways


@pytest.mark.slow
def test_memory_of_an_extraction_is_sampled_and_drawn_at_a_small_size(run, tmp_path):
    sizes = ["--clips=1280", "--videos=2", "--length=2"]
    printed, found = run("extraction_memory", *sizes)
    assert "Worked on 1,280 of 1,280 clips" in printed
    seen = [one["clips"] for one in found["samples"]]
    assert seen == sorted(seen)
    assert seen[-1] == 1280
    in_between = {clips for clips in seen if 256 <= clips < 1280}  # how many are seen is up to the machine
    for one in found["growth"].values():
        assert one["level"] > 2**20 if len(in_between) >= 3 else np.isnan(one["level"])
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")


def test_memory_is_that_of_a_process_and_all_below_it(script):
    memory = script("extraction_memory")
    command = [sys.executable, "-S", "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert child.pid in memory.children_of(os.getpid())
        assert memory.resident(child.pid) > 2**20
        child.communicate(b"\n")
    assert child.pid not in memory.children_of(os.getpid())
    assert memory.resident(child.pid) == 0


def test_growth_of_memory_is_a_line_through_what_was_sampled(script, tmp_path):
    memory = script("extraction_memory")
    samples = [
        {"seconds": 0.5 * number, "clips": clips, memory.MAIN: 2**28 + 40 * clips, memory.DECODERS: 2**26}
        for number, clips in enumerate(256 * (np.arange(20) // 2))
    ]
    found = {name: memory.growth(samples, name) for name in (memory.MAIN, memory.DECODERS)}
    assert found[memory.MAIN] == pytest.approx(
        {"per_1000_clips": 40_000, "standard_error": 0, "level": 2**28 + 40 * 512}, rel=1e-9, abs=1e-3
    )
    assert found[memory.DECODERS]["per_1000_clips"] == pytest.approx(0, abs=1e-3)
    assert all(np.isnan(value) for value in memory.growth(samples[:6], memory.MAIN).values())
    memory.draw(samples, found, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_saliency_agrees_with_loops_over_heads_and_dimensions_at_a_small_size(run, tmp_path):
    sizes = ["--samples", "8", "40", "--layer-samples", "9", "--heads=12", "--prompts=2", "--dimension=16"]
    more = ["--peer-heads=6", "--layers=2", "--hidden=20"]
    printed, found = run("saliency", *sizes, *more)
    assert "12 heads of 16 dimensions under 2 prompts" in printed
    assert "scaled from 6 heads" in printed
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


def test_the_locator_and_the_bootstrap_agree_with_every_peer_at_a_small_size(run, tmp_path):
    sizes = ["--clips", "300", "450", "--videos", "20", "9", "--resamples=12", "--peer-resamples=2", "--rounds=1"]
    printed, found = run("locator", *sizes)
    assert "450 clips of 24 frames in 9 videos" in printed
    assert "measured on 2 resamples and scaled linearly to 12" in printed
    for one in found:
        cases = {**one["grid"], **one["bootstrap"]}
        peers = {"selecting", "multiplying", "frames", "grid_per_fold", "five", "weights"}
        assert {name for name, case in cases.items() if "difference" in case} == peers
        assert all(cases[name]["difference"] < 1e-12 for name in peers), cases


@pytest.mark.slow
def test_scoring_and_a_streamed_fit_give_the_same_bits_on_a_cluster_at_a_small_size(run, tmp_path):
    sizes = ["--rows", "600", "--hidden=6", "--head-dim=4", f"--folder={tmp_path}"]
    printed, found = run("analysis_scale", *sizes)
    assert "DIFFERENT NUMBERS" not in printed
    assert set(found) == {"score", "fit"}
    for case, by_rows in found.items():
        assert list(by_rows) == ["600"]
        for ways in by_rows.values():
            assert ways["process"]["digest"] == ways["cluster"]["digest"], case
            assert len(ways["cluster"]["worker_bytes"]) == 2
            assert ways["process"]["passes"] == ways["cluster"]["passes"]


def test_scoring_and_a_streamed_fit_give_the_same_bits_on_threads(script, tmp_path):
    """Measure on threads what the benchmark measures on a cluster; test_blocks.py has the same two on one."""
    scale = script("analysis_scale")
    written = scale.write_store(tmp_path, argparse.Namespace(rows=[600], hidden=6, head_dim=4))
    store, rows = FeatureStore.open(written.stores["coarse"]), np.arange(600)
    for case in (scale.score, scale.fit):
        found = []
        for scheduler, workers in (("synchronous", 0), ("threads", 2)):
            with open_scheduler(scheduler, workers) as opened:
                found.append(case(store, written.labels, rows, opened))
        assert found[0] == found[1]
        assert found[0]["passes"] >= 1


def test_planted_heads_are_found_among_many_at_a_small_size(run, tmp_path):
    sizes = ["--videos", "12", "60", "--draws=3", "--layers=4", "--heads=5", "--head-dim=8", "--prompts=3"]
    planted = ["--robust=5", "--unstable=4", "--strength=4"]
    printed, found = run("planted_heads", *sizes, *planted)
    assert "random five, exact" in printed
    assert found["random"] == 0.25
    assert len(found["scenarios"]) == 4
    shares = {rule: entry["mean"] for rule, entry in found["scenarios"]["plain"]["60"]["rules"].items()}
    assert shares["RHI as printed"] > 0.8
    assert shares["LDA alone"] > 0.8
    for by_videos in found["scenarios"].values():
        for one in by_videos.values():
            assert all(0 <= share <= 1 for entry in one["rules"].values() for share in entry["draws"])


def test_what_the_null_says_of_planted_heads_at_a_small_size(run, tmp_path):
    sizes = ["--videos=12", "--draws=6", "--layers=2", "--heads=5", "--head-dim=6", "--permutations=39", "--strength=9"]
    _, found = run("planted_null", *sizes)
    planted, nothing = (found[name]["12"] for name in ("five robust heads", "nothing"))
    assert min(planted["planted"]) == 1
    assert max(nothing["planted"]) == 0
    assert sum(planted["any_significant"]) > sum(nothing["any_significant"])
    assert min(planted["auc_of_chosen"]) > 0.9


def test_an_early_exit_gives_the_values_of_the_full_pass_at_a_small_size(run):
    sizes = ["--size", "56", "84", "--frames=4", "--repeats=1", "--heads=3"]
    printed, found = run("early_exit", *sizes)
    assert "blocks, everything captured" in printed
    assert len(found["cases"]) >= 3
    assert all(case["difference"] <= ROUNDING for case in found["cases"].values()), found


@pytest.mark.slow
def test_a_page_of_many_videos_is_weighed(run):
    printed, found = run("report_page", "--videos=6", "--frames=6000")
    assert f"6 videos, {found['segments']} segments" in printed
    bare, one, two = (case["megabytes"] for case in found["cases"])
    assert 0 < bare < one < two


def test_a_few_heads_are_the_same_whoever_captures_them_at_a_small_size(run):
    sizes = ["--size", "56", "84", "--frames=4", "--repeats=1", "--heads=3"]
    printed, found = run("five_heads", *sizes)
    assert len(found["depths"]) == 2
    for cases in found["depths"].values():
        assert {"vadprobe", "hooks that keep everything"} <= set(cases)
        assert all(case["difference"] <= ROUNDING for case in cases.values()), cases
    assert ("nnsight is left out" in printed) != any("nnsight" in name for name in cases)


def test_writing_and_its_parts_are_measured_at_a_small_size(run):
    _, found = run("writing", "--clips=256", "--blocks=2", "--heads=3", "--head-dim=8", "--repeats=1")
    parts = found["parts"]
    assert {"the codec alone", "the whole way to a committed store", "SHA-256 of the shard"} <= set(parts)
    assert parts["the codec alone"]["of_the_codec"] == 1


@pytest.mark.slow
def test_commands_are_measured_on_a_finished_job(script, tmp_path):
    planted = write_planted(tmp_path)
    commands = script("commands")
    assert commands.spent([*commands.PROGRAM, "analyze", str(planted.job("hiprobe"))]) > 0
    modules = commands.imported(["ls", str(tmp_path / "features")])
    assert "vadprobe.store.catalog.catalog" in modules
    assert commands.import_seconds(modules, 1) > 0
    with pytest.raises(SystemExit, match="exit code 2"):
        commands.spent([*commands.PROGRAM, "ls", str(tmp_path / "nothing")])


def test_parts_for_a_gpu_are_measured_once_and_what_failed_is_named_at_tiny_shapes(run, script, tmp_path):
    gpu, path = script("gpu"), tmp_path / "result.json"
    slow = gpu.entry_of("equalities", 0.2, dry_run=True)
    assert slow["failed"] == "it took more than its 0 s"
    path.write_text(json.dumps({"dry_run": True, "machine": {}, "parts": {"InternVL3-8B": slow}}))
    parts = ["--parts", "equalities", "InternVL3-8B", "vllm"]
    printed, found = run("gpu", "--dry-run", *parts)
    assert "InternVL3-8B: is there already" in printed
    for one in found["parts"]["equalities"].values():
        if isinstance(one, dict):
            assert one["early exit against whole"] == one["captured against plain"] == 0
            assert 0 < one["shared against apart, heads"] < 2**-5
    again, found = run("gpu", "--dry-run", "--retry", *parts)
    assert "equalities: is there already" in again
    assert found["parts"]["InternVL3-8B"]["shared_speedup"] > 0
    with pytest.raises(SystemExit, match="has the parts of a run with tiny shapes"):
        gpu.kept(path, dry_run=False)


@pytest.mark.slow
def test_every_part_for_a_gpu_runs_at_tiny_shapes(run, script):
    _, found = run("gpu", "--dry-run")
    assert list(found["parts"]) == list(script("device_parts").PARTS)
    assert not [name for name, entry in found["parts"].items() if "failed" in entry], found


@pytest.mark.slow
def test_an_analysis_of_a_whole_set_is_measured_at_a_small_size(run, tmp_path):
    sizes = ["--scale=0.02", "--factors", "2", "--calibration", "16", "--sets", "ucf-crime", "--resamples=20"]
    shape = ["--layers=3", "--heads=4", "--head-dim=8", "--hidden=16", f"--folder={tmp_path}"]
    printed, found = run("full_size", *sizes, *shape)
    assert [(one["factor"], one["method"]) for one in found["cases"]] == [
        (factor, method) for factor in (1, 2) for method in ("headhunt", "hiprobe")
    ]
    assert {one["real"] for one in found["cases"]} == {False}
    assert all(one["auc"] > 0.9 for one in found["cases"]), printed
    assert set(found["slopes"]) == {"headhunt", "hiprobe"}
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_all_tables_of_a_whole_set_are_measured_at_a_small_size(run, tmp_path):
    shape = ["--layers=4", "--heads=6", "--head-dim=8", "--hidden=32", f"--folder={tmp_path}"]
    printed, found = run("all_tables", "--scale=0.02", "--draws=2", "--resamples=20", *shape)
    assert list(found["tables"]) == list(TABLES)
    assert [one["real"] for one in found["sets"]] == [False, False]
    measured = {name: table["measured"] / table["rows"] for name, table in found["tables"].items()}
    assert {name for name, share in measured.items() if share == 1} >= {"hiprobe-4", "headhunt-3", "layers", "heads"}
    assert "Traceback" not in printed


@pytest.mark.skipif(not (SHARED / "ucf-crime").exists(), reason="the annotation files (../shared/data) are not here")
def test_true_sets_have_the_real_names_and_any_size(script):
    sets = script("true_sets")
    dataset, is_real = sets.true_set("ucf-crime", SHARED)
    assert is_real
    whole = sets.of_size(dataset, 1.0, 16)
    assert sum(video.n_frames for video in whole.videos if video.split != "train") == 1_111_808
    assert [video.label for video in whole.of_split("train")] == [0] * 8 + [1] * 8
    eighth, twice = sets.of_size(dataset, 0.125, 16), sets.of_size(dataset, 2, 16)
    assert len(twice.of_split("test")) == 2 * len(whole.of_split("test"))
    assert len(twice.intervals) - len(whole.intervals) == sum(
        len(whole.intervals_of(video.video_id)) for video in whole.videos if video.split != "train"
    )
    assert 0.1 < len(eighth.of_split("test")) / len(whole.of_split("test")) < 0.15


def test_a_model_of_true_shape_is_measured_by_phases_at_tiny_shapes(run, script, monkeypatch):
    monkeypatch.setattr(script("true_shapes"), "TINY", ("llava_onevision",))
    _, found = run("true_shapes", "--dry-run", "--frames=4", "--clips=1", "--dtypes=float32", "--prompts=2")
    (case,) = found["cases"]
    assert {"decode", "resize", "vision tower", "prefix", "suffixes", "copy", "write"} <= set(case["seconds"])
    # Every block multiplies its seven matrices once for the shared tokens, and once for the own ones of each prompt.
    operations = {phase: one["operations"] for phase, one in case["phases"].items()}
    assert operations["vision tower"] > 0
    assert 0 < operations["suffixes"] < 4 * operations["prefix"]


@pytest.mark.parametrize(
    ("name", "billions"), [("LLaVA-OneVision-0.5B", 0.89), ("InternVL3-1B", 0.94), ("Qwen2.5-VL-3B", 3.75)]
)
def test_the_small_true_shapes_have_the_published_numbers_of_parameters(script, tmp_path, name, billions):
    shapes = script("backbone_shapes")
    description = shapes.describe_shape(name, tmp_path, "bfloat16", (448, 448))
    model = shapes.make_backbone(description, "meta").model
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e9, 2) == billions
