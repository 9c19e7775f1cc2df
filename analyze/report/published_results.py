"""Numbers that others have published, as data with their source. Nothing here was measured by this project."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published number in per cent. `caveat` says why it may not be comparable."""

    method: str
    value: float
    caveat: str = ""


_TRAPEZOID = "its AP is the trapezoid area"
_ALTERED = "on altered labels of 14 videos"

PUBLISHED: Mapping[str, tuple[str, tuple[Published, ...]]] = {
    "ucf-crime": (
        "frame AUC",
        (
            Published("LAVAD (CVPR 2024)", 80.28),
            Published("EventVAD (2025)", 82.03),
            Published("VADTree (2025)", 84.74),
            Published("PANDA (2025)", 84.89),
            Published("VERA (CVPR 2025)", 86.55, _ALTERED),
            Published("HiProbe-VAD, Qwen2.5-VL (MM 2025)", 85.89),
            Published("HiProbe-VAD, InternVL2.5 (MM 2025)", 86.72),
            Published("HiProbe-VAD, LLaVA-OneVision (MM 2025)", 82.26),
            Published("HiProbe-VAD, Holmes-VAU (MM 2025)", 88.91),
            Published("HeadHunt-VAD, InternVL3 (AAAI 2026)", 87.03),
            Published("SteerVAD", 87.15),
            Published("VadCLIP (AAAI 2024), trained", 88.02),
        ),
    ),
    "xd-violence": (
        "AP",
        (
            Published("LAVAD (CVPR 2024)", 62.01, _TRAPEZOID),
            Published("EventVAD (2025)", 64.04),
            Published("VADTree (2025)", 67.82, _TRAPEZOID),
            Published("PANDA (2025)", 70.16),
            Published("VERA (CVPR 2025)", 70.54, _TRAPEZOID),
            Published("HiProbe-VAD, Qwen2.5-VL (MM 2025)", 80.94),
            Published("HiProbe-VAD, InternVL2.5 (MM 2025)", 82.15),
            Published("HiProbe-VAD, LLaVA-OneVision (MM 2025)", 76.32),
            Published("HiProbe-VAD, Holmes-VAU (MM 2025)", 89.51),
            Published("HeadHunt-VAD, InternVL3 (AAAI 2026)", 82.63, "step AP"),
            Published("SteerVAD", 83.02),
            Published("VadCLIP (AAAI 2024), trained", 84.51, "step AP"),
        ),
    ),
}
"""Metric and numbers by set, as the papers and the later works that cite them print them."""

SETS = {"ucf-crime": "UCF-Crime", "xd-violence": "XD-Violence"}
"""Names of the public sets as they are printed."""

_UCF, _XD = "UCF-Crime AUC", "XD-Violence AP"

HIPROBE_BACKBONES: Mapping[str, Mapping[str, float]] = {
    "published: InternVL2.5": {_UCF: 86.72, _XD: 82.15},
    "published: Qwen2.5-VL": {_UCF: 85.89, _XD: 80.94},
    "published: LLaVA-OneVision": {_UCF: 82.26, _XD: 76.32},
    "published: Holmes-VAU": {_UCF: 88.91, _XD: 89.51},
}
"""HiProbe-VAD's backbones (MM 2025)."""

HEADHUNT_ABLATIONS: Mapping[str, Mapping[str, float]] = {
    "full": {_UCF: 87.03, _XD: 82.63},
    "full-layer": {_UCF: 80.15, _XD: 72.10},
    "random": {_UCF: 66.65, _XD: 45.33},
    "single-coarse": {_UCF: 81.86, _XD: 74.52},
    "no-smoothing": {_UCF: 82.44, _XD: 75.88},
    "threshold-0.5": {_UCF: 80.32, _XD: 71.49},
    "mlp": {_UCF: 87.25},
}
"""HeadHunt-VAD's ablations (AAAI 2026, InternVL3-8B), as far as a public summary of the paper quotes them; of the MLP
it quotes the gain of 0.22 in AUC."""
