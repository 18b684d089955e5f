// Parts of the panel beside the photo.

import { chanceOf, percent } from "./labels.js";
import { make } from "./stage.js";

// The colour of a class, by its place; grey of none.
export const colourOf = (place) =>
  (place < 0 ? "#888" : `hsl(${(place * 137.5 + 20) % 360} 85% ${place % 2 ? 62 : 50}%)`);

// A button with a mark of a colour.
export function button(parent, text, colour, isPressed, act) {
  const made = document.createElement("button");
  made.type = "button";
  const mark = document.createElement("i");
  mark.style.background = colour;
  made.append(mark, text);
  made.setAttribute("aria-pressed", isPressed);
  made.addEventListener("click", act);
  parent.append(made);
}

// A button for each box in a list. act(key): what it does.
export function rows(list, boxes, colour, chosen, act) {
  const made = document.createDocumentFragment();
  for (const box of boxes) {
    const row = document.createElement("li");
    const text = `${box.name}${chanceOf(box)}${box.chance === undefined ? "" : ", suggested"}`;
    button(row, text, colour(box.name), box.key === chosen, () => act(box.key));
    made.append(row);
  }
  list.replaceChildren(made);
}

// Mean AP with its interval against the complete photos that it was measured on: points of {photos, value, low, high}.
export function curve(svg, words, points) {
  svg.toggleAttribute("hidden", !points.length);
  if (!points.length) return;
  const last = points.at(-1);
  const bounds = `${percent(last.low)} to ${percent(last.high)}`;
  words.textContent = `mAP ${percent(last.value)} (${bounds}), by cross-validation over ${last.photos} complete photos`;
  const most = Math.max(...points.map(({ photos }) => photos));
  const at = (photos, value) => [10 + (220 * photos) / most, 70 - 60 * value].map((one) => one.toFixed(1)).join(",");
  const line = (name, list) => list.map((one) => at(one.photos, one[name]));
  svg.replaceChildren();
  make(svg, "polygon", { points: [...line("high", points), ...line("low", points.toReversed())].join(" ") });
  make(svg, "polyline", { points: line("value", points).join(" ") });
  const [cx, cy] = at(last.photos, last.value).split(",");
  make(svg, "circle", { cx, cy, r: 3 });
  make(svg, "text", { x: 10, y: 77 }, `mAP against complete photos, to ${most}`);
}
