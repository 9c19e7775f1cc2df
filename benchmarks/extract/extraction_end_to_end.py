"""Time from video files to features on the disk: this project beside the scripts that a user would write instead.

Run `python -m benchmarks.extract.extraction_end_to_end`. The backbone is tiny, with random weights, of the real
class, and sees about 2,000 tokens of video; the videos are encoded here. Every way starts with the model loaded and
ends with files; ways take turns, and the best time of each counts. The files are compared at the end.

All ways get their model inputs from this project, because the library's processors need torchvision; this makes the
peers faster. nnsight takes part where it is installed (pip install nnsight).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
import torch

from benchmarks.support.machine import machine
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.model.backbone import Backbone, describe, load
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.planning import ExtractionPlan, plan_extraction
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.reading.feature_store import FeatureStore


def write_video(path: Path, frames: int, height: int = 240, width: int = 320) -> None:
    """Write a moving pattern in H.264 as a camera's file: 25 frames per second, a key frame every ten seconds."""
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.options = height, width, "yuv420p", {"g": "250"}
        for number in range(frames):
            picture = (rows * 3 + columns * 2 + 5 * number) % 256
            noise = np.random.default_rng(number).integers(0, 24, (height, width))
            frame = np.stack([picture, 255 - picture, noise], axis=-1).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


@dataclass
class Work:
    """The work of every way: each clip of each video, with each prompt."""

    backbone: Backbone
    videos: Path
    plan: ExtractionPlan
    texts: list[str]
    config: ExtractionConfig

    def clips(self) -> Iterator[tuple[int, str, Path, tuple[int, ...], float]]:
        """Yield row, video, file, frames and seconds of each clip."""
        table = self.plan.samplings[0].clips
        for row in range(len(table)):
            clip = table.clip(row)
            seconds = (clip.stop_frame - clip.start_frame) / 25
            yield row, clip.video_id, self.videos / f"{clip.video_id}.mp4", tuple(clip.frame_indices), seconds

    def inputs(self, text: str, frames: list[np.ndarray], seconds: list[float]) -> dict[str, torch.Tensor]:
        """Return a processor's output for a batch of clips: everything the model takes."""
        family = self.backbone.description.family
        inputs = family.prepare(frames, seconds, self.backbone.device)
        ids = family.tokenize(text, len(frames[0])).to(self.backbone.device)
        return {**inputs.vision, **family.language_inputs(ids, inputs)}


