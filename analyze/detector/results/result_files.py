"""Results as files, `results.json`, `results.parquet` and `videos.parquet`, and as lines of text."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vadprobe.analyze.detector.results.benchmark import Result
from vadprobe.analyze.evaluation.baselines import BASELINES
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.parquet import write_parquet
from vadprobe.store.files.text import percent

_WIDTH = 32  # characters of the first column, which a longer name makes wider


def write_results(results: Sequence[Result], folder: Path) -> Path:
    """Write `results.json`, `results.parquet` and `videos.parquet`; returns the JSON's path."""
    values = [result.to_json() for result in results]
    write_json(folder / "results.json", {"results": values})
    write_parquet(pa.Table.from_pylist([_flat(value) for value in values]), folder / "results.parquet")
    tables = [
        result.videos.append_column("preset", pa.array([result.preset] * len(result.videos), pa.string()))
        for result in results
        if result.videos is not None
    ]
    if tables:
        write_parquet(pa.concat_tables(tables), folder / "videos.parquet")
    return folder / "results.json"


def _flat(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result as one row: numbers and texts, with intervals and baselines in columns of their own."""
    row = {name: value for name, value in result.items() if not isinstance(value, dict | list)}
    for name, ends in result["intervals"].items():
        row[f"{name}_low"], row[f"{name}_high"] = ends
    for name, metrics in result["baselines"].items():
        row.update({f"{name}_{metric}": number for metric, number in metrics.items()})
    row["brier"] = (result["reliability"] or {}).get("brier")
    row["shift_auc"] = (result["shift"] or {}).get("auc")
    return {**row, "selection": str(result["selection"]["indices"])}


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """Format entries of results.json as lines of text, intervals and baselines below each."""
    columns = ("auc", "ap_step", "pr_area_trapezoid", "auc_macro", "f1")
    heading = "".join(f"{name:>10}" for name in ("AUC", "AP", "PR area", "macro AUC", "F1", "videos", "frames"))
    names = [_name(result) for result in results]
    width = max(_WIDTH, *(len(name) + 1 for name in names))
    lines = [" " * width + heading]
    for name, result in zip(names, results, strict=True):
        lines.append(
            f"{name:{width}}"
            + "".join(_cell(result[column]) for column in columns)
            + f"{result['n_videos']:10d}{result['n_frames']:10d}"
        )
        for place, word in ((0, "from"), (1, "to")):
            ends = {metric: ends[place] for metric, ends in result["intervals"].items()}
            if ends:
                share = f"{percent(result['bootstrap']['confidence'])} of resamples, {word}"
                lines.append(
                    f"{'  ' + share:{width}}" + "".join(_cell(ends.get(c)) if c in ends else "" for c in columns)
                )
        for baseline in BASELINES if result["baselines"] else ():
            metrics = result["baselines"][baseline]
            cells = "".join(_cell(metrics[column]) for column in columns if column in metrics)
            lines.append(f"{'  baseline ' + baseline:{width}}{cells}")
        lines += _text_lines(result, columns, width)
        lines += [
            f"  {result[part][words]}"
            for part, words in (("reliability", "line"), ("shift", "sentence"))
            if result[part]
        ]
        notes = dict.fromkeys(note for baseline in result["text_output"] for note in baseline["notes"])
        lines += [f"  Note: {note}" for note in (*notes, *result["caveats"])]
    return "\n".join(lines)


def _name(result: dict[str, Any]) -> str:
    mark = ", transductive" if result.get("transductive") else ""
    return f"{result['preset']} on {result['dataset']} ({result['split']}{mark})"


def _text_lines(result: dict[str, Any], columns: Sequence[str], width: int) -> list[str]:
    """Return a line for each row of the text baselines, or one that says why the numbers of a prompt are unknown."""
    lines = []
    for baseline in result["text_output"]:
        known = {name: found for name, found in baseline["rows"].items() if found}
        for name, found in known.items():
            cells = "".join(_cell(found[column]) for column in columns if column in found)
            lines.append(f"{'  ' + name:{width}}{cells}")
        if not known:
            lines.append(f"  p(yes), {baseline['prompt']}, is unknown: {baseline['reason']}")
    return lines


def _cell(value: float | None) -> str:
    return f"{'unknown':>10}" if value is None or math.isnan(value) else f"{value:10.4f}"
