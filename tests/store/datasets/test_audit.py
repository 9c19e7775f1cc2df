"""The audit finds what is wrong with a dataset, says what would change a score, and is right about the real sets."""

import json
import shutil
from pathlib import Path

import pytest

from tests.data.published_truth import published_truth
from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from vadprobe.store.datasets.annotations.published import ALTERED_UCF_CRIME
from vadprobe.store.datasets.audit import Audit, anomalous_frames, audit
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.dataset_card import dataset_card
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.video import Interval, Video

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
TEMPORAL = "Temporal_Anomaly_Annotation_for_Testing_Videos.txt"
LINES = """\
Abuse028_x264.mp4  Abuse  165  240  -1  -1
Arson011_x264.mp4  Arson  150  420  680  1267
Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1
"""


def kinds(found: Audit) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.videos for finding in found.findings}


def made(folder: Path, lines: str = LINES, counts: str | None = None, **lists: str) -> DatasetConfig:
    """A UCF-Crime folder with these files; names of the lists are those of the set."""
    folder.mkdir(exist_ok=True)
    (folder / TEMPORAL).write_text(lines)
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    if counts is not None:
        (folder / "test_frame_counts.csv").write_text("video,frames\n" + counts)
    return DatasetConfig(name="ucf", format="ucf-crime", source=str(folder))


@needs_shared
@pytest.mark.parametrize("name", ["ucf-crime", "xd-violence", "msad"])
def test_the_published_sets_have_nothing_that_changes_a_score(name: str) -> None:
    found = audit(DatasetConfig(name=name, format=name, source=name), SHARED)
    assert not found.changes_score
    assert "published truth" in kinds(found)
    assert all(file.n_rejected == 0 and file.n_read == file.n_rows for file in found.files)


@needs_shared
def test_counts_of_the_real_sets() -> None:
    facts = json.loads((SHARED / "expected.json").read_text())
    for name, key in (("ucf-crime", "ucf_crime"), ("xd-violence", "xd_violence")):
        counts = audit(DatasetConfig(name=name, format=name, source=name), SHARED).counts
        for split in ("train", "test"):
            assert counts[split]["videos"] == facts[key][f"{split}_videos"]
            assert counts[split]["normal"] == facts[key][f"{split}_normal"]
            assert counts[split]["anomalous"] == facts[key][f"{split}_abnormal"]
        assert counts["test"]["frames"] == facts[key]["frames_total"]
    assert counts["test"]["anomalous_frames"] == facts["xd_violence"]["positive_frames_full"]


@needs_shared
def test_the_five_videos_that_end_early_are_named() -> None:
    found = audit(DatasetConfig(name="u", format="ucf-crime", source="ucf-crime"), SHARED)
    expected = json.loads((SHARED / "expected.json").read_text())["ucf_crime"]["end_beyond_length"]
    assert set(kinds(found)["interval past the end"]) == set(expected)


@needs_shared
def test_the_altered_labels_of_fourteen_videos_are_recognised(tmp_path: Path) -> None:
    shutil.copytree(SHARED / "ucf-crime", tmp_path / "ucf", copy_function=shutil.copyfile)
    path = tmp_path / "ucf" / TEMPORAL
    rows = []
    for row in path.read_text().splitlines():
        name, category, start, *rest = row.split()
        altered = name.removesuffix("_x264.mp4") in ALTERED_UCF_CRIME
        rows.append(" ".join([name, category, str(int(start) + 1) if altered else start, *rest]))
    path.chmod(0o644)
    path.write_text("\n".join(rows))
    found = audit(DatasetConfig(name="u", format="ucf-crime", source="ucf"), tmp_path)
    assert found.changes_score
    assert {name.removesuffix("_x264") for name in kinds(found)["altered truth"]} == ALTERED_UCF_CRIME
    assert "UMIL, VAD-LLaMA and VERA" in "\n".join(found.lines())


@needs_shared
def test_the_digests_of_published_lines_follow_their_recipe() -> None:
    import vadprobe.store.datasets.annotations as package

    stored = json.loads((Path(package.__path__[0]) / "published_truth.json").read_text())
    assert stored == published_truth(SHARED)


