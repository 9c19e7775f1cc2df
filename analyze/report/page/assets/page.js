// What a map holds under the pointer, or at the head that the arrow keys lead to.
function readByHand(plot, map) {
  const at = [0, 0];
  const tell = (across, down) => { plot.querySelector(".read").textContent = headAt(map, across, down); };
  plot.tabIndex = 0;
  plot.addEventListener("pointermove", (event) => {
    const place = plot.querySelector("image").getBoundingClientRect();
    tell((event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height);
  });
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    at[0] = Math.min(map.heads - 1, Math.max(0, at[0] + by[0]));
    at[1] = Math.min(map.blocks - 1, Math.max(0, at[1] + by[1]));
    tell((at[0] + 0.5) / map.heads, (at[1] + 0.5) / map.blocks);
  });
}

// The page: charts are drawn to their width, tables sort, videos are found by name. Only this part touches the page.
function start(page) {
  const data = JSON.parse(page.getElementById("data").textContent);
  const make = { lines: lineChart, map: mapChart };
  const redraw = [];
  const sized = (plot) => Math.max(260, Math.round(plot.clientWidth || 640));

  for (const plot of page.querySelectorAll("[data-chart]")) {
    const [kind, content] = data.charts[plot.dataset.chart];
    redraw.push(() => { plot.innerHTML = make[kind](content, sized(plot)); });
    if (kind === "map") readByHand(plot, content);
  }

  for (const figure of page.querySelectorAll("[data-video]")) {
    let shown = null;
    redraw.push(() => { if (shown) shown.draw(); else shown = showVideo(page, figure, data.videos[Number(figure.dataset.video)], data, sized); });
  }

  const chosen = page.getElementById("chosen-video");
  if (chosen) {
    const search = page.getElementById("search");
    const found = page.getElementById("found");
    let place = 0;
    let shown = null;
    const choose = (number, why) => {
      place = (number + data.videos.length) % data.videos.length;
      const video = data.videos[place];
      shown = showVideo(page, chosen, video, data, sized);
      found.textContent = `${why}${video.name}: ${video.frames} frames; ${video.kind}.`;
    };
    const byName = (name) => {
      const wanted = name.trim().toLowerCase();
      let number = data.videos.findIndex((video) => video.name.toLowerCase() === wanted);
      if (number < 0 && wanted) number = data.videos.findIndex((video) => video.name.toLowerCase().includes(wanted));
      if (number < 0) found.textContent = `No test video has a name with ${JSON.stringify(name)}.`; else choose(number, "");
    };
    const pick = { best: 0, median: data.order.length >> 1, worst: data.order.length - 1 };
    redraw.push(() => { if (shown) shown.draw(); else if (data.order.length) choose(data.order[pick.median], "The median: "); else choose(0, ""); });
    search.addEventListener("change", () => byName(search.value));
    for (const button of page.querySelectorAll("[data-pick]")) button.addEventListener("click", () => {
      const which = button.dataset.pick;
      if (which === "previous") choose(place - 1, "");
      else if (which === "next") choose(place + 1, "");
      else if (!data.order.length) found.textContent = "No test video has a label, so none is best or worst.";
      else choose(data.order[pick[which]], `The ${which}: `);
    });
    // The name of a video in a table shows it above, with the cursor where the row begins.
    for (const button of page.querySelectorAll("[data-show]")) button.addEventListener("click", () => {
      const [name, analysis, frame] = JSON.parse(button.dataset.show);
      choose(data.videos.findIndex((video) => video.name === name && video.series.some((one) => data.parts[one.of].name === analysis)), "");
      shown.moveTo(frame);
      page.getElementById("any").scrollIntoView();
      shown.range.focus({ preventScroll: true });
    });
  }

  for (const table of page.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const key = (row) => {
        const cell = row.cells[column];
        if (cell.dataset.value === undefined) return cell.textContent;
        return cell.dataset.value === "" || Number.isNaN(Number(cell.dataset.value)) ? cell.dataset.value : Number(cell.dataset.value);
      };
      const rows = next === "none" ? original : [...original].sort((a, b) => compared(key(a), key(b), next === "ascending" ? 1 : -1));
      body.append(...rows);
    }));
  }

  // A chart as a file: the page's rules stand in it, with their colours put in.
  for (const button of page.querySelectorAll("[data-save]")) button.addEventListener("click", () => {
    const drawn = page.getElementById(button.dataset.save).querySelector("svg");
    const colours = getComputedStyle(page.documentElement);
    const rules = page.querySelector("style").textContent.replace(/var\((--\w+)\)/g, (_, name) => colours.getPropertyValue(name).trim());
    const file = drawn.cloneNode(true);
    const style = page.createElementNS(file.namespaceURI, "style");
    style.textContent = rules;
    file.prepend(style);
    const [kind, content] = data.charts[button.dataset.save];
    const [, , width, height] = file.getAttribute("viewBox").split(" ").map(Number);
    const rows = kind === "lines" ? legendRows(content.series, height) : [];
    file.innerHTML += rows.join("");
    const size = [width, height + 16 * rows.length];
    file.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    ["width", "height"].forEach((name, n) => file.setAttribute(name, size[n]));
    const link = page.createElement("a");
    link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(file)], { type: "image/svg+xml" }));
    link.download = `${button.dataset.save}.svg`;
    link.click();
    URL.revokeObjectURL(link.href);
  });

  const theme = page.getElementById("theme");
  const names = { "": "as the system", dark: "dark", light: "light" };
  const apply = (name) => {
    if (name) page.documentElement.dataset.theme = name; else delete page.documentElement.dataset.theme;
    theme.textContent = `Theme: ${names[name]}`;
  };
  let current = "";
  theme.addEventListener("click", () => { current = { "": "dark", dark: "light", light: "" }[current]; apply(current); });

  const drawAll = () => redraw.forEach((one) => one());
  let waiting = 0;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 100); });
  window.addEventListener("beforeprint", () => page.querySelectorAll("details").forEach((one) => { one.open = true; }));
  page.addEventListener("toggle", (event) => { if (event.target.open) drawAll(); }, true);
  drawAll();
}

if (typeof document !== "undefined") start(document);
