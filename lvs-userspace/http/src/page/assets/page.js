// The page's script: asks for the director's state every few seconds, and follows its events.
// Text of others goes into the document as text, never as markup.
"use strict";

const EVERY = 5000;
// How long an answer is waited for, in milliseconds.
const LONGEST = 10000;
// Without the password that may stand in the address: a browser refuses to fetch such ones.
const HERE = location.origin + location.pathname;
const SIGNS = { up: "▲", down: "▼", drain: "◐", maint: "✖", unknown: "?", unchecked: "–" };
const TURNING = { up: "▲ failing", down: "▼ recovering" };

const $ = (id) => document.getElementById(id);
const element = (name, classes = "", text = "") => {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
};
const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const classes = (node, names) => { if (node.className !== names) node.className = names; };

// The columns: title, classes, what is shown of a row, what it is sorted by.
const COLUMNS = [
  { key: "name", title: "Service, server", sort: (row) => row.name || row.label || row.address },
  { key: "state", title: "State", classes: "text", sort: (row) => trouble(row) },
  { key: "age", title: "Since", classes: "narrow", show: (row) => span(row.age), sort: (row) => row.age ?? 0 },
  { key: "last", title: "Last check", classes: "text sentence", show: (row) => row.last ?? "",
      sort: (row) => row.last ?? "" },
  { key: "weight", title: "Weight", classes: "narrow", show: weight, sort: (row) => row.weight ?? 0 },
  { key: "open", title: "Connections", show: (row) => count(row.active + row.inactive),
      sort: (row) => row.active + row.inactive,
    hint: "Connections now: active and inactive" },
  { key: "most", title: "Most", classes: "middle narrow", show: (row) => count(row.most), sort: (row) => row.most,
    hint: "Most connections at once since lvsd began" },
  { key: "total", title: "Total", classes: "middle narrow", show: (row) => count(row.total.connections),
      sort: (row) => row.total.connections },
  { key: "rate", title: "New/s", spark: true, show: (row) => count(row.rate.connections),
      sort: (row) => row.rate.connections,
    classes: "narrow", hint: "New connections per second, and those of five minutes" },
  { key: "in", title: "In/s", classes: "narrow", show: (row) => bytes(row.rate.in_bytes),
      sort: (row) => row.rate.in_bytes },
  { key: "out", title: "Out/s", classes: "narrow", show: (row) => bytes(row.rate.out_bytes),
      sort: (row) => row.rate.out_bytes,
    hint: "Replies that pass the director: none with direct routing and tunnels" },
  { key: "bytes-in", title: "In", classes: "wide narrow", show: (row) => bytes(row.total.in_bytes),
      sort: (row) => row.total.in_bytes },
  { key: "bytes-out", title: "Out", classes: "wide narrow", show: (row) => bytes(row.total.out_bytes),
      sort: (row) => row.total.out_bytes },
  { key: "failed", title: "Checks failed", classes: "wide narrow", show: (row) => checks(row),
      sort: (row) => row.checks_failed ?? 0 },
  { key: "downs", title: "Downs", classes: "middle narrow",
      show: (row) => (row.times_down === undefined ? "" : String(row.times_down)),
    sort: (row) => row.times_down ?? 0 },
  { key: "downtime", title: "Downtime", classes: "middle narrow",
      show: (row) => (row.seconds_down === undefined ? "" : span(row.seconds_down)),
    sort: (row) => row.seconds_down ?? 0 },
];

function weight(row) {
  if (row.weight === undefined) return "";
  const differs = row.configured !== null && row.configured !== row.weight;
  return differs ? row.weight + "/" + row.configured : String(row.weight);
}
function checks(row) {
  if (row.checks_failed === undefined || row.state === "unchecked") return "";
  return count(row.checks_failed) + " of " + count(row.checks_failed + row.checks_passed);
}
// The higher, the sooner somebody should look.
function trouble(row) {
  if (row.states) {
    const of = Object.fromEntries(row.states);
    const serving = (of.up ?? 0) + (of.unchecked ?? 0);
    const down = of.down ?? 0;
    return (serving === 0 ? 1000 : 0) + (row.fallback || row.quorum === false ? 500 : 0)
        + (row.silent.length ? 100 : 0) + (down ? 50 + down : 0);
  }
  return { down: 5, unknown: 4, maint: 3, drain: 2, up: row.towards ? 1 : 0, unchecked: 0 }[row.state];
}

const state = {
  data: null, before: null, open: new Map(), sort: "state", descending: true, shown: new Map(), detail: null,
      order: null,
};