@needs_shared
@pytest.mark.parametrize(
    ("name", "rule", "convention"),
    [
        ("ucf-crime", lambda n: -(-n // 16) * 16, "RTFM"),
        ("ucf-crime", lambda n: n // 16 * 16, "rounded down to 16"),
        ("xd-violence", lambda n: (n - 1) // 16 * 16, "((n - 1) // 16) * 16"),
        ("msad", lambda n: n // 16 * 16, "multiple of 16"),
    ],
)
def test_rounded_lengths_are_recognised_by_name(tmp_path: Path, name: str, rule, convention: str) -> None:
    rows = [row.rsplit(",", 1) for row in (SHARED / name / "test_frame_counts.csv").read_text().split()[1:]]
    (tmp_path / "counts.csv").write_text("".join(f"{video},{rule(int(n))}\n" for video, n in rows))
    config = DatasetConfig(name=name, format=name, source=name, frame_counts=str(tmp_path / "counts.csv"))
    found = audit(config, SHARED)
    messages = [f.message for f in found.findings if f.kind == "length convention" and f.changes_score]
    assert len(messages) == 1
    assert convention in messages[0]


@needs_shared
def test_sources_on_both_sides_of_the_xd_violence_split() -> None:
    found = audit(DatasetConfig(name="x", format="xd-violence", source="xd-violence"), SHARED)
    shared = next(finding for finding in found.findings if finding.kind == "sources shared by train and test")
    assert shared.message.startswith("184 of 447 sources")
    assert not shared.changes_score


def test_rejected_rows_are_all_named_with_their_lines(tmp_path: Path) -> None:
    found = audit(made(tmp_path / "u", LINES + "Abuse030_x264.mp4  Abuse  1275\nArrest001_x264 Arrest 9 3\n"), tmp_path)
    rejected = [finding.message for finding in found.findings if finding.kind == "rows not read"]
    assert len(rejected) == 2
    assert f"{TEMPORAL}, line 4: got 'Abuse030_x264.mp4  Abuse  1275'" in rejected[0]
    assert found.files[0].n_rows == found.files[0].n_read + found.files[0].n_rejected == 5


def test_lists_and_annotation_that_do_not_agree(tmp_path: Path) -> None:
    config = made(
        tmp_path / "u",
        Anomaly_Test="Abuse/Abuse028_x264.mp4\nNormal/Normal_Videos_003_x264.mp4\nAbuse/Abuse030_x264.mp4\n",
        Anomaly_Train="Abuse/Abuse028_x264.mp4\nAbuse/Abuse001_x264.mp4\n",
    )
    found = kinds(audit(config, tmp_path))
    assert found["in two splits"] == ("Abuse028_x264",)
    assert found["not listed"] == ("Arson011_x264",)
    assert found["test videos without annotation"] == ("Abuse030_x264",)


def test_files_missing_extra_and_twice(tmp_path: Path) -> None:
    config = made(tmp_path / "u", counts="Abuse028_x264,1412\nArson011_x264,1266\nNormal_Videos_003_x264,2820\n")
    for name in ("a/Abuse028_x264.mp4", "b/Abuse028_x264.avi", "c/holiday.mp4", "c/._Arson011_x264.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    found = audit(config.model_copy(update={"videos": str(tmp_path / "videos")}), tmp_path)
    assert kinds(found)["missing test videos"] == ("Arson011_x264", "Normal_Videos_003_x264")
    assert kinds(found)["extra videos"] == ("holiday",)
    assert kinds(found)["two files of one name"] == ("Abuse028_x264",)
    assert found.changes_score


def test_lengths_of_files_are_compared_with_the_counts(tmp_path: Path) -> None:
    config = made(tmp_path / "u", counts="Abuse028_x264,1408\nArson011_x264,1264\nNormal_Videos_003_x264,2816\n")
    probed = [
        VideoFacts("Abuse028_x264", "test", 1412, 30.0, "a"),
        VideoFacts("Arson011_x264", "test", 1266, 30.0, "b"),
        VideoFacts("Normal_Videos_003_x264", "test", None, None, "", "the file is empty (0 bytes)"),
    ]
    found = audit(config, tmp_path, probed)
    assert kinds(found)["lengths differ"] == ("Abuse028_x264", "Arson011_x264")
    assert any("'floor to 16'" in finding.message for finding in found.findings)
    assert kinds(found)["unreadable files"] == ("Normal_Videos_003_x264",)
    assert "the file is empty (0 bytes)" in "\n".join(found.lines())
    assert found.dataset.by_id["Abuse028_x264"].n_frames == 1412, "the file decides"


def test_an_interval_that_begins_after_the_end_changes_scores(tmp_path: Path) -> None:
    config = made(tmp_path / "u", counts="Abuse028_x264,100\nArson011_x264,1266\nNormal_Videos_003_x264,2820\n")
    found = audit(config, tmp_path)
    assert kinds(found)["interval after the end"] == ("Abuse028_x264",)
    assert kinds(found)["interval past the end"] == ("Arson011_x264",)
    assert found.changes_score


def test_findings_that_change_scores_come_first_and_json_says_the_same(tmp_path: Path) -> None:
    found = audit(made(tmp_path / "u"), tmp_path)
    flags = [finding.changes_score for finding in found.findings]
    assert flags == sorted(flags, reverse=True)
    value = json.loads(json.dumps(found.to_json()))
    assert value["changes_score"] is True
    assert [finding["kind"] for finding in value["findings"]] == [finding.kind for finding in found.findings]
    assert value["splits"]["test"]["videos"] == 3


def test_the_card_tells_counts_digest_conventions_and_caveats(tmp_path: Path) -> None:
    config = made(tmp_path / "u", counts="Abuse028_x264,1412\nArson011_x264,1266\nNormal_Videos_003_x264,2820\n")
    found = audit(config.model_copy(update={"intervals": "one-based-closed"}), tmp_path)
    card = dataset_card(found)
    assert card.startswith("# Dataset card: ucf\n")
    assert found.dataset.truth_digest in card
    assert "| test | 3 | 1 | 2 | 0 | 3 | 5498 | 934 |" in card  # 76 + 271 + 587 frames: the last interval is cut
    assert "counted from 1" in card
    assert "`Arson011_x264`" in card
    assert f"| `{TEMPORAL}` | 3 | 3 | 0 |" in card


def test_overlapping_intervals_count_each_frame_once() -> None:
    intervals = (Interval("a", 10, 20), Interval("a", 15, 30), Interval("a", 16, 18), Interval("a", 40, 41))
    dataset = Dataset("d", Path(), (Video("a", "a.mp4", 50, label=1),), intervals)
    assert anomalous_frames(dataset, "a") == 21
