// What the keys do; each of `does` gives the act of a key, or nothing where it has none now.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 1; // px by which a key moves a box
const FAR = 10; // the same with Shift

function actOf(event, does) {
  const { key, target } = event;
  const isOnStage = target === does.stage || target === document.body;
  if (event.ctrlKey || event.metaKey) {
    if (key.toLowerCase() !== "z") return null;
    return event.shiftKey ? does.redo : does.undo;
  }
  const always = does.always[key] ?? does.always[key.toLowerCase()];
  if (always || does.isFaulty()) return always;
  if (/^[1-9]$/.test(key)) return does.ofClass(key - 1);
  if (ARROWS[key]) {
    const far = event.shiftKey ? FAR : STEP;
    return isOnStage && does.ofArrow(far * ARROWS[key][0], far * ARROWS[key][1], event.altKey);
  }
  if (key === "Tab") return target === does.stage && does.ofTab(event.shiftKey ? -1 : 1);
  if (key === " ") return isOnStage && (() => does.pans(true));
  // A button that has the focus is pressed by it.
  if (key === "Enter" && !isOnStage) return null;
  return does.otherwise[key] ?? does.otherwise[key.toLowerCase()];
}

export function listen(does) {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input:not([type=checkbox]):not([type=range])");
    const act = isTyping || !does.isOpen() ? null : actOf(event, does);
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keyup", ({ key }) => key === " " && does.pans(false));
}
