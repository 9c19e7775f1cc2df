"""Several seeds of the demo backbone, side by side: caption losses, and both methods on the demo's two sets.

    python -m benchmarks.extract.demo_backbone captioner-0 captioner-1 captioner-2 --folder seeds

Each folder named is a checkpoint of 'vadprobe make-demo-backbone'. For each, 'vadprobe demo' runs in a folder of its
own below `--folder` (finished demos are not computed again). The tables of comparison are printed as Markdown with one
column for each seed, the numbers with their intervals, and the spread of the seeds.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CARD = "backbone_card.json"
TABLES = ("comparison", "comparison-kinds", "comparison-transfer")
METRICS = {
    "comparison": {"auc": "AUC", "ap_step": "AP"},
    "comparison-kinds": {"auc_named": "AUC, named kinds", "auc_unnamed": "AUC, kinds never named"},
    "comparison-transfer": {"auc": "AUC", "ap_step": "AP"},
}
BRACKETS = "In brackets: 95 % of resamples of the test videos; of random heads, the lowest and highest of 20 draws."


def main() -> None:
    """Run the demo with each backbone and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the demo's sets")
    parser.add_argument("--out", type=Path, help="also write the Markdown there")
    arguments = parser.parse_args()
    names = [folder.name for folder in arguments.backbones]
    if len(set(names)) < len(names):
        parser.error(f"the backbones' folders must have names of their own, got {' '.join(names)}")
    homes = [arguments.folder / name for name in names]
    cards = [read(folder / CARD) for folder in arguments.backbones]
    for backbone, home, card in zip(arguments.backbones, homes, cards, strict=True):
        if not is_measured(home, card, arguments.seed):
            run_demo(backbone, home, arguments.seed)
    lines = report(cards, {name: [read(home / "comparison" / f"{name}.json") for home in homes] for name in TABLES})
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_measured(home: Path, card: dict[str, Any], seed: int) -> bool:
    """Return True if a folder holds a finished demo with this backbone and these sets."""
    try:
        found = read(home / "backbones" / "demo-captioner" / CARD)
        videos = read(home / "surveillance" / "surveillance.json")
    except FileNotFoundError:
        return False
    if (found["weights_sha256"], videos["seed"]) != (card["weights_sha256"], seed):
        raise SystemExit(f"{home} holds a demo of another backbone or seed; name another --folder, or remove it.")
    return (home / "comparison" / f"{TABLES[-1]}.json").exists()


def run_demo(backbone: Path, home: Path, seed: int) -> None:
    """Run the demo with a backbone as a user does."""
    command = [sys.executable, "-m", "vadprobe.flows.command_line", "demo", "--no-prefect", "--out", str(home)]
    subprocess.run([*command, "--backbone", str(backbone), "--seed", str(seed)], check=True)


def report(cards: Sequence[dict[str, Any]], tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return all lines: losses, every metric of every table, and the sentences about each seed."""
    seeds = [f"seed {card['seed']}" for card in cards]
    lines = loss_lines(cards, seeds)
    for name, found in tables.items():
        for metric, words in METRICS[name].items():
            title = f"{found[0]['title']}: {words} on {found[0]['dataset']}"
            lines += metric_lines(title, found, metric, seeds)
    lines += [BRACKETS, ""]
    for found in tables.values():
        for seed, one in zip(seeds, found, strict=True):
            lines += [f"{seed}, {one['title']}:", "", *(f"- {note}" for note in one["notes"]), ""]
    return lines


def loss_lines(cards: Sequence[dict[str, Any]], seeds: Sequence[str]) -> list[str]:
    """Return a table of held-out losses by seed."""
    rows = [(name, [card["losses"][name] for card in cards]) for name in cards[0]["losses"]]
    cells = [[name, *(f"{value:.4f}" for value in values), spread(values, len(cards))] for name, values in rows]
    return markdown("Held-out clips", ["loss", *seeds, "spread"], cells)


def metric_lines(title: str, tables: Sequence[dict[str, Any]], metric: str, seeds: Sequence[str]) -> list[str]:
    """Return a table of one metric: rows of the comparison by seeds, matched by their keys."""
    by_key = [{row["key"]: row for row in table["rows"]} for table in tables]
    cells = []
    for key, first in by_key[0].items():
        numbers = [rows[key]["numbers"].get(metric) if key in rows else None for rows in by_key]
        values = [one["value"] for one in numbers if one and one["value"] is not None]
        label = re.sub(r" \(sigma .*\)", "", first["label"])  # of one seed alone
        label = f"&nbsp;&nbsp;{label.strip()}" if label.startswith("  ") else label
        cells.append([label, *map(cell, numbers), spread(values, len(tables))])
    return markdown(title, ["", *seeds, "spread"], cells)


def spread(values: Sequence[float], count: int) -> str:
    """Return the difference of the largest and the smallest value; "-" where a seed has no number."""
    return f"{max(values) - min(values):.4f}" if len(values) == count else "-"


def cell(number: dict[str, Any] | None) -> str:
    """Return a number with its interval."""
    if not number or number["value"] is None:
        return "-"
    if number.get("low") is None:
        return f"{number['value']:.4f}"
    return f"{number['value']:.4f} [{number['low']:.4f}, {number['high']:.4f}]"


def markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a titled Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return [f"{title[0].upper()}{title[1:]}", "", *lines, ""]


if __name__ == "__main__":
    main()