function spark(node, rates) {
  const most = Math.max(1, ...rates);
  const step = 60 / 29;
  const from = 30 - rates.length;
  const points = rates.map((rate, place) => ((from + place) * step).toFixed(1) + ","
      + (15 - (rate / most) * 14).toFixed(1)).join(" ");
  const line = node.firstChild;
  if (line.getAttribute("points") !== points) line.setAttribute("points", points);
}
function newSpark() {
  const space = "http://www.w3.org/2000/svg";
  const made = document.createElementNS(space, "svg");
  made.setAttribute("class", "spark");
  made.setAttribute("viewBox", "0 0 60 16");
  made.setAttribute("aria-hidden", "true");
  made.append(document.createElementNS(space, "polyline"));
  return made;
}

// A row of the table with its cells; `update` writes a row of the data into it.
function newRow(kind, press) {
  const row = element("tr", kind);
  const head = element("th");
  head.scope = "row";
  const open = element("button", "open");
  open.type = "button";
  open.addEventListener("click", press);
  const name = element("span", "name");
  const more = element("span", "faint");
  const tags = element("span", "tags");
  if (kind === "service") head.append(open, name, " ", more, tags);
  else head.append(open, " ", more, tags);
  row.append(head);
  const cells = new Map();
  for (const column of COLUMNS.slice(1)) {
    const cell = element("td", column.classes ?? "");
    if (column.key === "state") cell.append(element("span", "badge"));
    if (column.spark) cell.append(newSpark(), element("span"));
    cells.set(column.key, cell);
    row.append(cell);
  }
  return { row, open, name, more, tags, cells };
}
function tag(node, wanted) {
  const text = wanted.map(([text]) => text).join("|");
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...wanted.map(([text, kind]) => element("span", "badge " + kind, text)));
}
function fill(made, data) {
  for (const column of COLUMNS.slice(1)) {
    const cell = made.cells.get(column.key);
    if (column.key === "state") continue;
    const text = column.show(data);
    if (column.spark) {
      spark(cell.firstChild, data.rates);
      set(cell.lastChild, text);
    } else set(cell, text);
    if (column.key === "last" && cell.title !== text) cell.title = text;
  }
}
function updateService(made, service) {
  const isOpen = service.servers !== null && isOpened(service);
  set(made.open, isOpen ? "▾" : "▸");
  made.open.setAttribute("aria-expanded", String(isOpen));
  made.open.setAttribute("aria-label", "Real servers of " + (service.name || service.label));
  set(made.name, service.name || service.label);
  set(made.more, (service.name ? service.label + " " : "") + service.scheduler);
  const tags = [];
  if (service.fallback) tags.push(["fallback", "down"]);
  if (service.quorum === false) tags.push(["no quorum", "down"]);
  for (const text of service.silent) tags.push(["no answer", "maint", text]);
  tag(made.tags, tags);
  const of = Object.fromEntries(service.states);
  const all = service.states.reduce((sum, [, number]) => sum + number, 0);
  const serving = (of.up ?? 0) + (of.unchecked ?? 0);
  const badge = made.cells.get("state").firstChild;
  set(badge, serving + " of " + all + " up");
  classes(badge, "badge " + (serving === all ? "up" : serving === 0 ? "down" : "turning"));
  fill(made, service);
}
function updateServer(made, server) {
  set(made.open, server.name || server.address);
  set(made.more, server.name ? server.address : "");
  tag(made.tags, server.backup ? [["backup", ""]] : []);
  const badge = made.cells.get("state").firstChild;
  const turning = server.towards > 0 && TURNING[server.state];
  const text = turning ? turning + " " + server.towards + "/" + server.needed
      : SIGNS[server.state] + " " + server.state;
  if (badge.textContent !== text && badge.textContent !== "") {
    made.row.classList.remove("changed");
    void made.row.offsetWidth;
    made.row.classList.add("changed");
  }
  set(badge, text);
  classes(badge, "badge " + (turning ? "turning" : server.state));
  fill(made, server);
}

function isOpened(service) {
  if ($("filter").value.trim()) return true;
  const chosen = state.open.get(service.label);
  if (chosen !== undefined) return chosen;
  return trouble(service) > 0 || state.data.services.length <= 30;
}
function compare(left, right) {
  const by = COLUMNS.find((column) => column.key === state.sort).sort;
  const [a, b] = [by(left), by(right)];
  const order = typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
  const named = (row) => row.name || row.label || row.address;
  return (state.descending ? -order : order) || named(left).localeCompare(named(right), undefined, { numeric: true });
}

