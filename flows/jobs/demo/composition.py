"""The steps of the demo; each step keeps what an earlier run has made."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vadprobe.analyze.detector.results.result_files import format_table
from vadprobe.extract.demo.contact_sheet import draw_contact_sheet
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, UNNAMED_KINDS
from vadprobe.flows.jobs.analyze_job import combine, open_analysis
from vadprobe.flows.jobs.demo.ingredients import (
    BACKBONE,
    FIRST_SET,
    SECOND_SET,
    Size,
    install_backbone,
    make_set,
    preset,
)
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.progress import Bar
from vadprobe.flows.jobs.reports.film_strips import write_film_strips
from vadprobe.flows.jobs.texts.captions import caption_lines, sampled_captions
from vadprobe.flows.jobs.texts.event_words import words_of_events
from vadprobe.flows.jobs.texts.text_generation import write_texts
from vadprobe.store.datasets.dataset import read_manifest
from vadprobe.store.datasets.video import Video
from vadprobe.store.files.atomic_files import read_json, write_json

PRESETS = ("hiprobe", "headhunt")
CONTACT_SHEET = "scenes.png"
CAPTIONS = 10
"""Number of texts that are shown beside the truth."""

MEANING = f"""\
What these numbers mean: the backbone is a small captioner that was pre-trained on drawings of the same
program, without these videos and cameras and without a label, and then frozen. But it learnt captions, and these name
{len(NAMED_KINDS)} of the {len(NAMED_KINDS + UNNAMED_KINDS)} kinds that this set calls anomalous:
{", ".join(NAMED_KINDS)}.
It was never told that they are anomalies. The others it was neither shown nor told. The table 'comparison-kinds'
measures these separately:
{", ".join(UNNAMED_KINDS)}.
The numbers show what the methods add over their baselines in this small world, with intervals over videos. They say
nothing about any real camera; on videos that were not drawn by vadprobe its features and texts are nonsense, and every
result there is stamped so."""

Stage = Callable[[str, str], str]
"""Stage as a function of the paths of a job file and a workspace; it returns its summary or its report's path."""


@dataclass(frozen=True)
class Demo:
    """The demo in a folder.

    Attributes:
        folder: workspace of all jobs.
        seed: seed of the first set and of the captions shown; the second set has `seed + 1`.
        extract: stage 1.
        analyze: stage 2.
        tell: called with the lines to show.
        size: size of both sets.
        backbone: checkpoint in place of the shipped one; None for the shipped one.
    """

    folder: Path
    seed: int
    extract: Stage
    analyze: Stage
    tell: Callable[[str], None]
    size: Size = field(default_factory=Size)
    backbone: Path | None = None

    def prepare(self) -> None:
        """Install the backbone, so that a wrong one is refused at once, and draw the first set."""
        card = install_backbone(self.folder / "backbones" / BACKBONE, self.backbone)
        self.tell(f"[1/6] The backbone, frozen: a small Qwen2.5-VL, {card['note']}")
        self.tell(f"[2/6] Videos with frame-level truth: {self.folder / FIRST_SET}")
        sheet = self.folder / CONTACT_SHEET
        if not sheet.exists():
            draw_contact_sheet(sheet)
        self.tell(f"      Every kind of anomaly and of look-alike on one sheet: {sheet}")
        make_set(self.folder / FIRST_SET, self.seed, self.size.n_videos, self.size.seconds)

    def results(self) -> list[Job]:
        """Run both methods and show each result as soon as it is computed; return both jobs."""
        jobs = []
        for name in PRESETS:
            self.tell(f"[3/6] {name}: extracting features, then fitting and scoring")
            jobs.append(self.run(name, self.extract, self.analyze))
            self.tell(format_table(read_json(jobs[-1].out / "results.json")["results"]))
        results = [result for job in jobs for result in read_json(job.out / "results.json")["results"]]
        write_json(self.folder / "results.json", {"results": results})
        self.tell(f"\nResults: {self.folder / 'results.json'}\n")
        return jobs

    def page(self, jobs: Sequence[Job]) -> Path:
        """Write one page about finished results, with film strips, tables and generated texts; return its path."""
        first = jobs[0]  # both score the same videos, and the page shows the first strip of each
        for sentence in write_film_strips(first, open_analysis(first), Bar("film strips", "video")):
            self.tell(sentence)
        report = combine(jobs, self.folder / "report.html")
        self.tell(f"\nReport:  {report}\n")
        return report

    def texts(self, job: Job) -> list[str]:
        """Let the backbone describe the test segments of a job; return some of the texts beside the truth."""
        self.tell("[4/6] What the backbone says about the test segments")
        path = write_texts(job, words_of_events(job), splits=("test",), progress=Bar("describing", "video"))
        place = self.folder / FIRST_SET
        truth = read_manifest(FIRST_SET, place / "videos", place / "manifest")
        return list(caption_lines(sampled_captions(path, truth, self.seed, CAPTIONS)))

    def second_set(self) -> Job:
        """Draw a set with other cameras and extract its features; nothing will be fitted on them."""
        self.tell(f"[5/6] A second set, of other cameras: {self.folder / SECOND_SET}")
        make_set(self.folder / SECOND_SET, self.seed + 1, self.size.n_second, self.size.seconds)
        return self.run("second-set", self.extract)

    def unseen(self) -> list[Video]:
        """Choose test videos of the second set by the seed alone: two with an anomaly and one without."""
        place = self.folder / SECOND_SET
        test = read_manifest(SECOND_SET, place / "videos", place / "manifest").of_split("test")
        rng, chosen = np.random.default_rng(self.seed), []
        for label, count in ((1, 2), (0, 1)):
            videos = [video for video in test if video.label == label]
            chosen += [videos[place] for place in sorted(rng.permutation(len(videos))[:count].tolist())]
        return chosen

    def truth_of(self, video: Video) -> str:
        """Return in words where a video of the second set is anomalous, in seconds."""
        place, fps = self.folder / SECOND_SET, video.fps or 1.0
        truth = read_manifest(SECOND_SET, place / "videos", place / "manifest").intervals_of(video.video_id)
        spans = [f"{one.category} from {one.start_frame / fps:.1f} s to {one.stop_frame / fps:.1f} s" for one in truth]
        return f"{video.path}, the truth: {'; '.join(spans) or 'normal'}"

    def run(self, name: str, *stages: Stage) -> Job:
        """Run stages of a preset; return its job."""
        with preset(name) as path:
            for stage in stages:
                summary = stage(str(path), str(self.folder))
                if stage is self.extract:
                    self.tell(summary)
            return load_job(path, self.folder)

    def jobs(self, names: Sequence[str]) -> list[Job]:
        """Load presets in the demo's folder."""
        with ExitStack() as stack:
            return [load_job(stack.enter_context(preset(name)), self.folder) for name in names]
