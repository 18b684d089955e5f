"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const group = document.getElementById("group"), order = document.getElementById("order");
const number = document.getElementById("number"), summary = document.getElementById("summary");
const place = document.getElementById("filters");

function make(kind, words, parent) {
  const one = document.createElement(kind);
  if (words) one.textContent = words;
  if (parent) parent.append(one);
  return one;
}

function photo(index, value, boxes, row) {
  const [name, file, ratio] = data.photos[index];
  const figure = make("figure", "", row), seen = make("div", "", figure), image = make("img", "", seen);
  seen.className = "seen";
  seen.style.width = (7 * ratio).toFixed(2) + "rem";
  image.loading = "lazy";
  image.src = file;
  image.alt = name;
  for (const [x1, y1, x2, y2] of boxes) {
    const frame = make("i", "", seen);
    frame.style.left = 100 * x1 + "%";
    frame.style.top = 100 * y1 + "%";
    frame.style.width = 100 * (x2 - x1) + "%";
    frame.style.height = 100 * (y2 - y1) + "%";
    frame.style.boxSizing = "border-box";
  }
  make("figcaption", value.toFixed(2) + "  " + name, figure);
}

function show() {
  const filters = data.groups[group.value];
  let channels = Object.keys(filters).map(Number);
  if (order.value === "value") {
    const best = (channel) => (filters[channel].length ? filters[channel][0][1] : -Infinity);
    channels.sort((a, b) => best(b) - best(a) || a - b);
  }
  if (number.value !== "") channels = channels.filter((channel) => channel === Number(number.value));
  place.replaceChildren();
  for (const channel of channels) {
    const section = make("section", "", place);
    section.className = "filter";
    make("h2", "filter " + channel, section);
    const row = make("div", "", section);
    row.className = "row";
    for (const [index, value, boxes] of filters[channel]) photo(index, value, boxes, row);
  }
  summary.textContent = channels.length + " filters" + (group.value ? ", photos with " + group.value : "");
}

for (const control of [group, order, number]) control.addEventListener("input", show);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
show();
