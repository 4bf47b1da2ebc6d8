// A cursor that all charts over time share, values beside the names, and lines that can be hidden. Without this script the
// page is whole too: pictures and tables.
(() => {
  const charts = [...document.querySelectorAll("figure[data-max]")].map((figure) => {
    const rows = [...figure.querySelectorAll("tbody tr")].map((tr) => ({
      x: Number(tr.dataset.x),
      name: tr.cells[0].textContent,
      cells: [...tr.cells].slice(1).map((td) => td.textContent),
    }));
    const plot = figure.querySelector(".plot");
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.hidden = true;
    plot.append(cursor);
    const lines = [...figure.querySelectorAll("path.line")];
    const values = [...figure.querySelectorAll(".key li")].map((li, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...li.childNodes);
      const value = document.createElement("b");
      li.append(button, " ", value);
      button.addEventListener("click", () => {
        const hidden = lines[index].classList.toggle("off");
        button.setAttribute("aria-pressed", String(!hidden));
      });
      return value;
    });
    const heard = document.createElement("p");
    heard.className = "small";
    heard.setAttribute("aria-live", "polite");
    figure.querySelector(".key").after(heard);
    figure.tabIndex = 0;
    const { left, right, max, group } = figure.dataset;
    return { figure, plot, cursor, rows, values, heard, left: +left, right: +right, max: +max, group, at: -1 };
  });
  const nearest = (rows, x) => {
    let best = -1;
    rows.forEach((row, i) => {
      if (best < 0 || Math.abs(row.x - x) < Math.abs(rows[best].x - x)) best = i;
    });
    return best;
  };
  const show = (chart, x, spoken) => {
    for (const c of charts) {
      if (c !== chart && (c.group !== "time" || chart.group !== "time")) continue;
      c.at = nearest(c.rows, x);
      const row = c.rows[c.at];
      if (!row) continue;
      c.cursor.hidden = false;
      c.cursor.style.left = `${100 * (c.left + Math.min(x / c.max, 1) * (c.right - c.left))}%`;
      c.values.forEach((value, i) => { value.textContent = row.cells[i] || ""; });
      if (c === chart) {
        const names = c.values.map((v) => v.parentElement.querySelector("button").textContent);
        const text = `${c.group === "time" ? `at ${row.name} s` : row.name}: ${names.map((n, i) => `${n} ${row.cells[i] || "none"}`).join(", ")}`;
        c.heard.textContent = spoken ? text : "";
      }
    }
  };
  for (const chart of charts) {
    chart.plot.addEventListener("pointermove", (event) => {
      const box = chart.plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      const x = ((share - chart.left) / (chart.right - chart.left)) * chart.max;
      show(chart, Math.max(0, Math.min(chart.max, x)), false);
    });
    chart.figure.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || event.target !== chart.figure) return;
      event.preventDefault();
      const to = Math.max(0, Math.min(chart.rows.length - 1, chart.at + step));
      if (chart.rows[to]) show(chart, chart.rows[to].x, true);
    });
  }
})();
