// The photo on the screen: boxes drawn, moved and resized by mouse, finger and pen; zoom and pan.

import { chanceOf } from "./labels.js";

const SVG = "http://www.w3.org/2000/svg";
const CORNERS = [[0, 1], [2, 1], [0, 3], [2, 3]];
const LEAST = 4; // px on the screen that a new box is wide and high
const MOST_WORDS = 60; // boxes with their class written on them
const [LETTER, LEAST_LETTERS] = [8, 8]; // px on the screen that a letter there takes; letters that are always there

const cut = (name, most) => (name.length <= most ? name : `${[...name].slice(0, most - 1).join("")}…`);

export const make = (parent, name, values = {}, text = "") => {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(values)) one.setAttribute(key, value);
  one.textContent = text;
  parent.append(one);
  return one;
};

export class Stage {
  // host: {colour(name), chosen(), choose(key), draw(box), reshape(key, box)}
  constructor(svg, host) {
    this.svg = svg;
    this.host = host;
    for (const id of ["world", "picture", "suggested", "drawn", "handles"]) this[id] = svg.querySelector(`#${id}`);
    this.size = null;
    this.boxes = [];
    this.view = { x: 0, y: 0, scale: 1 };
    this.pointers = new Map();
    this.drag = null;
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, (event) => this.up(event));
    svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(1.0015 ** -event.deltaY, event);
    }, { passive: false });
    new ResizeObserver(() => (this.isWhole ? this.whole() : this.place())).observe(svg);
  }

  // size: [height, width]; null hides the photo, which then has no place on the screen.
  show(size, address) {
    this.size = size;
    this.svg.style.display = size ? "" : "none";
    if (!size) return;
    const [height, width] = size;
    for (const [key, value] of Object.entries({ width, height, href: address })) this.picture.setAttribute(key, value);
    this.whole();
  }

  whole() {
    if (!this.size) return;
    const { width, height } = this.svg.getBoundingClientRect();
    const scale = Math.min(width / this.size[1], height / this.size[0]);
    this.view = { scale, x: (width - this.size[1] * scale) / 2, y: (height - this.size[0] * scale) / 2 };
    this.isWhole = true;
    this.place();
    this.words();
  }

  // about: a point of the page that stays where it is; the middle without one.
  zoom(factor, about) {
    const frame = this.svg.getBoundingClientRect();
    const middle = { clientX: frame.left + frame.width / 2, clientY: frame.top + frame.height / 2 };
    const { clientX, clientY } = about ?? middle;
    const [x, y] = [clientX - frame.left, clientY - frame.top];
    const scale = Math.min(Math.max(this.view.scale * factor, 0.02), 60);
    const ratio = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.isWhole = false;
    this.place();
    this.words();
  }

  place() {
    const { x, y, scale } = this.view;
    this.world.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
  }

  // A point of the page in px of the photo.
  point(event) {
    const frame = this.svg.getBoundingClientRect();
    const { x, y, scale } = this.view;
    return [(event.clientX - frame.left - x) / scale, (event.clientY - frame.top - y) / scale];
  }

  middle() {
    const { left, top, width, height } = this.svg.getBoundingClientRect();
    const [x, y] = this.point({ clientX: left + width / 2, clientY: top + height / 2 });
    const side = Math.min(width, height) / 4 / this.view.scale;
    return this.inside([x - side / 2, y - side / 2, x + side / 2, y + side / 2]);
  }

  inside([x1, y1, x2, y2]) {
    const [height, width] = this.size;
    const cut = (value, most) => Math.round(Math.min(Math.max(value, 0), most) * 100) / 100;
    const [left, right] = [x1, x2].sort((a, b) => a - b).map((one) => cut(one, width));
    const [top, bottom] = [y1, y2].sort((a, b) => a - b).map((one) => cut(one, height));
    return [left, top, right, bottom];
  }

  // Moved as a whole, a box keeps its size at the border.
  moved([x1, y1, x2, y2], dx, dy) {
    const [height, width] = this.size;
    const x = Math.min(Math.max(dx, -x1), width - x2);
    const y = Math.min(Math.max(dy, -y1), height - y2);
    return this.inside([x1 + x, y1 + y, x2 + x, y2 + y]);
  }

  // boxes: all that are to be seen.
  render(boxes = this.boxes) {
    this.boxes = boxes;
    this.drawn.replaceChildren();
    this.suggested.replaceChildren();
    const chosen = this.host.chosen();
    for (const one of boxes) {
      const layer = one.chance === undefined ? this.drawn : this.suggested;
      const rect = make(layer, "rect", { stroke: this.host.colour(one.name), "data-key": one.key });
      if (one.key === chosen) rect.classList.add("chosen");
      this.frame(rect, one.box);
    }
    this.words();
    if (!this.drag?.box) return;
    this.drag.rect = null; // what was drawn of it is gone
    this.ghost(this.drag);
  }

  // The chosen box, where it is seen.
  chosen() {
    const key = this.host.chosen();
    return this.boxes.find((one) => one.key === key);
  }

  frame(rect, [x1, y1, x2, y2]) {
    const sides = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
    for (const [key, value] of Object.entries(sides)) rect.setAttribute(key, value);
  }

  // The corners of the chosen box; they are as large on the screen whatever the zoom.
  grip() {
    const box = this.drag?.box ?? this.chosen()?.box;
    const side = (matchMedia("(pointer: coarse)").matches ? 22 : 11) / this.view.scale;
    this.handles.replaceChildren();
    for (const [place, [a, b]] of (box ? CORNERS : []).entries()) {
      const rect = make(this.handles, "rect", { "data-corner": place });
      this.frame(rect, [box[a] - side / 2, box[b] - side / 2, box[a] + side / 2, box[b] + side / 2]);
    }
  }

  words() {
    for (const one of this.world.querySelectorAll("text")) one.remove();
    const chosen = this.chosen();
    for (const one of this.boxes.length > MOST_WORDS ? [chosen].filter(Boolean) : this.boxes) {
      const size = 13 / this.view.scale;
      // No wider than the box, so that it does not lie on its neighbours; the chosen one's is read in full.
      const letter = LETTER / this.view.scale;
      const fitting = (one.box[2] - one.box[0]) / letter - chanceOf(one).length;
      const name = one === chosen ? one.name : cut(one.name, Math.max(fitting, LEAST_LETTERS));
      const words = `${name}${chanceOf(one)}`;
      const x = Math.max(Math.min(one.box[0] + size / 4, this.size[1] - words.length * letter), 0);
      const y = Math.max(one.box[1], size * 1.1) - size / 3;
      make(this.world, "text", { x, y, "font-size": size, "stroke-width": size / 4 }, words);
    }
    this.grip();
  }

  down(event) {
    if (!this.size || (event.button > 1 && event.pointerType === "mouse")) return;
    event.preventDefault();
    this.svg.focus({ preventScroll: true });
    this.svg.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) {
      this.drop();
      return;
    }
    if (this.pointers.size > 2) return;
    const start = this.point(event);
    const { corner, key } = event.target.dataset;
    const chosen = this.chosen();
    if (event.button === 1 || this.pans) {
      this.drag = { kind: "pan", event };
    } else if (chosen && corner !== undefined) {
      this.drag = { kind: "corner", corner: CORNERS[corner], key: chosen.key, start, from: chosen.box, box: chosen.box };
    } else if (chosen && key === String(chosen.key)) {
      this.drag = { kind: "move", key: chosen.key, start, from: chosen.box, box: chosen.box };
    } else {
      // A new box may begin in another one, which is chosen where nothing is drawn.
      this.drag = { kind: "new", under: key, start, from: [...start, ...start], box: [...start, ...start] };
    }
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) {
      this.pinch(event, before);
      return;
    }
    const { drag } = this;
    if (!drag) return;
    if (drag.kind === "pan") {
      this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
      return;
    }
    const [x, y] = this.point(event);
    if (drag.kind === "move") {
      drag.isFar ||= Math.hypot(x - drag.start[0], y - drag.start[1]) * this.view.scale >= LEAST;
      if (!drag.isFar) return;
      drag.box = this.moved(drag.from, x - drag.start[0], y - drag.start[1]);
    } else {
      const box = [...drag.from];
      const [a, b] = drag.kind === "new" ? [2, 3] : drag.corner;
      box[a] = drag.from[a] + x - drag.start[0];
      box[b] = drag.from[b] + y - drag.start[1];
      drag.box = this.inside(box);
    }
    this.ghost(drag);
  }

  ghost(drag) {
    drag.rect ??= drag.key && this.world.querySelector(`[data-key="${drag.key}"]`);
    drag.rect ??= make(this.drawn, "rect", { stroke: this.host.colour() });
    this.frame(drag.rect, drag.box);
    this.grip();
  }

  pan(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.isWhole = false;
    this.place();
  }

  pinch(event, before) {
    const [other] = [...this.pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const about = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    this.pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
    this.zoom(far(event) / Math.max(far(before), 1), about);
  }

  // What was being drawn is no more.
  drop() {
    this.drag = null;
    this.render();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.kind === "pan" || this.pointers.size) return;
    const [x1, y1, x2, y2] = drag.box;
    const least = LEAST / this.view.scale;
    const isLarge = x2 - x1 >= least && y2 - y1 >= least;
    const known = this.boxes.find((one) => String(one.key) === drag.under);
    const hasMoved = drag.box.some((side, place) => side !== drag.from[place]);
    if (event.type === "pointercancel") this.render();
    else if (drag.kind === "new" && !isLarge) this.host.choose(known?.key ?? null);
    else if (!isLarge || !hasMoved) this.render();
    else if (drag.kind === "new") this.host.draw(drag.box);
    else this.host.reshape(drag.key, drag.box);
  }
}
