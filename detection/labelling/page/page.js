// The page: what the buttons and keys do, and what is known of photo, classes and detector.

import { listen } from "./keys.js";
import { Labels, near } from "./labels.js";
import { button, colourOf, curve, rows } from "./panel.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const POLL = 1000; // ms between looks at what the detector does

let photos = [];
let classes = [];
let current = null;
let chosen = null;
let [ahead, since] = [[], 0];
const skipped = new Set();

const labels = new Labels(told);
const stage = new Stage($("stage"), {
  colour,
  chosen: () => chosen,
  choose,
  draw: (box) => choose(labels.add(className(), box)),
  reshape: (key, box) => {
    const suggestion = labels.suggestions.find((one) => one.key === key);
    if (suggestion) choose(labels.accept([{ ...suggestion, box }]));
    else labels.set(key, { box });
  },
});

const least = () => Number($("least").value) / 100;

function colour(name = className()) {
  return colourOf(classes.indexOf(name));
}

// A box that is drawn before there is any class has a name all the same.
function className() {
  current ??= classes[0] ?? add("object");
  return current;
}

function add(name) {
  if (!classes.includes(name)) classes.push(name);
  return name;
}

function one(key = chosen) {
  return labels.state?.objects.find((box) => box.key === key) ?? labels.suggestions?.find((box) => box.key === key);
}

function choose(key) {
  chosen = key;
  const box = one();
  if (box && box.chance === undefined) current = box.name;
  render();
}

function use(name) {
  current = add(name);
  const box = one();
  if (box && box.name !== name) {
    if (box.chance === undefined) labels.set(box.key, { name });
    else choose(labels.accept([{ ...box, name }]));
  }
  render();
}

// What was clicked may be gone afterwards: keys go to the photo again.
function onStage(act) {
  act();
  $("stage").focus({ preventScroll: true });
}

function accept() {
  const box = one();
  if (box?.chance !== undefined) choose(labels.accept([box]));
}

function acceptAll() {
  // Of several suggestions of one object the likeliest, which comes first.
  const taken = [];
  for (const box of labels.shown(least())) {
    if (!taken.some((other) => other.name === box.name && near(other.box, box.box))) taken.push(box);
  }
  labels.accept(taken);
  choose(null);
}

function remove() {
  const box = one();
  if (!box) return;
  if (box.chance === undefined) labels.remove(box.key);
  else labels.reject(box);
  choose(null);
}

// The box that Tab comes to; null behind the last one: there it leaves the photo.
function following(step) {
  const keys = [...labels.state.objects, ...labels.shown(least())].map((box) => box.key);
  const place = keys.indexOf(chosen);
  return (place < 0 && step < 0 ? keys.at(-1) : keys[place + step]) ?? null;
}

function nudge(dx, dy, isCorner) {
  const box = one();
  if (!box) return;
  const [x1, y1, x2, y2] = box.box;
  const resized = [x1, y1, Math.max(x2 + dx, x1 + 1), Math.max(y2 + dy, y1 + 1)];
  const moved = isCorner ? stage.inside(resized) : stage.moved(box.box, dx, dy);
  if (box.chance === undefined) labels.set(box.key, { box: moved });
  else choose(labels.accept([{ ...box, box: moved }]));
}

// Photos.

async function open(number, reason = "") {
  if (number < 0 || number >= photos.length) return;
  if (!(await labels.settled()) && labels.number !== null && labels.number !== number) {
    say("not saved yet: the photo stays open", true);
    return;
  }
  const answer = await fetch(`photos/${number}`);
  const content = await answer.json();
  if (!answer.ok) {
    say(content.error, true);
    return;
  }
  labels.take(content);
  chosen = null;
  for (const { name } of content.objects) add(name);
  $("name").value = content.name;
  $("why").textContent = reason;
  $("fault").hidden = !content.fault;
  $("fault").textContent = content.fault;
  history.replaceState(null, "", `#${number}`);
  document.title = `${content.name}: labelling`;
  say("");
  stage.show(content.fault ? null : content.size, `photos/${number}/picture`);
  render();
}

function teach() {
  if (labels.number !== null) skipped.add(labels.number);
  const best = ahead.find(({ number }) => !skipped.has(number));
  if (best) return open(best.number, best.reason);
  const isOpen = (photo, number) => !photo.is_labelled && !photo.fault && number !== labels.number;
  const number = [...photos.keys()].find((place) => isOpen(photos[place], place) && !skipped.has(place));
  if (number === undefined) return say("every photo is labelled, or was seen");
  return open(number, "in order: nothing is learned yet");
}

// What the labels tell of themselves.

function told(what, text) {
  if (what === "changed") render();
  else if (what === "saving") say("saving");
  else if (what === "saved") {
    const row = photos[labels.number];
    row.boxes = labels.state.objects.length;
    row.is_labelled ||= row.boxes > 0 || labels.state.complete;
    row.is_complete = labels.state.complete;
    say("saved");
    paint();
    poll();
  } else if (what === "conflict") {
    chosen = null;
    say(`${text}. Undo brings yours back.`, true);
    render();
  } else {
    say(`not saved: ${text}`, true);
    if (what === "lost") setTimeout(() => labels.dirty && labels.save(), 3 * POLL);
  }
}

