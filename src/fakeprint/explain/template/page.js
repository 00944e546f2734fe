"use strict";
// Everything that comes from files (names of classes, images and feature sets) is set as text, never as HTML.
const read = id => JSON.parse(document.getElementById(id).textContent);
const head = read("head"), items = read("data"), train = read("train");
const names = head.classes, STEP = 24, byId = id => document.getElementById(id);
const percent = p => (100 * p).toFixed(1) + "\u00a0%";
let filters, shown = [], drawn = 0;

function make(tag, options = {}, ...children) {
  const { text, ...attributes } = options;
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}
const image = (source, alt, kind = "") => make("img", { src: source, alt, class: kind });

function picture(caption, ...images) {
  return make("figure", {}, make("div", { class: "frame" }, ...images), make("figcaption", { text: caption }));
}

function row(name, share, value, against = false, offset = 0) {
  const bar = make("i", against ? { class: "against" } : {});
  bar.style.width = (100 * share).toFixed(1) + "%";
  bar.style.left = (100 * offset).toFixed(1) + "%";
  return [make("span", { text: name }), make("span", { class: "track" }, bar), make("span", { class: "value", text: value })];
}

function block(title, content) { return make("section", {}, make("h4", { text: title }), content); }
function rows(all) { return make("div", { class: "rows" }, ...all.flat()); }

function probabilities(item) {
  const order = item.p.map((p, index) => [p, index]).sort((a, b) => b[0] - a[0]).slice(0, 6);
  return block(head.probabilities, rows(order.map(([p, index]) => row(names[index], p, percent(p)))));
}

function effects(item) {
  const most = Math.max(1, ...item.effects.map(([, value]) => Math.abs(value)));
  const all = item.effects.map(([name, value]) => {
    const share = Math.abs(value) / most / 2;
    return row(name, share, (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2), value < 0, value < 0 ? .5 - share : .5);
  });
  return block("Log-odds that each feature set adds", rows(all));
}

function members(item) {
  return block("Members' answers", rows(item.members.map(([name, index, p]) => row(name + ": " + names[index], p, percent(p)))));
}

function neighbours(item) {
  const all = item.near.map(([key, distance]) => {
    const label = names[train[key].label];
    return make("figure", {}, make("div", { class: "frame" }, image(train[key].src, "train image " + train[key].id)),
      make("figcaption", {}, make("span", { class: train[key].label === item.answer ? "same" : "other", text: label }), make("br"), "distance " + distance));
  });
  return block("Nearest train images", make("div", { class: "near" }, ...all));
}

function verdicts(item) {
  const texts = [], answer = "answer " + names[item.answer] + " (" + percent(item.p[item.answer]) + ")";
  if (item.label >= 0) {
    const right = item.label === item.answer;
    texts.push([right ? "correct" : "mistake", answer + (right ? ", correct" : ", label " + names[item.label])]);
  } else texts.push(["", answer]);
  if (item.decision && item.decision !== "label") texts.push([item.decision, item.decision]);
  if (item.suspect !== undefined) texts.push(["suspect", "suspected label (quality " + item.suspect.toFixed(3) + ")"]);
  return texts;
}

function card(item) {
  const at = verdicts(item), title = item.id;
  const pictures = [picture("image", image(item.image, "image " + item.id))];
  if (item.map) pictures.push(picture("where the answer came from (Grad-CAM)", image(item.image, "", "grey"), image(item.map, "Grad-CAM map", "heat")));
  pictures.push(picture("residual", image(item.residual, "residual")), picture("its log spectrum", image(item.spectrum, "log spectrum of the residual")));
  const columns = [probabilities(item)];
  if (item.effects) columns.push(effects(item));
  if (item.members) columns.push(members(item));
  return make("article", { tabindex: "-1", "aria-label": [title, ...at.map(each => each[1])].join(", ") },
    make("header", {}, make("h3", { text: title }), ...at.map(([kind, text]) => make("span", { class: "verdict " + kind, text }))),
    make("div", { class: "pictures" }, ...pictures), make("div", { class: "columns" }, ...columns), ...(item.near ? [neighbours(item)] : []));
}

const isMistake = item => item.label >= 0 && item.label !== item.answer;
const OUTCOMES = {
  all: () => true,
  mistakes: isMistake,
  correct: item => item.label >= 0 && item.label === item.answer,
  label: item => item.decision === "label",
  unsure: item => item.decision === "unsure",
  unknown: item => item.decision === "unknown",
  "suspected labels": item => item.suspect !== undefined,
};
const inPair = item => head.pair && isMistake(item) && head.pair.classes.includes(item.label) && head.pair.classes.includes(item.answer);

