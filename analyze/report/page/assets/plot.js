// Charts as SVG text. Classes carry the colours, so that a change of theme redraws nothing.
const MARGIN = { left: 46, right: 12, top: 8, bottom: 34 };

// Round numbers between two ends.
function ticks(low, high, most, whole) {
  const rough = (high - low) / Math.max(1, most);
  const power = Math.pow(10, Math.floor(Math.log10(rough || 1)));
  let step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) || 10 * power;
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
}

function extent(axis, lists) {
  if (axis.range) return axis.range;
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) for (const value of list || []) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return [0, 1];
  if (low === high) return [low - 0.5, high + 0.5];
  const room = axis.whole ? 0.5 : 0.04 * (high - low);
  return [low - room, high + room];
}

function scale(range, from, to) {
  const factor = (to - from) / (range[1] - range[0] || 1);
  return (value) => Number((from + (value - range[0]) * factor).toFixed(2));
}

function axes(x, y, xAxis, yAxis, box, format) {
  const out = [];
  const words = format || short;
  for (const value of ticks(yAxis.range[0], yAxis.range[1], Math.floor((box.bottom - box.top) / 40), yAxis.whole)) {
    out.push(`<path class="axis" d="M${box.left} ${y(value)}H${box.right}"/><text x="${box.left - 5}" y="${y(value) + 4}" text-anchor="end">${escaped(short(value))}</text>`);
  }
  for (const value of ticks(xAxis.range[0], xAxis.range[1], Math.floor((box.right - box.left) / 60), xAxis.whole)) {
    out.push(`<path class="axis" d="M${x(value)} ${box.bottom}v4"/><text x="${x(value)}" y="${box.bottom + 15}" text-anchor="middle">${escaped(words(value))}</text>`);
  }
  out.push(`<path class="axis" d="M${box.left} ${box.top}V${box.bottom}H${box.right}"/>`);
  out.push(`<text x="${box.right}" y="${box.bottom + 29}" text-anchor="end">${escaped(xAxis.label || "")}</text>`);
  out.push(`<text x="11" y="${box.top}" text-anchor="end" transform="rotate(-90 11 ${box.top})">${escaped(yAxis.label || "")}</text>`);
  return out.join("");
}

// A line through known points; an unknown one interrupts it.
function path(xs, ys, x, y) {
  let out = "";
  let isOpen = false;
  for (let n = 0; n < xs.length; n += 1) {
    if (ys[n] === null || xs[n] === null) { isOpen = false; continue; }
    out += (isOpen ? "L" : "M") + x(xs[n]) + " " + y(ys[n]);
    isOpen = true;
  }
  return out;
}

function legend(names) {
  if (names.length < 2) return "";
  const entries = names.map((name, n) => `<span><svg viewBox="0 0 28 10" aria-hidden="true"><path class="line s${n % 7}" d="M0 5H28"/></svg> ${escaped(name)}</span>`);
  return `<div class="legend">${entries.join("")}</div>`;
}

function lineChart(data, width) {
  const height = Math.round(Math.min(300, Math.max(200, 0.6 * width)));
  const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  const xAxis = { ...data.x, range: extent(data.x, data.series.map((one) => one.x)) };
  const yAxis = { ...data.y, range: extent(data.y, data.series.map((one) => one.y)) };
  const x = scale(xAxis.range, box.left, box.right);
  const y = scale(yAxis.range, box.bottom, box.top);
  const out = [axes(x, y, xAxis, yAxis, box)];
  if (data.diagonal) out.push(`<path class="dash" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>`);
  data.series.forEach((one, n) => {
    const look = "s" + n % 7;
    (one.low || []).forEach((low, place) => {
      if (low !== null && one.high[place] !== null) out.push(`<path class="bar ${look}" d="M${x(one.x[place])} ${y(low)}V${y(one.high[place])}"/>`);
    });
    out.push(`<path class="line ${look}" d="${path(one.x, one.y, x, y)}"/>`);
    if (one.points) one.x.forEach((value, place) => {
      if (one.y[place] !== null) out.push(`<circle class="dot ${look}" cx="${x(value)}" cy="${y(one.y[place])}" r="2.5"><title>${escaped(one.name + ": " + short(value) + ", " + short(one.y[place]))}</title></circle>`);
    });
  });
  for (const ring of data.rings || []) out.push(`<circle class="ring s${ring[2] % 7}" cx="${x(ring[0])}" cy="${y(ring[1])}" r="7"/>`);
  return `<svg viewBox="0 0 ${width} ${height}" aria-hidden="true">${out.join("")}</svg>` + legend(data.series.map((one) => one.name));
}

// A map of heads: a picture with one pixel for each, frames around the chosen ones.
function mapChart(data, width) {
  const high = Math.round(Math.min(width, Math.max(120, (width - 58) * Math.min(1, data.blocks / data.heads))));
  const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: MARGIN.top + high };
  const xAxis = { range: [-0.5, data.heads - 0.5], whole: true, label: "head" };
  const yAxis = { range: [-0.5, data.blocks - 0.5], whole: true, label: "block" };
  const x = scale(xAxis.range, box.left, box.right);
  const y = scale(yAxis.range, box.top, box.bottom);
  const size = [(box.right - box.left) / data.heads, (box.bottom - box.top) / data.blocks];
  const out = [axes(x, y, xAxis, yAxis, box)];
  out.push(`<image class="pixels" href="data:image/png;base64,${data.png}" x="${box.left}" y="${box.top}" width="${box.right - box.left}" height="${box.bottom - box.top}" preserveAspectRatio="none"/>`);
  for (const [block, head] of data.chosen) {
    const place = `x="${x(head - 0.5)}" y="${y(block - 0.5)}" width="${size[0].toFixed(2)}" height="${size[1].toFixed(2)}"`;
    out.push(`<rect class="rim" ${place}/><rect class="frame" ${place}/>`);
  }
  const note = `<div class="legend"><span>dark ${escaped(short(data.low))} to bright ${escaped(short(data.high))}</span><span class="read"></span></div>`;
  return `<svg viewBox="0 0 ${width} ${box.bottom + MARGIN.bottom}" aria-hidden="true">${out.join("")}</svg>` + note;
}

// What lies under a point of a map, which is given as shares of the picture's width and of its height.
function headAt(data, across, down) {
  const head = Math.min(data.heads - 1, Math.max(0, Math.floor(across * data.heads)));
  const block = Math.min(data.blocks - 1, Math.max(0, Math.floor(down * data.blocks)));
  const value = decoded(data.codes.substr(2 * (block * data.heads + head), 2), data.low, data.high)[0];
  return `block ${block}, head ${head}: ${rough(value)}`;
}
