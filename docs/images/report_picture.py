"""The README's picture of a report: `python -m docs.images.report_picture demo-out/report.html`, at the project's root.

It is a photograph of the demo's page in headless Chromium: its head and the verdict on the first result, and below it
the video that is the median by the share of wrong frames, with the cursor in the middle of the video's first anomaly.
"""

import io
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.support.processes.chromium import running_browser

WIDTH = 1000
PLACE = Path(__file__).with_name("report.png")
COLOURS = 255
"""Colours of the picture, so that it is small."""

CUT = "document.querySelector('#verdict ul').getBoundingClientRect().bottom + scrollY + 8"
TO_THE_ANOMALY = """(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const video = data.videos[data.order[data.order.length >> 1]];
  const [start, stop] = video.truth[0] || [0, video.frames];
  const range = document.querySelector("#chosen-video input");
  range.value = (start + stop) / 2;
  range.dispatchEvent(new Event("input"));
})()"""


def main() -> None:
    """Open the page that the command line names, and write the picture."""
    with TemporaryDirectory() as name, running_browser(Path(name) / "profile") as browser:
        tab = browser.open(Path(sys.argv[1]).resolve(), WIDTH, prefers_color_scheme="light")
        tab.value(TO_THE_ANOMALY)
        assert not tab.problems, tab.problems
        whole = Image.open(io.BytesIO(tab.picture(Path(name) / "page.png").read_bytes()))
        head = whole.crop((0, 0, WIDTH, round(tab.value(CUT))))
        top, bottom = (
            round(tab.value(f"document.getElementById('any').getBoundingClientRect().{end} + scrollY"))
            for end in ("top", "bottom")
        )
        video = whole.crop((0, top, WIDTH, bottom))
    picture = Image.new("RGB", (WIDTH, head.height + video.height), "white")
    picture.paste(head, (0, 0))
    picture.paste(video, (0, head.height))
    picture.quantize(COLOURS).save(PLACE, optimize=True)


if __name__ == "__main__":
    main()
