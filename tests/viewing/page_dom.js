// Runs the script of the page on a DOM of a few lines. Input: JSON with `script` and `game`.
// Output: JSON with what the page shows.
"use strict";
class Element {
  constructor(name) {
    Object.assign(this, { name, children: [], attributes: {}, style: {}, textContent: "" });
    this.hidden = false;
  }
  setAttribute(key, value) { this.attributes[key] = value; }
  toggleAttribute(key, on) { if (on) this.attributes[key] = ""; else delete this.attributes[key]; }
  appendChild(child) { this.children.push(child); return child; }
  replaceChildren() { this.children = []; }
  get text() { return [this.textContent, ...this.children.map(c => c.text)].join(" "); }
  find(name) { return this.children.flatMap(c => [...(c.name === name ? [c] : []), ...c.find(name)]); }
}
const elements = new Map();
const byId = id => elements.get(id) ?? elements.set(id, new Element(id)).get(id);
byId("hints").checked = true;
const requests = [];
globalThis.document = {
  getElementById: byId,
  createElement: name => new Element(name),
  createElementNS: (space, name) => new Element(name),
};
const { script, game } = JSON.parse(require("fs").readFileSync(0, "utf8"));
globalThis.fetch = async (path, options) => {
  requests.push([path, JSON.parse(options.body)]);
  return { ok: true, json: async () => game };
};
(0, eval)(script);
setTimeout(() => {
  const board = byId("board"), others = byId("others").find("button");
  const squares = board.find("rect").filter(r => r.onclick);
  const shown = {
    status: byId("status").textContent,
    board_hidden: "hidden" in board.attributes,
    picture_hidden: byId("picture").hidden,
    picture: byId("picture").src ?? null,
    stones: board.find("circle").length,
    squares: squares.map(r => r.attributes["data-action"]),
    buttons: others.map(b => b.textContent),
    moves: byId("moves").textContent,
    view: byId("view").text,
    requests,
  };
  (squares[0] ?? others[0]).onclick();
  process.stdout.write(JSON.stringify(shown));
}, 20);
