"use strict";

// Everything a mail says is put in as text; its HTML is only ever shown in a sandboxed frame.
const PAGE = 50, SHOWN_MAX = 500, SOURCE_MAX = 1000000;
const at = (id) => document.getElementById(id);
const state = {query: "", items: [], matching: 0, loaded: false, open: null, tab: "html", narrow: false};
let asked = 0;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.Error || `The inbox answered ${answer.status}.`);
  }
  return answer;
}

// The list

async function refresh(wanted) {
  const turn = ++asked;
  const limit = Math.min(SHOWN_MAX, Math.max(PAGE, wanted || state.items.length));
  const path = state.query
    ? `/api/v1/search?query=${encodeURIComponent(state.query)}&limit=${limit}`
    : `/api/v1/messages?limit=${limit}`;
  try {
    const found = await (await ask(path)).json();
    if (turn !== asked) return;
    Object.assign(state, {items: found.messages, matching: found.messages_count, loaded: true});
    showCount(found.total, found.unread);
    drawList();
  } catch (problem) {
    if (turn === asked) at("list").replaceChildren(make("div", "note", problem.message));
  }
}

function showCount(total, unread) {
  at("count").textContent = `${total} ${total === 1 ? "mail" : "mails"}${unread ? `, ${unread} unread` : ""}`;
  document.title = unread ? `(${unread}) Inbox` : "Inbox";
  at("clear").hidden = total === 0;
}

function drawList() {
  const list = at("list"), keep = list.scrollTop, focused = document.activeElement?.dataset?.id;
  const rows = [];
  let day = "";
  for (const mail of state.items) {
    const created = new Date(mail.Created);
    const its = created.toLocaleDateString(undefined, {weekday: "long", day: "numeric", month: "long"});
    if (its !== day) rows.push(make("div", "day", day = its));
    rows.push(row(mail, created));
  }
  if (!state.items.length && state.loaded) {
    rows.push(make("div", "note", state.query ? "No mail matches." : "No mail yet. It appears here as it arrives."));
  }
  if (state.matching > state.items.length && state.items.length < SHOWN_MAX) {
    const more = make("button", "quiet more", `Show more of ${state.matching}`);
    more.type = "button";
    more.onclick = () => refresh(state.items.length + PAGE * 2);
    rows.push(more);
  } else if (state.matching > SHOWN_MAX) {
    rows.push(make("div", "note", `The newest ${SHOWN_MAX} of ${state.matching}; search for the others.`));
  }
  list.replaceChildren(...rows);
  list.scrollTop = keep;
  if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
}

function row(mail, created) {
  const from = mail.From.Name || mail.From.Address || "?";
  const to = [...mail.To, ...mail.Cc, ...mail.Bcc].map((box) => box.Address).join(", ");
  const button = make("button", mail.Read ? "item" : "item new");
  button.type = "button";
  button.dataset.id = mail.ID;
  button.setAttribute("aria-current", String(mail.ID === state.open));
  const face = make("span", "face", [...(to || from)][0].toUpperCase());
  face.setAttribute("aria-hidden", "true");
  face.style.setProperty("--hue", String(hue(to)));
  const when = make("time", "when", created.toLocaleTimeString(undefined, {hour: "2-digit", minute: "2-digit"}));
  when.dateTime = mail.Created;
  const files = mail.Attachments ? `📎 ${mail.Attachments}  ` : "";
  button.append(
    face, make("span", "who", to || from), when,
    make("span", "what", mail.Subject || "(no subject)"), make("span", "snip", files + mail.Snippet),
  );
  button.onclick = () => open(mail.ID, true);
  return button;
}

