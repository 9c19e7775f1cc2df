// One video of the page: its curve, film strip, cursor, the picture nearest to the cursor, and words about it.
function showVideo(page, figure, video, data, sized) {
  const plot = figure.querySelector(".plot");
  const curves = curveOf(video, data.parts);
  const edges = curves[0].edges;
  const count = edges.length - 1;
  figure.querySelectorAll(".strip, .range, .under").forEach((old) => old.remove());
  plot.setAttribute("aria-label", `Score curve of ${video.name}, ${video.kind}, ${video.frames} frames`);
  const made = (tag, name) => Object.assign(page.createElement(tag), { className: name });
  const range = made("input", "range");
  const middle = (at) => (edges[at] + edges[at + 1]) / 2;
  Object.assign(range, { type: "range", min: middle(0), max: middle(count - 1), step: "any" });
  range.setAttribute("aria-label", `Cursor on ${video.name}, by segments`);
  const output = page.createElement("output");
  const under = made("div", "under");
  let strip = null;
  let near = null;
  if (video.strip) {
    strip = made("img", "strip");
    strip.alt = `Film strip of ${video.name}: ${video.strip[1]} frames, evenly spaced in time`;
    near = page.createElement("img");
    near.alt = "";
    near.src = strip.src = "data:image/webp;base64," + video.strip[0];
    near.style.width = `${100 * video.strip[1]}%`;
    const frame = made("div", "near");
    frame.append(near);
    under.append(frame);
    figure.append(strip);
  }
  under.append(output);
  figure.append(range, under);
  let at = 0;
  let line = null;
  function move() {
    const frame = Math.floor(middle(at));
    range.value = middle(at);
    const [words, text] = readout(video, curves, data.words, frame);
    output.textContent = words;
    if (text) {
      const generated = made("div", "generated");
      generated.textContent = text;
      const notice = made("div", "note");
      notice.textContent = data.notice;
      output.append(generated, notice);
    }
    range.setAttribute("aria-valuetext", words);
    const inside = sized(plot) - MARGIN.left - MARGIN.right;
    line.setAttribute("transform", `translate(${MARGIN.left + inside * frame / video.frames + 9} 0)`);
    if (near) near.style.marginLeft = `${-100 * Math.min(video.strip[1] - 1, Math.floor(video.strip[1] * frame / video.frames))}%`;
  }
  function draw() {
    const width = sized(plot);
    const inside = width - MARGIN.left - MARGIN.right;
    const share = (length) => `${(100 * length / width).toFixed(3)}%`;
    plot.innerHTML = curveChart(video, curves, data.parts, width);
    line = plot.querySelector(".cursor");
    if (strip) Object.assign(strip.style, { marginLeft: share(MARGIN.left), width: share(inside) });
    // The middle of the knob, 16 pixels wide, stands under the cursor at both ends of the range.
    const [first, last] = [middle(0) / video.frames, middle(count - 1) / video.frames];
    Object.assign(range.style, { marginLeft: `calc(${share(MARGIN.left + inside * first)} - 8px)`, width: `calc(${share(inside * (last - first))} + 16px)` });
    move();
  }
  function moveTo(frame) {
    at = segmentAt(edges, Math.min(video.frames - 1, Math.max(0, frame)));
    move();
  }
  range.addEventListener("input", () => moveTo(Number(range.value)));
  range.addEventListener("keydown", (event) => {
    const far = Math.max(1, Math.round(count / 10));
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: far, PageDown: -far, Home: -count, End: count }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    at = Math.min(count - 1, Math.max(0, at + by));
    move();
  });
  plot.onpointermove = plot.onpointerdown = (event) => {
    const place = plot.querySelector("svg.curve").getBoundingClientRect();
    const share = (event.clientX - place.left) * sized(plot) / place.width - MARGIN.left;
    moveTo(video.frames * share / (sized(plot) - MARGIN.left - MARGIN.right));
  };
  draw();
  return { draw, moveTo, range };
}