function say(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

// What is shown: drawn anew once a frame, however often something changes in it.

let due = 0;

function render() {
  due ||= requestAnimationFrame(paint);
}

// At once: where suggestions are new ones, the old are not to be clicked any more.
function paint() {
  cancelAnimationFrame(due);
  due = 0;
  if (!labels.state) return;
  const shown = labels.shown(least());
  $("classes").replaceChildren();
  for (const [place, name] of classes.entries()) {
    const text = place < 9 ? `${place + 1} ${name}` : name;
    button($("classes"), text, colour(name), name === current, () => onStage(() => use(name)));
  }
  const boxes = [...labels.state.objects, ...shown];
  rows($("boxes"), boxes, colour, chosen, (key) => onStage(() => choose(key)));
  $("share").textContent = `${$("least").value} %`;
  $("complete").checked = labels.state.complete;
  $("complete").disabled = Boolean(labels.fault);
  $("undo").disabled = !labels.past.length;
  $("redo").disabled = !labels.future.length;
  const isSuggestion = one()?.chance !== undefined;
  $("accept").disabled = !isSuggestion;
  $("all").disabled = !shown.length;
  $("remove").disabled = !one();
  $("remove").textContent = isSuggestion ? "Reject" : "Remove";
  const coming = labels.fresh ? "" : "; more are looked for";
  $("found").textContent = `${shown.length} shown of ${labels.suggestions.length}${coming}`;
  $("after").disabled = labels.number >= photos.length - 1;
  $("before").disabled = labels.number <= 0;
  stage.render(labels.fault ? [] : boxes);
}

// What the detector does.

async function poll() {
  try {
    const state = await (await fetch("state")).json();
    ahead = state.next;
    const waiting = state.waiting ? `${state.waiting} photos to learn` : "";
    const parts = [state.doing, waiting, state.problems[labels.number], state.trouble];
    $("doing").textContent = parts.filter(Boolean).join("; ") || "up to date";
    curve($("curve"), $("measured"), state.curve);
    const isOld = !labels.fresh || state.revision !== since;
    if (labels.number !== null && !labels.saving && !labels.dirty && isOld) await renew(state.revision);
  } catch (error) {
    $("doing").textContent = `the program does not answer: ${error}`;
  }
}

// New suggestions take the place of the old ones, but not under the hand of somebody who has chosen one.
async function renew(revision) {
  const number = labels.number;
  const content = await (await fetch(`photos/${number}/suggestions`)).json();
  if (number !== labels.number || labels.saving || stage.drag || one()?.chance !== undefined) return;
  labels.suggest(content);
  since = content.is_fresh ? revision : since;
  for (const { name } of content.suggestions) add(name);
  paint();
}

// Buttons and keys.

const ACTS = {
  before: () => open(labels.number - 1),
  after: () => open(labels.number + 1),
  teach,
  undo: () => { labels.undo(); choose(null); },
  redo: () => { labels.redo(); choose(null); },
  smaller: () => stage.zoom(0.8),
  larger: () => stage.zoom(1.25),
  whole: () => stage.whole(),
  accept,
  all: acceptAll,
  remove,
};
for (const [id, act] of Object.entries(ACTS)) $(id).addEventListener("click", act);
$("least").addEventListener("input", render);
$("complete").addEventListener("change", () => labels.change((state) => { state.complete = $("complete").checked; }));
$("name").addEventListener("change", () => {
  const number = photos.findIndex(({ name }) => name === $("name").value);
  if (number >= 0) open(number);
  else say(`no photo is called ${$("name").value}`, true);
});
$("new").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("class").value.split(/\s+/).filter(Boolean).join(" ");
  if (name) onStage(() => use(name));
  $("class").value = "";
});

listen({
  stage: $("stage"),
  isOpen: () => labels.number !== null,
  isFaulty: () => Boolean(labels.fault),
  always: { PageUp: ACTS.before, PageDown: ACTS.after, t: teach },
  otherwise: {
    n: () => choose(labels.add(className(), stage.middle())),
    a: acceptAll,
    c: () => $("complete").click(),
    Enter: accept,
    Delete: remove,
    Backspace: remove,
    Escape: () => choose(null),
    "+": ACTS.larger,
    "-": ACTS.smaller,
    0: ACTS.whole,
    "/": () => $("class").focus(),
  },
  ofClass: (place) => classes[place] && (() => use(classes[place])),
  ofArrow: (dx, dy, isCorner) => one() && (() => nudge(dx, dy, isCorner)),
  ofTab: (step) => {
    const next = following(step);
    if (next === null) choose(null);
    return next !== null && (() => choose(next));
  },
  undo: ACTS.undo,
  redo: ACTS.redo,
  pans: (does) => {
    stage.pans = does;
    $("stage").classList.toggle("pans", does);
  },
});

addEventListener("beforeunload", (event) => labels.dirty && event.preventDefault());

const list = await (await fetch("photos")).json();
photos = list.photos;
list.classes.forEach(add);
$("names").replaceChildren(...photos.map(({ name }) => new Option(name, name)));
const asked = Number.parseInt(location.hash.slice(1), 10);
const first = photos.findIndex((photo) => !photo.is_labelled && !photo.fault);
await open(photos[asked] ? asked : Math.max(first, 0));
await poll();
setInterval(() => document.hidden || poll(), POLL);
