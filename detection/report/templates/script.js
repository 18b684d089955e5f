"use strict";
(function () {
  const said = document.getElementById("said");

  function compare(numeric, falling) {
    return function (one, two) {
      // What there is none of stays last either way.
      if (one.key === null || two.key === null) return (one.key === null) - (two.key === null) || one.place - two.place;
      const order = numeric ? one.key - two.key : one.key.localeCompare(two.key, undefined, { numeric: true });
      return (falling ? -order : order) || one.place - two.place;
    };
  }

  function sort(table, head, button) {
    const column = Array.from(head.parentNode.children).indexOf(head);
    const numeric = head.dataset.kind === "number";
    const now = head.getAttribute("aria-sort");
    const falling = now === "none" ? numeric : now === "ascending";
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map(function (row) {
      const value = row.cells[column].dataset.value;
      const key = value === undefined ? null : numeric ? Number(value) : value;
      return { row: row, key: key, place: Number(row.dataset.place) };
    });
    rows.sort(compare(numeric, falling)).forEach(function (one) { body.appendChild(one.row); });
    for (const other of head.parentNode.children) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    said.textContent = "Sorted by " + button.textContent.trim() + ", " + (falling ? "falling" : "rising");
  }

  for (const button of document.querySelectorAll("th > button")) {
    button.addEventListener("click", function () {
      const head = button.parentNode;
      sort(head.closest("table"), head, button);
    });
  }

  function show() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.closest("details");
    if (details && !details.open) {
      details.open = true;
      target.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", show);
  show();

  function all(open) {
    for (const details of document.querySelectorAll("#pictures details")) details.open = open;
  }
  const opener = document.getElementById("open-all");
  if (opener) opener.addEventListener("click", function () {
    const open = opener.getAttribute("aria-pressed") !== "true";
    all(open);
    opener.setAttribute("aria-pressed", String(open));
  });

  // On paper nothing can be opened, nor scrolled to.
  let closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    for (const details of closed) details.open = true;
    for (const image of document.images) image.loading = "eager";
  });
  window.addEventListener("afterprint", function () {
    for (const details of closed) details.open = false;
  });
})();
