"use strict";
const config = JSON.parse(document.getElementById("config").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let token = config.token || sessionStorage.getItem("chappe-token");

// -- small tools: text is only ever set as text --------------------------------------------------

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
async function api(path, body) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail || response.statusText), { status: response.status });
  return answer;
}
function later(work, milliseconds) {
  let timer = null;
  return () => { if (timer === null) timer = setTimeout(() => { timer = null; work().catch(console.warn); }, milliseconds); };
}
const clock = (iso) => new Date(iso).toLocaleString("en-GB", { timeZone: "UTC", day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" }).replace(",", "");

// -- people --------------------------------------------------------------------------------------

const people = new Map(); // contact id -> {id, email}
let chosen = null;
const NAMES = ["zoe", "adam", "nora", "carl", "bea", "eve", "ines", "jules", "lena", "max", "oscar", "paula", "rosa", "samir", "tilda", "victor", "wanda", "yusuf"];
const SURNAMES = ["martin", "okafor", "lind", "moreau", "santos", "weber", "novak", "rossi", "haddad", "berg"];
const any = (list) => list[Math.floor(Math.random() * list.length)];

function color(text) {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.codePointAt(0)) % 3600;
  return `hsl(${hash % 360} 42% ${36 + (hash % 3) * 6}%)`;
}
function initials(text) {
  const [a, b] = text.split("@")[0].split(/[._-]/);
  return ((a || "?")[0] + (b ? b[0] : (a || "?")[1] || "")).toUpperCase();
}
const nameOf = (id) => (people.get(id) || {}).email || id || "?";
function face(id, attributes = {}) {
  const name = nameOf(id);
  const element = h(attributes.onclick ? "button" : "span", { class: "face", title: name, ...(attributes.onclick ? { type: "button" } : {}), ...attributes }, initials(name));
  element.style.background = color(name);
  return element;
}
function meet(id, email) {
  if (!id) return;
  const known = people.get(id);
  if (known && (known.email || !email)) return;
  people.set(id, { id, email });
  showPeople();
}
function showPeople() {
  $("people").replaceChildren(...[...people.keys()].reverse().slice(0, 60).map((id) =>
    face(id, { onclick: () => choose(id), "aria-pressed": String(id === chosen) })));
}
function choose(id) {
  chosen = id;
  const email = (people.get(id) || {}).email;
  if (email) $("email").value = email;
  showPeople();
  showTimeline().catch(console.warn);
}
async function showTimeline() {
  if (!chosen) return;
  const id = chosen;
  $("whose").textContent = nameOf(id);
  const { items } = await api(`/api/v1/contacts/${encodeURIComponent(id)}/timeline?limit=100`);
  if (id !== chosen) return;
  $("timeline").replaceChildren(...items.map((line) => h("li", { class: kindOf(line) },
    h("p", {}, line.text),
    h("time", {}, clock(line.at)),
    ...[line.kind === "decision" ? line.journey : null, ...(line.flags || [])].filter(Boolean).map((tag) => h("span", { class: "tag" }, tag)))));
}
const NO = new Set(["not_entered", "skipped", "stopped", "cancelled", "email.skipped", "email.failed", "email.bounced", "email.unsubscribed", "email.complained", "email.in_doubt", "email.cancelled"]);
const kindOf = (line) => (NO.has(line.name) ? "no" : line.kind);

// -- the shop ------------------------------------------------------------------------------------

function somebody() { $("email").value = `${any(NAMES)}.${any(SURNAMES)}${Math.floor(Math.random() * 90 + 10)}@example.com`; }
$("dice").addEventListener("click", somebody);
for (const button of document.querySelectorAll(".do")) button.addEventListener("click", () => press(button));

async function press(button) {
  const email = $("email").value.trim().toLowerCase();
  const said = $("said");
  button.disabled = true;
  try {
    const answer = await api("/api/v1/demo/shop", { do: button.dataset.do, email, consent: $("consent").checked });
    said.className = answer.status < 300 ? "said" : "said bad";
    said.textContent = `${answer.topic} → ${answer.status}` + (answer.cart ? ` · ${answer.cart.items.join(" + ")}, ${answer.cart.total} EUR` : "");
    follow(email);
  } catch (error) {
    said.className = "said bad";
    said.textContent = error.status === 422 ? "That is no e-mail address." : error.message;
  } finally { button.disabled = false; }
}
let awaited = null; // the e-mail whose timeline to show as soon as somebody has it
function follow(email) {
  awaited = email;
  for (const [id, person] of people) if (person.email === email) { awaited = null; choose(id); }
}
$("curl").textContent = config.writeKey
  ? `curl -u ${config.writeKey}: ${location.origin}/v1/batch \\\n  -H 'Content-Type: application/json' -d '{"batch": [\n  {"type": "identify", "userId": "me",\n   "traits": {"email": "me@example.com",\n              "consent": {"email": "subscribed"}}},\n  {"type": "track", "userId": "me", "event": "Signed Up"}]}'`
  : "chappe sources add segment --name my-site";

// -- the clock -----------------------------------------------------------------------------------

let offset = 0; // milliseconds that the demo is ahead of this browser
let passing = false;
function tell({ now, ahead_seconds: ahead }) {
  offset = new Date(now).getTime() - Date.now();
  const days = Math.floor(ahead / 86400), hours = Math.round((ahead % 86400) / 3600);
  $("ahead").textContent = ahead < 60 ? "" : `${days ? `${days} d ` : ""}${hours} h ahead`;
  $("historical").hidden = ahead < 72 * 3600;
  tick();
}
function tick() {
  const now = new Date(Date.now() + offset);
  $("day").textContent = now.toLocaleDateString("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" });
  $("time").textContent = now.toLocaleTimeString("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
async function advance(by) {
  if (passing) return;
  passing = true;
  document.body.classList.add("passing");
  $("hour").disabled = $("tomorrow").disabled = true;
  const watching = setInterval(() => api("/api/v1/demo/clock").then((answer) => passing && tell(answer)).catch(() => {}), 250);
  try {
    const moved = await api("/api/v1/demo/clock", { advance: by });
    tell(moved);
    $("stuck").hidden = moved.settled;
    $("stuck").textContent = `The clock stopped on the way, waiting for: ${moved.stuck.join(", ")}. Try again.`;
  } catch (error) {
    $("stuck").hidden = false;
    $("stuck").textContent = error.message;
  } finally {
    clearInterval(watching);
    passing = false;
    document.body.classList.remove("passing");
    $("hour").disabled = $("tomorrow").disabled = false;
    refreshSoon(); mailsSoon();
  }
}
$("hour").addEventListener("click", () => advance("PT1H"));
$("tomorrow").addEventListener("click", () => advance("P1D"));
setInterval(tick, 1000);

// -- journeys ------------------------------------------------------------------------------------

const LANE = 206, ROW = 62, WIDE = 178, TALL = 40;
const drawn = new Map(); // journey -> {version, places, layer, steps, totals}
const tokens = new Map(); // enrollment -> {journey, step, contact, element, ended}

function arrange(graph) {
  const out = new Map(graph.nodes.map((node) => [node.id, []]));
  const into = new Map(graph.nodes.map((node) => [node.id, []]));
  for (const edge of graph.edges) {
    if (!out.get(edge.source).includes(edge.target)) out.get(edge.source).push(edge.target);
    into.get(edge.target).push(edge.source);
  }
  const rank = new Map([["start", 0]]);
  for (let round = 0; round < graph.nodes.length; round++) // longest way from the start; a ring ends with the rounds
    for (const edge of graph.edges)
      if (rank.has(edge.source)) rank.set(edge.target, Math.min(graph.nodes.length, Math.max(rank.get(edge.target) || 0, rank.get(edge.source) + 1)));
  const lane = new Map();
  const taken = new Set();
  const order = [...graph.nodes].sort((a, b) => (rank.get(a.id) || 0) - (rank.get(b.id) || 0));
  for (const node of order) {
    const parents = into.get(node.id).filter((parent) => lane.has(parent));
    let at = 0;
    for (const parent of parents) {
      const ways = out.get(parent), own = ways.indexOf(node.id);
      const apart = parents.length > 1 ? 0 : own - (ways.length - 1) / 2;
      at += (lane.get(parent) + apart) / parents.length;
    }
    while (taken.has(`${rank.get(node.id)}/${at}`)) at += 1;
    taken.add(`${rank.get(node.id)}/${at}`);
    lane.set(node.id, at);
  }
  const lanes = [...lane.values()], left = Math.min(...lanes), right = Math.max(...lanes);
  const places = new Map(graph.nodes.map((node) => [node.id, { x: (lane.get(node.id) - left) * LANE + LANE / 2, y: (rank.get(node.id) || 0) * ROW + 34 }]));
  return { places, width: (right - left + 1) * LANE + 16, height: (Math.max(...rank.values()) + 1) * ROW + 8 };
}
const ICON = { trigger: "⚑ ", send: "✉ ", wait: "◷ ", wait_for: "◉ ", branch: "◇ ", exit: "⏹ ", end: "" };
function labelOf(node) {
  if (node.kind === "wait") return `wait ${node.label}`;
  if (node.kind === "trigger") return node.label.replace(/ or .*/, " …");
  if (node.kind === "wait_for") return node.label.replace(/^email\.clicked.*/, "clicked?").replace(/^email\.opened.*/, "opened?");
  return node.label;
}
function short(text, letters) { return text.length > letters ? `${text.slice(0, letters - 1)}…` : text; }

function draw(graph, title) {
  const { places, width, height } = arrange(graph);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMin meet", role: "img", "aria-label": title });
  for (const edge of graph.edges) {
    const a = places.get(edge.source), b = places.get(edge.target), y1 = a.y + TALL / 2, y2 = b.y - TALL / 2;
    svg.append(s("path", { class: "edge", d: `M${a.x} ${y1}C${a.x} ${y1 + 16} ${b.x} ${y2 - 16} ${b.x} ${y2}` }));
    if (edge.label && a.x !== b.x) svg.append(s("text", { class: "way", x: (a.x + b.x * 2) / 3, y: y1 + 11 }, short(edge.label.replace("email.", ""), 14)));
  }
  const nodes = new Map();
  for (const node of graph.nodes) {
    const { x, y } = places.get(node.id);
    const name = s("text", { x, y: node.kind === "send" ? y - 2 : y + 4.5 }, ICON[node.kind] + short(labelOf(node), 22));
    const sub = s("text", { class: "sub", x, y: y + 12 });
    const count = s("text", { class: "count", x: x + WIDE / 2 + 5, y: y + 4 });
    const group = s("g", { class: `node ${node.kind}` }, s("title", {}, node.label), s("rect", { x: x - WIDE / 2, y: y - TALL / 2, width: WIDE, height: TALL, rx: node.kind === "send" ? 10 : 20 }), name, sub, count);
    nodes.set(node.id, { group, sub, count });
    svg.append(group);
  }
  const layer = s("g");
  svg.append(layer);
  const totals = h("p", {});
  const element = h("div", { class: `journey${width > LANE * 1.5 ? " wide" : ""}` }, h("h2", {}, title), totals, svg);
  return { version: graph.version, places, nodes, layer, totals, element, svg, width, height };
}
async function refresh() {
  const { items: journeys } = await api("/api/v1/journeys?limit=20");
  const shown = journeys.filter((journey) => journey.version).slice(0, 4).sort((a, b) => b.journey.localeCompare(a.journey));
  await Promise.all(shown.map(async (journey) => {
    const path = encodeURIComponent(journey.journey);
    const [graph, report] = await Promise.all([api(`/api/v1/journeys/${path}/graph`), api(`/api/v1/reports/journeys/${path}`)]);
    let picture = drawn.get(journey.journey);
    if (!picture || picture.version !== graph.version) {
      if (picture) for (const [id, one] of tokens) if (one.journey === journey.journey) tokens.delete(id);
      drawn.set(journey.journey, picture = draw(graph, journey.title.en || journey.journey));
      const tallest = Math.max(...[...drawn.values()].map((one) => one.height));
      for (const one of drawn.values()) one.svg.setAttribute("viewBox", `0 0 ${one.width} ${tallest}`); // one scale for all
      $("journeys").replaceChildren(...shown.filter((one) => drawn.has(one.journey)).map((one) => drawn.get(one.journey).element));
    }
    const { totals, steps } = report;
    picture.totals.replaceChildren(h("b", {}, String(graph.active)), " inside · ", `${totals.entered} entered · ${totals.sent} sent · ${totals.clicked} clicked · ${totals.goal_reached} bought`);
    const byStep = new Map(steps.map((step) => [step.step, step]));
    for (const node of graph.nodes) {
      const cell = picture.nodes.get(node.id), step = byStep.get(node.id);
      cell.count.textContent = node.people ? String(node.people) : "";
      cell.sub.textContent = node.kind === "send" ? (step && step.sent ? `${step.sent} sent · ${step.opened} opened · ${step.clicked} clicked` : "nobody yet") : "";
    }
  }));
  const { items: inside } = await api("/api/v1/enrollments?status=active&limit=200");
  const still = new Set();
  for (const one of inside) { still.add(one.id); place(one.id, one.journey, one.step, one.contact); }
  for (const [id, one] of tokens) if (!still.has(id) && !one.ended) leave(id);
  settleTokens();
}
const refreshSoon = later(refresh, 350);

function place(id, journey, step, contact) {
  const picture = drawn.get(journey);
  if (!picture || !step || !picture.places.has(step)) return;
  let one = tokens.get(id);
  if (!one) {
    const circle = s("circle", { r: 11 });
    const text = s("text", { y: 3.4 });
    one = { journey, contact, circle, text, element: s("g", { class: "token" }, s("title"), circle, text), ended: false };
    one.element.addEventListener("click", () => choose(contact));
    tokens.set(id, one);
    const start = picture.places.get("start");
    one.element.style.transform = `translate(${start.x}px,${start.y}px)`;
    picture.layer.append(one.element);
    one.element.getBoundingClientRect(); // so that it starts from there
  }
  one.step = step;
}
function leave(id) {
  const one = tokens.get(id);
  one.ended = true;
  one.step = "end";
  setTimeout(() => one.element.classList.add("gone"), 900);
  setTimeout(() => { one.element.remove(); tokens.delete(id); }, 1600);
}
function settleTokens() {
  const standing = new Map();
  for (const one of tokens.values()) {
    const picture = drawn.get(one.journey), spot = picture && picture.places.get(one.step);
    if (!spot) continue;
    const key = `${one.journey}/${one.step}`, index = standing.get(key) || 0;
    standing.set(key, index + 1);
    const name = nameOf(one.contact);
    one.circle.setAttribute("fill", color(name));
    one.text.textContent = initials(name);
    one.element.firstChild.textContent = name;
    const shift = Math.min(index, 8) * 18;
    one.element.style.transform = `translate(${spot.x + WIDE / 2 - 9 - shift}px,${spot.y - TALL / 2}px)`;
  }
}
function light(journey, step) {
  const picture = drawn.get(journey), node = picture && picture.nodes.get(step);
  if (!node) return;
  node.group.classList.add("lit");
  setTimeout(() => node.group.classList.remove("lit"), 1200);
}

// -- live ----------------------------------------------------------------------------------------

const FEED_MAX = 120;
let heard = 0;
function hear(line) {
  meet(line.contact, line.email);
  if (awaited && line.email === awaited) { awaited = null; choose(line.contact); }
  heard += 1;
  $("pulse").textContent = `${heard} ${heard === 1 ? "line" : "lines"}`;
  const item = h("li", { class: "fresh", onclick: () => choose(line.contact) }, face(line.contact), h("span", { class: `text ${kindOf(line)}` }, line.text), h("time", {}, clock(line.at)));
  item.title = `${nameOf(line.contact)}: ${line.text}`;
  $("feed").prepend(item);
  while ($("feed").childElementCount > FEED_MAX) $("feed").lastElementChild.remove();
  if (line.kind === "decision" && line.enrollment) {
    if (line.name === "entered") place(line.enrollment, line.journey, "start", line.contact);
    else if (line.step) place(line.enrollment, line.journey, line.step, line.contact);
    if ((line.name === "exited" || line.name === "finished") && tokens.has(line.enrollment)) leave(line.enrollment);
    settleTokens();
    light(line.journey, line.step || (line.name === "entered" ? "start" : "end"));
  }
  if (line.contact === chosen) timelineSoon();
  refreshSoon();
}
const timelineSoon = later(showTimeline, 250);
function listen() {
  const source = new EventSource(`/api/v1/live?token=${encodeURIComponent(token)}`);
  source.onmessage = (message) => hear(JSON.parse(message.data));
  source.addEventListener("lagged", refreshSoon);
  source.onopen = () => refreshSoon();
}

// -- the inbox -----------------------------------------------------------------------------------

let selected = null, newest = null; // mails, as the inbox lists them
async function showMails() {
  const answer = await fetch(`${config.inbox}/api/v1/messages?limit=60`).then((response) => response.json());
  $("mails").textContent = answer.total ? `${answer.total} ${answer.total === 1 ? "mail" : "mails"}` : "";
  $("empty").hidden = answer.total > 0;
  $("list").replaceChildren(...answer.messages.map((mail) => {
    const badge = h("span", { class: "face" }, initials(toOf(mail)));
    badge.style.background = color(toOf(mail));
    const read = () => { select(mail); unseal(); };
    return h("li", { tabindex: 0, "data-id": mail.ID, onclick: read, onkeydown: (key) => key.key === "Enter" && read() },
      badge, h("b", {}, mail.Subject || "(no subject)"), h("time", {}, clock(mail.Created)), h("small", {}, `to ${toOf(mail)}`));
  }));
  const first = answer.messages[0];
  if (first && first.ID !== newest) { newest = first.ID; select(first); }
  else mark();
}
const mailsSoon = later(showMails, 120);
const toOf = (mail) => (mail.To[0] || {}).Address || "";
function mark() { for (const item of $("list").children) item.setAttribute("aria-selected", String(selected && item.dataset.id === selected.ID)); }
function select(mail) { // sealed: whoever shows a mail fetches its pixel, and that is an open
  selected = mail;
  mark();
  $("subject").textContent = mail.Subject || "(no subject)";
  $("to").textContent = `to ${toOf(mail)}`;
  $("letter").hidden = false;
  $("mail").hidden = true;
  $("mail").removeAttribute("src");
  for (const name of ["open", "click", "unsubscribe"]) $(name).disabled = false;
}
function unseal() {
  $("letter").hidden = true;
  $("mail").hidden = false;
  $("mail").src = `${config.inbox}/view/${encodeURIComponent(selected.ID)}.html`;
}
$("unseal").addEventListener("click", unseal);
async function linksOf(id) {
  const path = `${config.inbox}/api/v1/message/${encodeURIComponent(id)}`;
  const [mail, headers] = await Promise.all([fetch(path).then((r) => r.json()), fetch(`${path}/headers`).then((r) => r.json())]);
  // Looked at as text: a parsed mail would ask for its pictures and its styles.
  const here = (url) => { const { pathname, search } = new URL(url); return pathname + search; }; // the box itself, by whatever name
  const first = (pattern) => { const found = mail.HTML.match(pattern); return found ? here(found[1].replaceAll("&amp;", "&")) : null; };
  const header = ((headers["List-Unsubscribe"] || [""])[0].match(/<(https?:[^>]*\/u\/[^>]*)>/) || [])[1];
  return { link: first(/<a[^>]+href="(https?:[^"]*\/c\/[^"]+)"/), unsubscribe: header ? here(header) : null };
}
async function act(what) {
  const acted = $("acted");
  acted.className = "";
  try {
    if (what === "open") { unseal(); return; }
    const links = await linksOf(selected.ID);
    if (what === "click" && links.link) { await fetch(links.link, { redirect: "manual", cache: "no-store" }); acted.textContent = "link followed"; }
    else if (what === "unsubscribe" && links.unsubscribe) {
      const answer = await fetch(links.unsubscribe, { method: "POST", body: new URLSearchParams({ "List-Unsubscribe": "One-Click" }) });
      acted.textContent = answer.ok ? "unsubscribed" : `answered ${answer.status}`;
    } else { acted.className = "bad"; acted.textContent = "this mail has no such link"; }
  } catch (error) { acted.className = "bad"; acted.textContent = error.message; }
  setTimeout(() => { acted.textContent = ""; }, 4000);
}
for (const name of ["open", "click", "unsubscribe"]) $(name).addEventListener("click", () => act(name));
function watchInbox() {
  if (!config.inbox) { $("empty").textContent = "The mails go to CHAPPE_SMTP_URL."; return; }
  $("whole").href = config.inbox;
  $("whole").hidden = false;
  const source = new EventSource(`${config.inbox}/api/v1/stream`);
  source.addEventListener("changed", mailsSoon);
  mailsSoon();
}

// -- begin ---------------------------------------------------------------------------------------

async function begin() {
  somebody();
  tell(await api("/api/v1/demo/clock"));
  watchInbox();
  const { items } = await api("/api/v1/contacts?limit=100");
  for (const contact of items) meet(contact.id, contact.email);
  listen();
  await refresh();
}
$("ask").addEventListener("submit", (submit) => {
  submit.preventDefault();
  sessionStorage.setItem("chappe-token", $("token").value.trim());
  location.reload();
});
if (!token) $("ask").hidden = false;
else begin().catch((error) => { if (error.status === 401) { sessionStorage.removeItem("chappe-token"); $("ask").hidden = false; } else { $("stuck").hidden = false; $("stuck").textContent = error.message; } });
