// The curve of a video: scores of every analysis over its time, truth shaded, detections below, and a cursor.
function curveOf(video, parts) {
  return video.series.map((one) => {
    const about = parts[one.of];
    const score = decoded(one.score, about.low, about.high);
    return { ...one, name: about.name, threshold: about.threshold, score, raw: decoded(one.raw, about.low, about.high), edges: edgesOf(one, score.length, video.frames) };
  });
}

// Steps of at most so many points: the highest and the lowest of neighbours are kept.
function steps(edges, values, most) {
  const xs = [];
  const ys = [];
  const group = Math.max(1, Math.ceil(values.length / most));
  for (let first = 0; first < values.length; first += group) {
    const last = Math.min(values.length, first + group);
    const known = values.slice(first, last).filter((value) => value !== null);
    const ends = [edges[first], edges[last]];
    const pair = known.length ? [Math.max(...known), Math.min(...known)] : [null, null];
    const middle = (ends[0] + ends[1]) / 2;
    if (group === 1) { xs.push(ends[0], ends[1]); ys.push(pair[0], pair[0]); } else { xs.push(ends[0], middle, middle, ends[1]); ys.push(pair[0], pair[0], pair[1], pair[1]); }
  }
  return [xs, ys];
}

function curveChart(video, curves, parts, width) {
  const rows = curves.length;
  const height = 190 + 9 * rows;
  const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom - 9 * rows };
  const fps = video.fps;
  const used = curves.map((one) => parts[one.of]);
  const yAxis = { range: [Math.min(0, ...used.map((one) => one.low)), Math.max(1, ...used.map((one) => one.high))], label: "score" };
  const xAxis = { range: [0, fps ? video.frames / fps : video.frames], label: fps ? "minutes:seconds" : "frames" };
  const seconds = scale(xAxis.range, box.left, box.right);
  const x = scale([0, video.frames], box.left, box.right);
  const y = scale(yAxis.range, box.bottom, box.top);
  const foot = { ...box, bottom: box.bottom + 9 * rows };
  const out = [];
  for (const [start, stop] of video.truth) out.push(`<rect class="truth" x="${x(start)}" y="${box.top}" width="${Math.max(1, x(stop) - x(start)).toFixed(2)}" height="${box.bottom - box.top}"><title>truly anomalous</title></rect>`);
  out.push(axes(seconds, y, xAxis, yAxis, foot, fps ? clock : short));
  curves.forEach((one, n) => {
    const look = "s" + one.of % 7;
    out.push(`<path class="dash" d="M${box.left} ${y(one.threshold)}H${box.right}"/>`);
    out.push(`<path class="line raw ${look}" d="${path(...steps(one.edges, one.raw, width), x, y)}"/>`);
    out.push(`<path class="line ${look}" d="${path(...steps(one.edges, one.score, width), x, y)}"/>`);
    for (const [start, stop] of one.detected) out.push(`<rect class="detected" x="${x(start)}" y="${box.bottom + 2 + 9 * n}" width="${Math.max(1, x(stop) - x(start)).toFixed(2)}" height="6"><title>${escaped(one.name)}: detected</title></rect>`);
  });
  out.push(`<path class="cursor" d="M-9 ${box.top}V${foot.bottom}"/>`);
  return `<svg viewBox="0 0 ${width} ${height}" aria-hidden="true">${out.join("")}</svg>` + legend(parts.map((one) => one.name));
}

// What is known of a frame, as [words, generated text].
function readout(video, curves, words, frame) {
  const found = [`frame ${frame}` + (video.fps ? `, ${clock(frame / video.fps)}` : "")];
  if (video.labelled) found.push(isInside(video.truth, frame) ? "truly anomalous" : "truly normal");
  for (const one of curves) {
    const place = segmentAt(one.edges, frame);
    const isDetected = isInside(one.detected, frame) ? "detected" : "not detected";
    const name = curves.length > 1 ? one.name + ": " : "";
    found.push(`${name}score ${rough(one.score[place])}, probability ${rough(one.raw[place])}, ${one.score[place] === null ? "not read" : isDetected}`);
  }
  const text = (video.texts || []).filter((one) => one[0] <= frame && frame < one[1]).map((one) => words[one[2]]);
  return [found.join("; "), text.join(" / ")];
}
