"""The commands detector build and detector show."""

from pathlib import Path

from vadprobe.flows.commands.options import print_json


def detector_build(config: Path, /, *, out: Path | None = None) -> int:
    """Pack what detects in one JSON file below 1 MB: backbone, prompt, sampling, probe, locator, calibration, result.

    Example: vadprobe detector build my-job.toml --out detector.json

    Args:
        config: job file whose analysis is finished
        out: the file to write; by default the analysis' own detector.json, which is completed for use elsewhere
    """
    from vadprobe.analyze.detector.description import described
    from vadprobe.analyze.detector.detector import Detector
    from vadprobe.analyze.detector.packing import pack
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.store.files.atomic_files import read_json
    from vadprobe.store.files.text import size_text

    job = load_job(config)
    own = job.out / "detector.json"
    calibration, results = job.out / "calibration.json", job.out / "results.json"
    is_fitted_here = job.analysis.detector is None
    packed = pack(
        Detector.read(own),
        job.config.backbone.model_dump(mode="json"),
        read_json(calibration) if is_fitted_here and calibration.exists() else None,
        read_json(results)["results"][0] if results.exists() else None,
    )
    path = out or own
    packed.write(path)
    print("\n".join([*described(packed), f"Written: {path} ({size_text(path.stat().st_size)})"]))
    return 0


def detector_show(file: Path, /, *, json: bool = False) -> int:
    """Show what a detector's file holds; a file that is damaged, edited or hostile is refused.

    Example: vadprobe detector show detector.json

    Args:
        file: detector.json
        json: print the whole content as JSON
    """
    from vadprobe.analyze.detector.description import described
    from vadprobe.analyze.detector.detector import Detector

    detector = Detector.read(file)
    if json:
        print_json(detector.to_json())
    else:
        print("\n".join(described(detector)))
    return 0
