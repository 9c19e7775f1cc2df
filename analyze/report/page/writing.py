"""Writing of the page and of its tables as CSV."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from vadprobe.analyze.report.part import ReportPart, labels_of
from vadprobe.analyze.report.sections import kept, numbers, provenance, saliency, videos
from vadprobe.analyze.report.sections.curves import curves
from vadprobe.analyze.report.sections.measured_clips import COST, measured_clips
from vadprobe.analyze.report.sections.rankings import rankings
from vadprobe.analyze.report.sections.verdict import verdict, warnings
from vadprobe.analyze.report.views import Group, PageTable
from vadprobe.store.files.atomic_files import write_bytes

_ASSETS = "vadprobe.analyze.report.page.assets"
_STYLES = ("page.css", "charts.css")
_SCRIPTS = ("text.js", "plot.js", "curve.js", "video.js", "page.js")


def write_report(parts: Sequence[ReportPart], path: Path) -> Path:
    """Write the page, whole or not at all, and its tables as CSV into the folder `tables_folder` beside it."""
    import jinja2
    from markupsafe import Markup

    content = _content(parts)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_asset),
    )  # fmt: skip
    style, script = Markup(_joined(_STYLES)), Markup(_joined(_SCRIPTS))
    data = {"charts": {chart.name: [chart.kind, chart.data] for chart in _charts(content)}, **content["data"]}
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template("page.html.jinja").render(
        **content, style=style, script=script, policy=policy, data_json=Markup(_inert_json(data)),
        folder=tables_folder(path).name,
    )  # fmt: skip
    for table in _tables(content):
        write_bytes(tables_folder(path) / f"{table.name}.csv", table.csv())
    write_bytes(path, page.encode())
    return path


def tables_folder(path: Path) -> Path:
    """Return the folder of a page's CSV files."""
    return path.with_name(f"{path.stem}-tables")


def _content(parts: Sequence[ReportPart]) -> dict[str, Any]:
    """Return the content of every section, for the template."""
    labels = labels_of(parts)
    clips = [measured_clips(part) for part in parts]
    data, notes = curves(parts, labels)
    failures: dict[str, str] = {}
    for part in parts:
        failures.update(part.failures)
    tables = [numbers.results_table(parts, labels), numbers.located_table(parts, labels)]
    by_kind = numbers.classes_table(parts, labels)
    chances = (saliency.chance_table(*one, n) for n, one in enumerate(zip(parts, labels, strict=True)))
    held = [group for group in (saliency.layers(parts, labels), saliency.heads(parts, labels)) if group]
    drawn, measured = kept.figures(parts), kept.tables(parts)
    answers = dict.fromkeys(note for part in parts for text in part.result["text_output"] for note in text["notes"])
    lists = [
        videos.videos_table(parts, labels, clips),
        videos.false_alarms_table(parts, labels, clips),
        videos.misses_table(parts, labels, clips),
        videos.events_table(parts, labels),
    ]
    names = {one["name"]: None for one in data["videos"]}
    place = {(one["set"], one["name"]): number for number, one in enumerate(data["videos"])}
    ranked = [row for row in lists[0].rows if row[1] == labels[0] and row[5] is not None]
    data["order"] = [place[str(row[2]), str(row[0])] for row in ranked]
    return {
        "title": f"Anomalies in {', '.join(sorted({part.result['dataset'] for part in parts}))}",
        "warnings": warnings(list(parts), labels),
        "verdicts": list(zip(labels, map(verdict, parts), strict=True)),
        "numbers": [*tables, *([by_kind] if by_kind else [])],
        "answers": list(answers),
        "printed": numbers.printed_tables(parts, labels),
        "printed_note": numbers.PRINTED_NOTE,
        "groups": [rankings(parts, labels, clips), *held, *([drawn] if drawn else [])],
        "measured": measured,
        "shared_notes": kept.shared_notes(measured),
        "chances": [table for table in chances if table],
        "data": data,
        "names": list(names),
        "examples": [(place[key], data["videos"][place[key]]) for key in videos.examples(parts) if key in place],
        "lists": lists,
        "cost": COST,
        "video_notes": notes,
        "failures": PageTable("failures", "What could not be read", ["video or clip", "reason"],
                              list(failures.items()), frozenset({0, 1})),
        "details": [
            (label, provenance.facts(part), list(part.result["caveats"]), (part.result["shift"] or {}).get("sentence"))
            for part, label in zip(parts, labels, strict=True)
        ],
        "commands": provenance.commands(parts),
    }  # fmt: skip


def _tables(content: dict[str, Any]) -> list[PageTable]:
    groups: list[Group] = [*content["groups"], *content["measured"]]
    inside = [table for group in groups for table in group.tables]
    of_charts = [chart.table for chart in _charts(content) if chart.table]
    return [*content["numbers"], *content["printed"], *content["chances"], *content["lists"], content["failures"],
            *inside, *of_charts]  # fmt: skip


def _charts(content: dict[str, Any]) -> Iterable[Any]:
    return [chart for group in content["groups"] for chart in group.charts]


def _asset(name: str) -> str:
    return files(_ASSETS).joinpath(name).read_text(encoding="utf-8")


def _joined(names: Iterable[str]) -> str:
    return "\n".join(_asset(name) for name in names)


def _digest(text: str) -> str:
    """Return the digest by which the page's security policy allows a script or style, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _inert_json(data: Any) -> str:
    """Encode as JSON without characters that could end the HTML element around it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