function table() {
  const data = state.data;
  const only = $("problems").checked;
  const services = data.services.filter((service) => !only || trouble(service) > 0).sort(compare);
  const known = new Set();
  let last = $("services").tHead;
  for (const service of services) {
    known.add(service.label);
    let shown = state.shown.get(service.label);
    if (!shown) {
      const body = element("tbody");
      const made = newRow("service", () => toggle(service.label));
      body.append(made.row);
      shown = { body, made, servers: new Map() };
      state.shown.set(service.label, shown);
    }
    if (last.nextSibling !== shown.body) last.after(shown.body);
    last = shown.body;
    updateService(shown.made, service);
    servers(shown, service);
  }
  for (const [label, shown] of state.shown) {
    if (known.has(label)) continue;
    shown.body.remove();
    state.shown.delete(label);
  }
  const none = services.length ? "" : data.services.length ? "Nothing to worry about: no service has a problem." :
    $("filter").value ? "Nothing matches the filter." : "There is no virtual service.";
  set($("none"), none);
  $("none").hidden = !none;
}
function servers(shown, service) {
  const listed = service.servers !== null && isOpened(service) ? [...service.servers].sort(compare) : [];
  const known = new Set();
  let last = shown.made.row;
  for (const server of listed) {
    known.add(server.address);
    let made = shown.servers.get(server.address);
    if (!made) {
      made = newRow("server", () => detail(service.label, server.address));
      shown.servers.set(server.address, made);
    }
    if (last.nextSibling !== made.row) last.after(made.row);
    last = made.row;
    updateServer(made, server);
  }
  for (const [address, made] of shown.servers) {
    if (known.has(address)) continue;
    made.row.remove();
    shown.servers.delete(address);
  }
}
function toggle(label) {
  const service = state.data.services.find((service) => service.label === label);
  state.open.set(label, !(service.servers !== null && isOpened(service)));
  if (service.servers === null) load();
  else table();
}

function card(title, big, lines, bad = false, meter = null) {
  const made = element("div", bad ? "card bad" : "card");
  made.append(element("h2", "", title), element("div", "big", big));
  if (meter !== null) {
    const bar = element("meter");
    Object.assign(bar, { min: 0, max: 1, low: 0.45, high: 0.74, optimum: 0, value: meter });
    bar.setAttribute("aria-label", title);
    made.append(bar);
  }
  for (const line of lines) made.append(element("p", "", line));
  return made;
}
function director() {
  const data = state.data;
  const cards = [];
  const of = Object.fromEntries(data.states);
  const all = data.states.reduce((sum, [, number]) => sum + number, 0);
  const others = data.states.filter(([name, number]) => name !== "up" && number)
      .map(([name, number]) => number + " " + name);
  cards.push(card("Real servers", ((of.up ?? 0) + (of.unchecked ?? 0)) + " of " + all + " up",
      others.length ? [others.join(", ")] : [], of.down > 0));
  // Of all services: those of the table may be filtered.
  const totals = data.totals;
  cards.push(card("Connections", count(totals.open), [count(totals.new) + " new/s, " + bytes(totals.bytes) + "/s"]));
  for (const it of data.tables) {
    const part = it.entries / it.capacity;
    cards.push(card("Table " + it.family, (part * 100).toFixed(1) + " %",
        [count(it.entries) + " of " + count(it.capacity) + " entries"], part > 0.74, part));
  }
  for (const peer of data.peers) {
    const lines = [peer.role ? "it is " + peer.role : "", peer.problem ?? "", ...peer.differs].filter((line) => line);
    if (peer.lag_frames) lines.push(peer.lag_frames + " frames behind");
    cards.push(card("Peer " + peer.address, peer.state, lines, peer.state === "away" || peer.differs.length > 0));
  }
  const held = data.addresses.filter((it) => it.held).length;
  if (data.addresses.length) {
    const problems = data.addresses
        .map((it) => it.problem ?? (it.duplicate ? it.duplicate + " has it, too" : "")).filter((it) => it);
    cards.push(card("Virtual addresses", held + " of " + data.addresses.length + " held", problems,
        problems.length > 0));
  }
  const lost = data.lost.reduce((sum, it) => sum + it.frames, 0);
  cards.push(card("Interfaces", data.interfaces.map((it) => it.name + " " + it.mode).join(", ") || "none",
    lost ? [count(lost) + " frames not sent"] : [], lost > 0));
  const rate = drops();
  const dropped = data.verdicts.filter((it) => it.name.startsWith("drop-")).reduce((sum, it) => sum + it.packets, 0);
  cards.push(card("Dropped packets", rate === null ? count(dropped) : count(rate) + "/s",
      rate === null ? [] : [count(dropped) + " in all"], rate > 0));
  if (data.configured === false) {
    cards.push(card("Configuration", "refused", ["the last file is not in effect, see the log"], true));
  }
  if (data.unresolved) cards.push(card("Next hops", data.unresolved + " unresolved", [], true));
  const text = cards.map((made) => made.className + made.innerText).join("\n");
  const place = $("director");
  if (place.dataset.text !== text) {
    place.dataset.text = text;
    place.replaceChildren(...cards);
  }
  set($("role"), data.role);
  classes($("role"), "badge " + (data.role === "master" ? "up" : "drain"));
  const troubled = totals.troubled;
  const well = totals.services ? "all services are up" : "no virtual service";
  set($("overall"), troubled ? troubled + (troubled === 1 ? " service" : " services") + " with problems" : well);
  classes($("overall"), "badge " + (troubled ? "down" : totals.services ? "up" : ""));
  document.title = (troubled ? "(" + troubled + ") " : "") + "lvsd " + location.host;
  set($("footer"), "lvsd " + data.version + ", process " + data.pid + ", at " + clock(data.now) + "; " +
    (data.user === "anyone" ? "everybody may read" : data.user + " may " + data.right));
}
function perSecond(name, packets) {
  const before = state.before;
  if (!before || before.now >= state.data.now) return null;
  const old = before.verdicts.find((it) => it.name === name);
  return Math.max(0, packets - (old ? old.packets : 0)) / (state.data.now - before.now);
}
function drops() {
  const rates = state.data.verdicts.filter((it) => it.name.startsWith("drop-"))
      .map((it) => perSecond(it.name, it.packets));
  return state.before ? rates.reduce((sum, rate) => sum + (rate ?? 0), 0) : null;
}
function verdicts() {
  const rows = [...state.data.verdicts].sort((a, b) => b.name.startsWith("drop-") - a.name.startsWith("drop-")
      || b.packets - a.packets);
  $("verdicts").tBodies[0].replaceChildren(...rows.map((it) => {
    const rate = perSecond(it.name, it.packets);
    const row = element("tr", it.name.startsWith("drop-") ? "drop" : "");
    row.append(element("td", "", it.name), element("td", "", count(it.packets)),
        element("td", "", rate === null ? "" : count(rate)), element("td", "", it.explanation));
    return row;
  }));
}

