// The labels of the photo that is open: changed here, undone and redone, and saved at once.

let keys = 0;

// How likely a suggestion is, in words; nothing of a box that is drawn.
export const chanceOf = ({ chance, is_rough: isRough }) =>
  (chance === undefined ? "" : ` ${isRough ? "~" : ""}${percent(chance)}`);

// A share in words; 0 % and 100 % of just these.
export function percent(share) {
  const whole = Math.round(100 * share);
  return share > 0 && !whole ? "<1 %" : share < 1 && whole === 100 ? ">99 %" : `${whole} %`;
}

export const near = (one, other) => {
  const sides = (box) => Math.max(0, box[2] - box[0]) * Math.max(0, box[3] - box[1]);
  const inner = (side, place) => (place < 2 ? Math.max : Math.min)(side, other[place]);
  const common = sides(one.map(inner));
  return common > 0 && common / (sides(one) + sides(other) - common) >= 0.5;
};

export class Labels {
  // told(what): called after every change, and with what the server said of a save.
  constructor(told) {
    this.told = told;
    this.number = null;
    this.saving = null;
    this.dirty = false;
  }

  take(content) {
    this.number = content.number;
    this.name = content.name;
    this.size = content.size;
    this.fault = content.fault;
    this.past = [];
    this.future = [];
    this.chosen = null;
    this.dirty = false;
    this.adopt(content);
  }

  adopt(content) {
    this.version = content.version;
    this.index = new Map();
    this.state = { objects: [], complete: content.complete, rejected: content.rejected };
    for (const { index, ...rest } of content.objects) {
      const key = ++keys;
      this.index.set(key, index);
      this.state.objects.push({ key, ...rest });
    }
    this.suggest(content);
  }

  suggest(content) {
    this.fresh = content.is_fresh;
    this.suggestions = content.suggestions.map((one) => ({ key: `s${++keys}`, ...one }));
  }

  shown(least) {
    const taken = [...this.state.objects, ...this.state.rejected];
    const isTaken = (one) => taken.some((other) => other.name === one.name && near(other.box, one.box));
    return this.suggestions.filter((one) => one.chance >= least && !isTaken(one));
  }

  change(make) {
    const before = JSON.stringify(this.state);
    const next = JSON.parse(before);
    make(next);
    if (JSON.stringify(next) === before) return;
    this.past.push(before);
    this.future = [];
    this.state = next;
    this.changed();
  }

  changed() {
    this.dirty = true;
    this.told("changed");
    this.save();
  }

  travel(from, to) {
    if (!from.length) return;
    to.push(JSON.stringify(this.state));
    this.state = JSON.parse(from.pop());
    this.changed();
  }

  undo() { this.travel(this.past, this.future); }
  redo() { this.travel(this.future, this.past); }

  add(name, box) {
    const key = ++keys;
    this.change((state) => state.objects.push({ key, name, box, difficult: false }));
    return key;
  }

  set(key, values) {
    this.change((state) => Object.assign(state.objects.find((one) => one.key === key), values));
  }

  remove(key) {
    this.change((state) => { state.objects = state.objects.filter((one) => one.key !== key); });
  }

  accept(suggestions) {
    let last = null;
    this.change((state) => {
      for (const { name, box } of suggestions) {
        last = ++keys;
        state.objects.push({ key: last, name, box, difficult: false });
      }
    });
    return last;
  }

  reject({ name, box }) {
    this.change((state) => state.rejected.push({ name, box }));
  }

  // One save at a time; what changes meanwhile is saved after it.
  save() {
    this.saving ??= this.send().finally(() => {
      this.saving = null;
      if (this.dirty && !this.broken) this.save();
    });
    return this.saving;
  }

  async settled() {
    while (this.saving) await this.saving;
    return !this.dirty;
  }

  async send() {
    const { number, state } = this;
    this.dirty = false;
    this.broken = false;
    const objects = state.objects.map(({ key, ...rest }) => ({ index: this.index.get(key) ?? 0, ...rest }));
    const { complete, rejected } = state;
    const body = JSON.stringify({ version: this.version, objects, complete, rejected });
    try {
      this.told("saving");
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`photos/${number}`, { method: "PUT", body, headers });
      const content = await answer.json();
      if (answer.status === 409) {
        this.past.push(JSON.stringify(this.state));
        this.adopt(content.now);
        this.told("conflict", content.error);
      } else if (!answer.ok) {
        this.dirty = this.broken = true;
        this.told("refused", content.error);
      } else {
        this.version = content.version;
        this.index = new Map(state.objects.map((one, place) => [one.key, place + 1]));
        if (!this.dirty) this.suggest(content);
        this.told("saved");
      }
    } catch (error) {
      this.dirty = this.broken = true;
      this.told("lost", String(error));
    }
  }
}
