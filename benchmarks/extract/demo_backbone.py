"""Several seeds of the demo backbone, side by side: caption losses, and both methods on the demo's two sets.

    python -m benchmarks.extract.demo_backbone captioner-0 captioner-1 captioner-2 --folder seeds

Each folder named is a checkpoint of 'vadprobe make-demo-backbone'. For each, 'vadprobe demo' runs in a folder of its
own below `--folder` (what is there is not computed again). The tables of its comparison are put beside each
other as Markdown: one column for each seed, the numbers with their intervals, and the spread of the seeds.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TABLES = ("comparison", "comparison-kinds", "comparison-transfer")
_METRICS = {
    "comparison": {"auc": "AUC", "ap_step": "AP"},
    "comparison-kinds": {"auc_named": "AUC, named kinds", "auc_unnamed": "AUC, kinds never named"},
    "comparison-transfer": {"auc": "AUC", "ap_step": "AP"},
}


def main() -> None:
    """Run the demo with each backbone and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the demo's sets")
    parser.add_argument("--out", type=Path, help="also write the Markdown there")
    arguments = parser.parse_args()
    cards = [json.loads((folder / "backbone_card.json").read_text()) for folder in arguments.backbones]
    homes = [arguments.folder / folder.name for folder in arguments.backbones]
    for backbone, home in zip(arguments.backbones, homes, strict=True):
        if not (home / "comparison" / f"{TABLES[-1]}.json").exists():
            run_demo(backbone, home, arguments.seed)
    lines = [*loss_lines(cards)]
    for table in TABLES:
        found = [json.loads((home / "comparison" / f"{table}.json").read_text()) for home in homes]
        for metric, name in _METRICS[table].items():
            lines += metric_lines(f"{found[0]['title']}: {name} on {found[0]['dataset']}", found, metric, cards)
    for table in TABLES:
        for home, card in zip(homes, cards, strict=True):
            found = json.loads((home / "comparison" / f"{table}.json").read_text())
            lines += [f"Seed {card['seed']}, {found['title']}:", "", *(f"- {note}" for note in found["notes"]), ""]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_demo(backbone: Path, home: Path, seed: int) -> None:
    """Run the demo with a backbone as a user does."""
    command = [sys.executable, "-m", "vadprobe.flows.command_line", "demo", "--no-prefect", "--out", str(home)]
    subprocess.run([*command, "--backbone", str(backbone), "--seed", str(seed)], check=True)


def loss_lines(cards: list[dict[str, Any]]) -> list[str]:
    """Return a table of held-out losses by seed."""
    rows = []
    for name in cards[0]["losses"]:
        values = [card["losses"][name] for card in cards]
        cells = " | ".join(f"{value:.4f}" for value in values)
        rows.append(f"| {name} | {cells} | {max(values) - min(values):.4f} |")
    head = " | ".join(f"seed {card['seed']}" for card in cards)
    return ["Held-out clips", "", f"| loss | {head} | spread |", "|---|" + "---|" * (len(cards) + 1), *rows, ""]


def metric_lines(title: str, tables: list[dict[str, Any]], metric: str, cards: list[dict[str, Any]]) -> list[str]:
    """Return a table of one metric: rows of the comparison by seeds."""
    by_key = [{row["key"]: row for row in table["rows"]} for table in tables]
    rows = []
    for key, first in by_key[0].items():
        label = first["label"]
        numbers = [rows_of[key]["numbers"].get(metric) if key in rows_of else None for rows_of in by_key]
        values = [one["value"] for one in numbers if one and one["value"] is not None]
        spread = f"{max(values) - min(values):.4f}" if values else "-"
        indented = label.replace("  ", "&nbsp;&nbsp;", 1) if label.startswith("  ") else label
        rows.append(f"| {indented} | {' | '.join(map(_cell, numbers))} | {spread} |")
    head = " | ".join(f"seed {card['seed']}" for card in cards)
    return [
        f"{title[0].upper()}{title[1:]}",
        "",
        f"| | {head} | spread |",
        "|---|" + "---|" * (len(cards) + 1),
        *rows,
        "",
    ]


def _cell(number: dict[str, Any] | None) -> str:
    if not number or number["value"] is None:
        return "-"
    if number.get("low") is None:
        return f"{number['value']:.4f}"
    return f"{number['value']:.4f} [{number['low']:.4f}, {number['high']:.4f}]"


if __name__ == "__main__":
    main()