function detail(label, address) {
  state.detail = { label, address };
  state.order = null;
  set($("outcome"), "");
  $("confirm").hidden = true;
  showDetail();
  $("detail").showModal();
}
function found() {
  if (!state.detail || !state.data) return [];
  const service = state.data.services.find((it) => it.label === state.detail.label);
  return [service, service?.servers?.find((it) => it.address === state.detail.address)];
}
function showDetail() {
  const [service, server] = found();
  $("actions").hidden = true;
  if (!server) {
    $("detail-state").replaceChildren("It is not listed any more.");
    return;
  }
  set($("detail-title"), (server.name ? server.name + " " : "") + server.address + " of "
      + (service.name || service.label));
  const badge = element("span", "badge " + server.state, SIGNS[server.state] + " " + server.state);
  $("detail-state").replaceChildren(badge, " ", server.age === null ? "" : "since " + span(server.age));
  const entries = [
    ["Last check", server.last || "none"],
    ["Duration", server.took_us ? (server.took_us / 1000).toFixed(1) + " ms" : ""],
    ["Checks", server.state === "unchecked" ? "not checked" : count(server.checks_passed) + " passed, "
        + count(server.checks_failed) + " failed"],
    ["Down", server.times_down + " times, " + span(server.seconds_down)],
    ["Weight", weight(server)],
    ["Connections", server.active + " active, " + server.inactive + " inactive, at most " + server.most + ", "
        + count(server.total.connections) + " in all"],
    ["Per second", count(server.rate.connections) + " new, " + bytes(server.rate.in_bytes) + " in, "
        + bytes(server.rate.out_bytes) + " out"],
    ["Bytes", bytes(server.total.in_bytes) + " in, " + bytes(server.total.out_bytes) + " out"],
    ["Next hop", server.next_hop],
  ];
  $("detail-list").replaceChildren(...entries.filter(([, text]) => text)
      .flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]));
  $("actions").hidden = state.data.right !== "operate" || server.state === "unchecked" || state.order !== null;
  if (document.activeElement !== $("weight")) $("weight").value = server.weight;
}
function ask(word) {
  const [service, server] = found();
  if (!server) return showDetail();
  const where = server.address + " of " + (service.name || service.label);
  const number = Number($("weight").value);
  const orders = {
    ready: ["Give " + where + " traffic again?", { state: { state: "ready" } }],
    drain: ["Drain " + where + "? It keeps its " + server.active + " active connections, and gets no new ones.",
        { state: { state: "drain" } }],
    maint: ["Take " + where + " out? Its " + server.active + " active connections lose their server.",
        { state: { state: "maint" } }],
    weight: ["Set the weight of " + where + " to " + number + "?", { weight: { weight: { absolute: number } } }],
    configured: ["Let " + where + " have its configured weight again?", { weight: { weight: "configured" } }],
  };
  const [question, order] = orders[word];
  const [kind] = Object.keys(order);
  Object.assign(order[kind], { service: service.id, server: server.address });
  state.order = order;
  set($("confirm-text"), question);
  set($("outcome"), "");
  $("confirm").hidden = false;
  $("actions").hidden = true;
  $("confirm-yes").focus();
}
// What an answer says is wrong; a proxy before lvsd may have made it.
async function reason(answer) {
  try {
    return (await answer.json()).detail ?? answer.statusText;
  } catch {
    return answer.status + " " + answer.statusText;
  }
}
async function send() {
  const order = state.order;
  state.order = null;
  $("confirm").hidden = true;
  try {
    const answer = await fetch(HERE + "v1/orders",
        { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(order),
        signal: AbortSignal.timeout(LONGEST) });
    set($("outcome"), answer.ok ? "Done." : await reason(answer));
  } catch (error) {
    set($("outcome"), "lvsd does not answer: " + error.message);
  }
  await load();
  showDetail();
}

