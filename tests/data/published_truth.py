"""Make `store/datasets/annotations/published_truth.json`: `python -m tests.data.published_truth DATA > FILE`.

DATA holds the folders `ucf-crime`, `xd-violence` and `msad` with the annotation files as published.
"""

import json
import sys
from pathlib import Path

from vadprobe.store.datasets.annotations.published import line_digest
from vadprobe.store.datasets.annotations.text_files import read_ucf_crime, read_xd_violence


def published_truth(data: Path) -> dict[str, list[str]]:
    """Sorted line digests of each set."""
    temporal = "Temporal_Anomaly_Annotation_for_Testing_Videos.txt"
    readings = {
        "ucf-crime": read_ucf_crime(data / "ucf-crime" / temporal),
        "xd-violence": read_xd_violence(data / "xd-violence" / "annotations.txt"),
        "msad": read_ucf_crime(data / "msad" / temporal),
    }
    return {name: sorted(line_digest(entry) for entry in reading.checked()) for name, reading in readings.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(published_truth(Path(sys.argv[1])), indent=0) + "\n")