class HeadHooks:
    """The hooks of a script, which keep the last token of every output projection's input and every block's output."""

    def __init__(self, model: Any, hidden: bool) -> None:
        self.heads: list[torch.Tensor] = []
        self.hidden: list[torch.Tensor] = []
        self.handles = []
        for block in model.get_decoder().layers:
            self.handles.append(block.self_attn.o_proj.register_forward_pre_hook(self._head))
            if hidden:
                self.handles.append(block.register_forward_hook(self._block))

    def _head(self, module: Any, args: tuple[Any, ...]) -> None:
        self.heads.append(args[0][:, -1].clone())

    def _block(self, module: Any, args: Any, output: Any) -> None:
        self.hidden.append((output[0] if isinstance(output, tuple) else output)[:, -1].clone())

    def take(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the values of one pass, and forget them."""
        found = self.heads, self.hidden
        self.heads, self.hidden = [], []
        return found

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()


@torch.inference_mode()
def naive(work: Work, folder: Path) -> None:
    """Extract naively: for each clip and prompt, open the video, decode, prepare, generate a token, save a file."""
    model, answers = work.backbone.model, list(work.backbone.description.answer_ids)
    hooks = HeadHooks(model, hidden=False)
    for row, _, path, frames, seconds in work.clips():
        for number, text in enumerate(work.texts):
            clip = decord.VideoReader(str(path), ctx=decord.cpu(0)).get_batch(list(frames)).asnumpy()
            out = model.generate(
                **work.inputs(text, [clip], [seconds]),
                max_new_tokens=1,
                output_hidden_states=True,
                output_logits=True,
                return_dict_in_generate=True,
                do_sample=False,
            )
            hidden = torch.stack([state[0, -1] for state in out.hidden_states[0]])
            heads = torch.stack([head[0] for head in hooks.take()[0]])
            found = {"hidden": hidden, "heads": heads, "answers": out.logits[0][0, answers]}
            torch.save(found, folder / f"{row}-{number}.pt")
    hooks.remove()


@torch.inference_mode()
def batched(work: Work, folder: Path) -> None:
    """Extract as a careful script: a thread decodes in order, batches, one pass per prompt, a file per video."""
    model, answers = work.backbone.model, work.backbone.description.answer_ids
    hooks = HeadHooks(model, hidden=True)
    head = model.get_output_embeddings()

    def decoded() -> Iterator[tuple[int, str, np.ndarray, float]]:
        name, reader = "", None
        for row, video, path, frames, seconds in work.clips():
            if video != name:
                name, reader = video, decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            assert reader is not None
            yield row, video, reader.get_batch(list(frames)).asnumpy(), seconds

    def batches() -> Iterator[list[tuple[int, str, np.ndarray, float]]]:
        batch: list[tuple[int, str, np.ndarray, float]] = []
        for clip in decoded():
            if batch and (len(batch) == work.config.batch_clips or batch[0][1] != clip[1]):
                yield batch
                batch = []
            batch.append(clip)
        yield batch

    kept: dict[str, list[dict[str, Any]]] = {}
    source = batches()
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(next, source, None)
        while (batch := waiting.result()) is not None:
            waiting = ahead.submit(next, source, None)
            video = batch[0][1]
            if video not in kept and kept:
                name, done = kept.popitem()
                torch.save(done, folder / f"{name}.pt")
            for number, text in enumerate(work.texts):
                arguments = work.inputs(text, [clip[2] for clip in batch], [clip[3] for clip in batch])
                last = model.model(**arguments, use_cache=False).last_hidden_state[:, -1]
                heads, hidden = hooks.take()
                found = {
                    "rows": [clip[0] for clip in batch],
                    "prompt": number,
                    "hidden": torch.stack(hidden, 1),
                    "heads": torch.stack(heads, 1),
                    "answers": torch.nn.functional.linear(last, head.weight[list(answers)]),
                }
                kept.setdefault(video, []).append(found)
    for name, done in kept.items():
        torch.save(done, folder / f"{name}.pt")
    hooks.remove()


@torch.inference_mode()
def through_nnsight(work: Work, folder: Path) -> None:
    """Extract naively, with nnsight in place of hooks and of generate's hidden states; decode each clip once."""
    from nnsight import NNsight  # noqa: PLC0415 - a peer, installed for the benchmark only

    model = work.backbone.model
    traced = NNsight(model.model)
    for row, _, path, frames, seconds in work.clips():
        clip = decord.VideoReader(str(path), ctx=decord.cpu(0)).get_batch(list(frames)).asnumpy()
        for number, text in enumerate(work.texts):
            hidden, heads = [], []
            with traced.trace(**work.inputs(text, [clip], [seconds]), use_cache=False):
                for block in traced.language_model.layers:
                    heads.append(block.self_attn.o_proj.input[0, -1].save())
                    hidden.append(
                        block.output[0, -1].save() if block.output.ndim == 3 else block.output[0][0, -1].save()
                    )
            torch.save({"hidden": torch.stack(hidden), "heads": torch.stack(heads)}, folder / f"{row}-{number}.pt")


def ours(work: Work, folder: Path) -> None:
    """Plan, extract and commit stores, with the model that is loaded."""
    dataset = open_dataset(DatasetConfig(name="videos", videos=str(work.videos)), Path())
    description, prompts = work.backbone.description, list(SHIPPED.values())[: len(work.texts)]
    plan = plan_extraction(dataset, folder, [SAMPLING], prompts, description, work.config)
    extractor = Extractor(dataset, plan, description, work.config)
    extractor.forward = Forward(work.backbone)
    compute_pending(extractor, Listener())
    extractor.commit()


SAMPLING = SamplingConfig(unit="segment", clip_length=48, frames_per_clip=16)
WAYS: dict[str, Callable[[Work, Path], None]] = {
    "vadprobe": ours,
    "naive script": naive,
    "batched script": batched,
    "nnsight": through_nnsight,
}


def largest_difference(work: Work, mine: Path, theirs: Path, way: str) -> float:
    """Return the largest difference between the heads of the store and of a script's files, over clips and prompts."""
    worst = 0.0
    sampling = work.plan.samplings[0]
    blocks = range(work.backbone.description.spec.n_layers)
    files = sorted(theirs.glob("*.pt")) if way == "batched script" else []
    per_video = [torch.load(path, "cpu", weights_only=True) for path in files]
    for number in range(len(work.texts)):
        (store,) = mine.glob(f"**/{list(SHIPPED)[number]}.zarr")
        heads = torch.from_numpy(FeatureStore.open(store).blocks(np.arange(len(sampling.clips)), blocks)).flatten(2)
        if way == "batched script":
            for part in (part for video in per_video for part in video if part["prompt"] == number):
                worst = max(worst, float((heads[part["rows"]] - part["heads"]).abs().max()))
        else:
            for row in range(len(heads)):
                found = torch.load(theirs / f"{row}-{number}.pt", "cpu", weights_only=True)["heads"]
                worst = max(worst, float((heads[row] - found).abs().max()))
    return worst


def measure(sizes: argparse.Namespace, folder: Path, backbone: Backbone, config: ExtractionConfig) -> dict[str, Any]:
    """Write videos, run the ways in turns on a loaded backbone, and compare their files with the stores.

    Args:
        sizes: numbers of videos, frames of each, prompts and rounds; `ways` are names of `WAYS`, "vadprobe" among them.
        folder: an empty folder for all files.
        backbone: the loaded model.
        config: the device of the backbone, and the clips of a batch.
    """
    (folder / "videos").mkdir()
    for number in range(sizes.videos):
        write_video(folder / "videos" / f"video{number}.mp4", sizes.frames)
    dataset = open_dataset(DatasetConfig(name="videos", videos=str(folder / "videos")), Path())
    prompts = list(SHIPPED.values())[: sizes.prompts]
    plan = plan_extraction(dataset, folder / "planned", [SAMPLING], prompts, backbone.description, config)
    work = Work(backbone, folder / "videos", plan, [prompt.text for prompt in prompts], config)
    seconds = dict.fromkeys(sizes.ways, float("inf"))
    for number in range(sizes.rounds):
        for way in sizes.ways:
            out = folder / f"{way} {number}"
            out.mkdir()
            begun = time.perf_counter()
            WAYS[way](work, out)
            seconds[way] = min(seconds[way], time.perf_counter() - begun)
    differences = {
        way: largest_difference(work, folder / "vadprobe 0", folder / f"{way} 0", way)
        for way in sizes.ways
        if way != "vadprobe"
    }
    tokens = work.inputs(work.texts[0], [np.zeros((16, 8, 8, 3), np.uint8)], [2.0])["input_ids"].shape[1]
    clips = len(plan.samplings[0].clips)
    return {"seconds": seconds, "clips": clips, "tokens": tokens, "differences": differences}


def installed(ways: Sequence[str]) -> list[str]:
    """Return the ways whose packages are installed."""
    return [way for way in ways if way != "nnsight" or find_spec("nnsight")]


def main() -> None:
    """Read the sizes, run the ways in turns, compare, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("videos", 2), ("frames", 480), ("prompts", 5), ("rounds", 2), ("threads", 2), ("size", 448)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    sizes = parser.parse_args()
    ways = installed(sizes.ways)
    for way in set(sizes.ways) - set(ways):
        print(f"{way} is left out: it is not installed (pip install nnsight)")
    sizes.ways = ways
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = make_tiny_backbone(folder / "backbone", "qwen2_5_vl")
        size = (sizes.size, sizes.size)
        description = describe(BackboneConfig(key="tiny", path=str(path), dtype="float32", frame_size=size), path)
        config = ExtractionConfig(device="cpu", threads=sizes.threads, batch_clips=4)
        found = measure(sizes, folder, load(description, "cpu", sizes.threads), config)
    seconds, clips = found["seconds"], found["clips"]
    print(f"{clips} clips of {sizes.videos} videos, {sizes.prompts} prompts of about {found['tokens']} tokens, CPU")
    for way in ways:
        text = f"  {way:15} {seconds[way]:8.2f} s  {clips / seconds[way]:7.2f} clips/s"
        if way != "vadprobe":
            text += f"  vadprobe is {seconds[way] / seconds['vadprobe']:.1f} x as fast"
            text += f"; heads differ by {found['differences'][way]:.1e} at most"
        print(text)
    if sizes.json:
        packages = ("torch", "transformers", "decord", "av", *(["nnsight"] if find_spec("nnsight") else []))
        given = {key: value for key, value in vars(sizes).items() if key != "json"}
        sizes.json.write_text(json.dumps({**found, **machine(packages), "sizes": given}, indent=1))


if __name__ == "__main__":
    main()