let timer = 0;
let loading = false;
function soon() {
  clearTimeout(timer);
  timer = setTimeout(load, 300);
}
async function load() {
  clearTimeout(timer);
  if (loading) return;
  loading = true;
  try {
    const query = new URLSearchParams({ filter: $("filter").value });
    for (const [name, open] of state.open) if (open) query.append("open", name);
    const answer = await fetch(HERE + "page/data?" + query,
        { cache: "no-store", signal: AbortSignal.timeout(LONGEST) });
    if (!answer.ok) throw new Error(await reason(answer));
    const first = state.data === null;
    state.before = state.data;
    state.data = await answer.json();
    $("stale").hidden = true;
    director();
    table();
    verdicts();
    if (first) $("events").replaceChildren(...state.data.events.map(eventLine));
    if ($("detail").open) showDetail();
    document.body.dataset.loaded = "yes";
  } catch (error) {
    set($("stale"), "These numbers are old: " + error.message);
    $("stale").hidden = false;
  }
  loading = false;
  if (!document.hidden) timer = setTimeout(load, EVERY);
}

function columns() {
  $("columns").replaceChildren(...COLUMNS.map((column) => {
    const head = element("th", column.classes ?? "");
    head.scope = "col";
    if (column.hint) head.title = column.hint;
    const button = element("button", "", column.title);
    button.type = "button";
    button.addEventListener("click", () => {
      state.descending = state.sort === column.key ? !state.descending : column.key !== "name";
      state.sort = column.key;
      columns();
      table();
    });
    if (state.sort === column.key) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    head.append(button);
    return head;
  }));
}
function scheme(chosen) {
  if (chosen) document.documentElement.dataset.scheme = chosen;
  try {
    if (chosen) localStorage.setItem("scheme", chosen);
  } catch { /* It is not kept where the browser keeps nothing. */ }
}

columns();
try {
  scheme(localStorage.getItem("scheme"));
} catch { /* As the system has it. */ }
$("scheme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.scheme ?? (dark ? "dark" : "light");
  scheme(now === "dark" ? "light" : "dark");
});
$("search").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", soon);
$("problems").addEventListener("change", () => state.data && table());
for (const button of document.querySelectorAll("[data-order]")) {
  button.addEventListener("click", () => ask(button.dataset.order));
}
$("confirm-yes").addEventListener("click", send);
$("confirm-no").addEventListener("click", () => {
  state.order = null;
  $("confirm").hidden = true;
  showDetail();
});
$("detail").addEventListener("close", () => { state.detail = null; });
addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "TEXTAREA"].includes(document.activeElement.tagName)) {
    event.preventDefault();
    $("filter").focus();
  }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
load();
follow();