function passes(item) {
  const p = Math.round(1000 * item.p[item.answer]) / 10;
  const hasClass = filters.class === "" || item.answer === +filters.class || item.label === +filters.class;
  return hasClass && OUTCOMES[filters.outcome](item) && p >= filters.from && p <= filters.to && (!filters.pair || inPair(item));
}

function draw(count) {
  const main = byId("items");
  shown.slice(drawn, drawn + count).forEach(item => main.append(card(item)));
  drawn = Math.min(shown.length, drawn + count);
  const first = main.firstElementChild;
  if (first && !main.querySelector("[tabindex='0']")) first.tabIndex = 0;
  byId("more").hidden = drawn === shown.length;
  byId("more").textContent = "Show " + Math.min(STEP, shown.length - drawn) + " more of " + (shown.length - drawn);
}

function update() {
  shown = items.filter(passes);
  drawn = 0;
  byId("items").replaceChildren();
  draw(STEP);
  byId("count").textContent = shown.length === 0 ? "No image passes these filters."
    : shown.length + (shown.length === 1 ? " image" : " images") + (filters.pair ? ", of the hardest pair only" : "") + (shown.length < items.length ? " of " + items.length : "");
  for (const button of document.querySelectorAll("[data-outcome]")) button.setAttribute("aria-pressed", button.dataset.outcome === filters.outcome);
  const only = byId("pair-only");
  if (only) only.setAttribute("aria-pressed", filters.pair);
}

function reset() {
  filters = { class: "", outcome: "all", from: 0, to: 100, pair: false };
  byId("class").value = ""; byId("from").value = 0; byId("to").value = 100;
  update();
}

function focus(article) {
  for (const other of document.querySelectorAll("article[tabindex='0']")) other.tabIndex = -1;
  article.tabIndex = 0;
  article.focus();
  article.scrollIntoView({ block: "nearest" });
}

// Arrow keys, Home and End go from image to image; at the end of what is drawn, more are drawn.
byId("items").addEventListener("keydown", event => {
  const all = [...byId("items").children], at = all.indexOf(event.target);
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (to >= all.length && drawn < shown.length) draw(STEP);
  const next = byId("items").children[Math.max(0, to)];
  if (next) focus(next);
});
byId("more").addEventListener("click", () => { const at = drawn; draw(STEP); focus(byId("items").children[at]); });
byId("reset").addEventListener("click", reset);
byId("class").addEventListener("change", event => { filters.class = event.target.value; update(); });
for (const end of ["from", "to"]) byId(end).addEventListener("input", event => {
  const value = event.target.valueAsNumber;
  filters[end] = Number.isNaN(value) ? (end === "from" ? 0 : 100) : value;
  update();
});

function drawFilters() {
  names.forEach((name, index) => byId("class").append(make("option", { value: index, text: name })));
  for (const [name, test] of Object.entries(OUTCOMES)) {
    const count = items.filter(test).length;
    if (name !== "all" && count === 0) continue;
    const button = make("button", { type: "button", "data-outcome": name, text: name + " (" + count + ")" });
    button.addEventListener("click", () => { filters.outcome = name; update(); });
    byId("outcomes").append(button);
  }
}

function drawPair() {
  if (!head.pair) return;
  byId("pair").hidden = false;
  byId("pair-title").textContent = "Hardest pair: " + head.pair.classes.map(index => names[index]).join(" and ");
  byId("pair-text").textContent = head.pair.text;
  const all = items.filter(inPair);
  for (const item of all.slice(0, 6)) {
    const button = make("button", { type: "button" }, image(item.image, "image " + item.id),
      make("span", { text: names[item.label] + ", answered " + names[item.answer] + ", " + percent(item.p[item.answer]) }));
    button.addEventListener("click", () => {
      reset(); filters.pair = true; update();
      while (drawn <= shown.indexOf(item)) draw(STEP);
      focus(byId("items").children[shown.indexOf(item)]);
    });
    byId("pair-images").append(button);
  }
  const only = make("button", { type: "button", id: "pair-only", class: "all", text: "Show only these " + all.length });
  only.addEventListener("click", () => { filters.pair = !filters.pair; update(); });
  byId("pair-images").append(only);
}

drawFilters();
drawPair();
reset();
