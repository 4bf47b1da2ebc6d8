// Follows a demo that is under way: figures and charts of the last seconds, as the server tells them.
(() => {
  const get = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const draw = (tag, attributes, parent) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    parent.append(node);
    return node;
  };
  const short = (v) => (v >= 10000 ? `${(v / 1000).toFixed(1)}k` : v >= 100 ? v.toFixed(0) : v >= 1 ? v.toFixed(1) : v.toFixed(2));
  const chart = (title, unit, series, names) => {
    const section = document.createElement("figure");
    const heading = document.createElement("h2");
    heading.textContent = `${title}, ${unit}`;
    section.append(heading);
    const values = series.flatMap((s) => names.map((n) => s[n]).filter(Number.isFinite));
    const high = Math.max(1e-9, ...values) * 1.05;
    const [width, height, left, bottom] = [860, 200, 60, 24];
    const first = series[0].t;
    const span = Math.max(1, series[series.length - 1].t - first);
    const x = (t) => left + ((t - first) / span) * (width - left - 12);
    const y = (v) => 10 + (1 - v / high) * (height - 10 - bottom);
    const last = series[series.length - 1];
    const told = names.map((n) => `${n} ${Number.isFinite(last[n]) ? short(last[n]) : "none"}`).join(", ");
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} until second ${last.t}: ${told} ${unit}` }, section);
    for (const part of [0, 0.5, 1]) {
      draw("line", { class: "grid", x1: left, x2: width - 12, y1: y(high * part), y2: y(high * part) }, svg);
      draw("text", { class: "tick", x: left - 6, y: y(high * part) + 4, "text-anchor": "end" }, svg).textContent = short(high * part);
    }
    draw("text", { class: "tick", x: left, y: height - 6 }, svg).textContent = `${first} s`;
    draw("text", { class: "tick", x: width - 12, y: height - 6, "text-anchor": "end" }, svg).textContent = `${last.t} s`;
    const key = document.createElement("ul");
    key.className = "key";
    names.forEach((name, index) => {
      let d = "";
      let down = false;
      for (const s of series) {
        if (!Number.isFinite(s[name])) { down = false; continue; }
        d += `${down ? "L" : "M"}${x(s.t).toFixed(1)} ${y(s[name]).toFixed(1)}`;
        down = true;
      }
      draw("path", { class: `line c${index}`, d }, svg);
      const li = document.createElement("li");
      const colour = document.createElement("span");
      colour.className = `k${index}`;
      li.append(colour, `${name} ${Number.isFinite(last[name]) ? short(last[name]) : ""}`);
      key.append(li);
    });
    section.append(key);
    return section;
  };
  const show = (demo) => {
    get("state").textContent = demo.state;
    const { series, text, run, ...rest } = demo.data;
    get("text").textContent = text || "";
    get("figures").replaceChildren(...Object.entries(rest).filter(([, v]) => typeof v !== "object").map(([name, value]) => {
      const box = document.createElement("div");
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = value;
      box.append(dt, dd);
      return box;
    }));
    if (Array.isArray(series) && series.length > 1) {
      get("charts").replaceChildren(
        chart("Requests", "1/s", series, ["completed", "failed"]),
        chart("Latency", "ms", series, ["p50_ms", "p99_ms"]),
      );
    }
    const link = get("link");
    link.textContent = demo.state === "running" ? "This page follows the demo." : "It is over. ";
    if (run && demo.state === "finished") {
      const a = document.createElement("a");
      a.href = `/runs/${encodeURIComponent(run)}`;
      a.textContent = "Its report";
      link.append(a);
    }
  };
  const demo = JSON.parse(get("demo").textContent);
  show(demo);
  if (demo.state !== "running") return;
  const news = new EventSource(`/api/v1/events?demo=${encodeURIComponent(demo.id)}`);
  news.addEventListener("demo", (event) => {
    const told = JSON.parse(event.data);
    show(told);
    if (told.state !== "running") news.close();
  });
})();
