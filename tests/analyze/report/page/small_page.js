// A small stand-in for a browser's page: enough of it to run the script of the report, and no more.
class Part {
  constructor(tag, attributes, parts, text) {
    Object.assign(this, { tag, attributes: { ...attributes }, parts, own: text || "", listeners: {}, style: {}, dataset: {}, clientWidth: 600 });
    for (const [name, value] of Object.entries(this.attributes)) {
      if (name.startsWith("data-")) this.dataset[name.slice(5)] = value;
    }
    for (const name of ["value", "alt", "src"]) if (attributes[name] !== undefined) this[name] = attributes[name];
  }
  get className() { return this.attributes.class || ""; }
  set className(value) { this.attributes.class = value; }
  get textContent() { return this.own + this.parts.map((one) => one.textContent).join(""); }
  set textContent(value) { this.own = String(value); this.parts = []; }
  set innerHTML(text) {  // tags are found by a pattern: the drawings are checked as XML elsewhere
    this.own = "";
    this.drawn = text;
    this.parts = [...text.matchAll(/<(\w+)((?: [\w-]+="[^"]*")*)/g)].map(([, tag, words]) => new Part(tag, Object.fromEntries([...words.matchAll(/ ([\w-]+)="([^"]*)"/g)].map((found) => found.slice(1))), []));
  }
  getAttribute(name) { return this.attributes[name] === undefined ? null : this.attributes[name]; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  addEventListener(name, act) { (this.listeners[name] = this.listeners[name] || []).push(act); }
  fire(name, event) { for (const act of this.listeners[name] || []) act({ target: this, ...event }); }
  click() { this.fire("click"); }
  append(...added) { for (const one of added) { if (one.parent) one.remove(); one.parent = this; this.parts.push(one); } }
  remove() { if (this.parent) this.parent.parts = this.parent.parts.filter((one) => one !== this); this.parent = null; }
  getBoundingClientRect() { return { left: 0, top: 0, width: 600, height: 200 }; }
  get all() { return this.parts.flatMap((one) => [one, ...one.all]); }
  is(selector) {
    const [, tag, name, attribute] = selector.trim().match(/^(\w+)?(?:\.([\w-]+))?(?:\[([\w-]+)\])?$/);
    return (!tag || this.tag === tag) && (!name || this.className.split(" ").includes(name)) && (!attribute || this.attributes[attribute] !== undefined);
  }
  querySelectorAll(selector) { return this.all.filter((one) => selector.split(",").some((each) => one.is(each))); }
  querySelector(selector) { return this.querySelectorAll(selector)[0] || null; }
  getElementById(id) { return this.all.find((one) => one.attributes.id === id) || null; }
  createElement(tag) { return new Part(tag, {}, []); }
  get tHead() { return this.querySelector("thead"); }
  get tBodies() { return this.querySelectorAll("tbody"); }
  get rows() { return this.querySelectorAll("tr"); }
  get cells() { return this.parts; }
}

function grown([tag, attributes, parts, text]) {
  const part = new Part(tag, attributes, [], text);
  part.append(...parts.map(grown));
  return part;
}

const page = grown(TREE);
page.documentElement = new Part("html", {}, []);
globalThis.window = new Part("window", {}, []);