function hue(text) {
  let sum = 7;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

// One mail

async function open(id, push) {
  state.open = id;
  document.body.classList.add("reading");
  if (push) history.pushState(null, "", `/view/${encodeURIComponent(id)}`);
  markOpen();
  try {
    const mail = await (await ask(`/api/v1/message/${encodeURIComponent(id)}`)).json();
    if (state.open !== id && id !== "latest") return;
    state.open = mail.ID;
    markOpen();
    showMail(mail);
  } catch (problem) {
    shut(problem.message);
  }
}

function shut(message) {
  state.open = null;
  at("mail").hidden = true;
  at("content").replaceChildren();
  at("nothing").hidden = false;
  at("nothing-text").textContent = message || "Pick a mail to read it.";
  if (!message) document.body.classList.remove("reading");
  markOpen();
}

function markOpen() {
  for (const button of at("list").querySelectorAll(".item")) {
    button.setAttribute("aria-current", String(button.dataset.id === state.open));
  }
}

function showMail(mail) {
  at("nothing").hidden = true;
  at("mail").hidden = false;
  at("subject").textContent = mail.Subject || "(no subject)";
  const facts = [["From", [mail.From]], ["To", mail.To], ["Cc", mail.Cc], ["Bcc", mail.Bcc], ["Reply to", mail.ReplyTo]]
    .filter(([, boxes]) => boxes.length)
    .flatMap(([name, boxes]) => [make("dt", "", name), people(boxes)]);
  const received = new Date(mail.Created).toLocaleString(undefined, {dateStyle: "full", timeStyle: "short"});
  at("facts").replaceChildren(...facts, make("dt", "", "Received"), make("dd", "", `${received}, ${size(mail.Size)}`));
  at("files").replaceChildren(...[...mail.Attachments, ...mail.Inline].map((file) => fileLink(mail, file)));
  for (const button of at("tabs").querySelectorAll("[role=tab]")) {
    button.hidden = (button.dataset.tab === "html" && !mail.HTML) || (button.dataset.tab === "text" && !mail.Text);
    button.onclick = () => {
      state.tab = button.dataset.tab;
      showTab(mail, state.tab);
    };
  }
  const wanted = {html: mail.HTML, text: mail.Text, headers: true, source: true};
  showTab(mail, wanted[state.tab] ? state.tab : mail.HTML ? "html" : mail.Text ? "text" : "source");
  at("delete").onclick = () => remove([mail.ID]);
}

function people(boxes) {
  const cell = make("dd");
  boxes.forEach((box, place) => {
    if (place) cell.append(", ");
    cell.append(box.Name ? `${box.Name} ` : "", make("small", "", box.Name ? `<${box.Address}>` : box.Address));
  });
  return cell;
}

function fileLink(mail, file) {
  const link = make("a", "", `${file.FileName || file.ContentType} · ${size(file.Size)}`);
  link.href = `/api/v1/message/${encodeURIComponent(mail.ID)}/part/${encodeURIComponent(file.PartID)}`;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} kB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

async function showTab(mail, tab) {
  for (const button of at("tabs").querySelectorAll("[role=tab]")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  }
  at("narrow").hidden = tab !== "html";
  const content = at("content");
  content.classList.toggle("narrow", tab === "html" && state.narrow);
  content.scrollTop = 0;
  content.dataset.shown = `${mail.ID} ${tab}`;
  try {
    const shown = await tabs[tab](mail);
    if (content.dataset.shown === `${mail.ID} ${tab}`) content.replaceChildren(shown);
  } catch (problem) {
    content.replaceChildren(make("div", "note", problem.message));
  }
}

const tabs = {
  html(mail) {
    const frame = make("iframe");
    frame.title = "The mail";
    frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
    frame.referrerPolicy = "no-referrer";
    frame.src = `/view/${encodeURIComponent(mail.ID)}.html`;
    return frame;
  },
  text: (mail) => make("pre", "words", mail.Text),
  async headers(mail) {
    const headers = await (await ask(`/api/v1/message/${encodeURIComponent(mail.ID)}/headers`)).json();
    const table = make("table");
    for (const [name, values] of Object.entries(headers)) {
      for (const value of values) {
        const line = table.insertRow();
        line.append(make("th", "", name), make("td", "", value));
      }
    }
    return table;
  },
  async source(mail) {
    const text = await (await ask(`/api/v1/message/${encodeURIComponent(mail.ID)}/raw`)).text();
    const cut = text.length > SOURCE_MAX ? "\n… the rest is in the raw file" : "";
    return make("pre", "", text.slice(0, SOURCE_MAX) + cut);
  },
};

async function remove(ids) {
  await ask("/api/v1/messages", {method: "DELETE", body: JSON.stringify(ids ? {IDs: ids} : {})}).catch(() => null);
  if (!ids || ids.includes(state.open)) {
    shut();
    history.pushState(null, "", "/");
  }
  refresh();
}

// The page

function follow() {
  const path = /^\/view\/([^/]+)$/.exec(location.pathname);
  if (path) open(decodeURIComponent(path[1]), false);
  else shut();
}

let typing;
at("query").oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.query = at("query").value.trim();
    at("list").scrollTop = 0;
    refresh(PAGE);
  }, 200);
};
at("search").onsubmit = (event) => event.preventDefault();
at("clear").onclick = () => confirm("Delete every mail in this inbox?") && remove(null);
at("back").onclick = () => {
  shut();
  history.pushState(null, "", "/");
};
at("narrow").onclick = () => {
  state.narrow = !state.narrow;
  at("narrow").setAttribute("aria-pressed", String(state.narrow));
  at("content").classList.toggle("narrow", state.narrow);
};
addEventListener("popstate", follow);
addEventListener("keydown", (event) => {
  const step = {j: 1, ArrowDown: 1, k: -1, ArrowUp: -1}[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, #content")) return;
  const place = state.items.findIndex((mail) => mail.ID === state.open) + step;
  const next = state.items[Math.max(0, place)];
  if (!next || next.ID === state.open) return;
  event.preventDefault();
  open(next.ID, true);
  at("list").querySelector(`[data-id="${CSS.escape(next.ID)}"]`)?.scrollIntoView({block: "nearest"});
});

const events = new EventSource("/api/v1/stream");
events.onopen = () => { at("live").classList.add("on"); at("live").title = "Live: new mails appear by themselves"; };
events.onerror = () => { at("live").classList.remove("on"); at("live").title = "Not connected; trying again"; };
events.addEventListener("changed", () => refresh());
refresh();
follow();
