// Search, sort and pick; the list is whole without it.
(() => {
  const table = document.getElementById("runs");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const found = document.getElementById("found");
  document.getElementById("search").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = `${row.dataset.id} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    found.textContent = `${count} of ${rows.length}`;
  });
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[index].textContent;
      const order = head.dataset.sort === "number" ? (a, b) => key(a) - key(b) : (a, b) => key(a).localeCompare(key(b));
      rows.sort((a, b) => (down ? -order(a, b) : order(a, b)));
      body.append(...rows);
    });
  });
  const side = document.getElementById("side");
  body.addEventListener("change", () => {
    const picked = rows.filter((row) => row.querySelector("input").checked);
    side.replaceChildren();
    if (picked.length < 2) return;
    [...table.tHead.rows[0].cells].slice(1, 8).forEach((head, index) => {
      const tr = side.insertRow();
      const th = document.createElement("th");
      th.scope = "row";
      th.textContent = head.textContent;
      tr.append(th);
      for (const row of picked) tr.insertCell().textContent = row.cells[index + 1].textContent;
    });
  });
})();
