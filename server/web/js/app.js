// The page: a conversation above, the microphone and the text below, history beside, honest notices on top.

import { ApiError, api } from "./api.js";
import { $, announce, el } from "./dom.js";
import { Errand } from "./errand.js";
import { Recorder } from "./recorder.js";
import { moment, statusText } from "./words.js";

const TAP_MS = 350;
const thread = $("thread");
const errands = new Map();
let session = sessionStorage.getItem("session") ?? fresh();

function fresh() {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("session", id);
  return id;
}

// The conversation

function show(command) {
  $("welcome").hidden = true;
  $("fresh").hidden = false;
  const known = errands.get(command.id);
  if (known) {
    known.update(command);
    return known;
  }
  const errand = new Errand(command, settled);
  errands.set(command.id, errand);
  thread.append(errand.element);
  errand.element.scrollIntoView({ block: "start", behavior: "smooth" });
  return errand;
}

// A command that was the answer to another one's question comes back under the other one's id.
function settled(errand, command) {
  for (const [id, other] of errands) {
    if (other === errand && id !== command.id) {
      errands.delete(id);
      errand.leave();
      errand.element.remove();
      show(command);
    }
  }
  if (errand.over) loadPast();
}

async function submit(work) {
  const waiting = el("li", { class: "errand pending" }, el("blockquote", { class: "said listening" }, "…"));
  $("welcome").hidden = true;
  thread.append(waiting);
  waiting.scrollIntoView({ block: "end" });
  try {
    show(await work);
  } catch (error) {
    notice("problem", [error instanceof ApiError ? error.message : String(error)], 8000);
  } finally {
    waiting.remove();
    $("welcome").hidden = thread.children.length > 0;
  }
}

$("dock").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  submit(api.say(text, session));
});

$("fresh").addEventListener("click", () => {
  session = fresh();
  errands.forEach((e) => e.leave());
  errands.clear();
  thread.replaceChildren();
  $("welcome").hidden = false;
  $("fresh").hidden = true;
  $("text").focus();
});

// Hold to talk

const talk = $("talk");
const recorder = new Recorder((level) => talk.style.setProperty("--level", level.toFixed(2)), () => release());
let pressed = 0;

async function press() {
  if (recorder.active) return release();
  pressed = performance.now();
  label(true);
  try {
    await recorder.start();
  } catch (error) {
    label(false);
    notice("problem", [error.message], 8000);
  }
}

async function release() {
  if (!recorder.active) return;
  label(false);
  const recording = await recorder.stop();
  if (recording) submit(api.speak(recording, session));
}

// A short tap leaves the microphone on until the next one; a hold ends with the finger.
const lift = () => performance.now() - pressed > TAP_MS && release();

function label(recording) {
  talk.setAttribute("aria-pressed", String(recording));
  $("talk-label").textContent = recording ? "Recording. Let go, or press again, to send" : "Hold to talk";
  document.body.classList.toggle("recording", recording);
  if (!recording) talk.style.setProperty("--level", "0");
  announce(recording ? "Recording" : "");
}

talk.addEventListener("pointerdown", (e) => {
  if (e.button !== 0) return;
  talk.setPointerCapture(e.pointerId);
  press();
});
talk.addEventListener("pointerup", lift);
talk.addEventListener("pointercancel", lift);
talk.addEventListener("contextmenu", (e) => e.preventDefault());
talk.addEventListener("keydown", (e) => {
  if (e.key !== " " && e.key !== "Enter") return;
  e.preventDefault();
  if (!e.repeat) press();
});
talk.addEventListener("keyup", (e) => (e.key === " " || e.key === "Enter") && lift());
document.addEventListener("keydown", async (e) => {
  if (e.key !== "Escape" || !recorder.active) return;
  label(false);
  await recorder.stop(); // and nothing is sent
});

// Notices and health

function notice(kind, texts, forMs = 0) {
  const id = `${kind}:${texts.join("|")}`;
  if ($("notices").querySelector(`[data-id="${CSS.escape(id)}"]`) || sessionStorage.getItem("seen") === id) return;
  const dismiss = () => {
    box.remove();
    if (kind !== "problem") sessionStorage.setItem("seen", id);
  };
  const close = el("button", { class: "quiet", type: "button", "aria-label": "Dismiss", onclick: dismiss }, "×");
  const lines = el("ul", {}, ...texts.map((text) => el("li", {}, text)));
  const box = el("div", { class: `notice ${kind}`, role: kind === "problem" ? "alert" : "note", "data-id": id }, lines, close);
  $("notices").append(box);
  if (forMs) setTimeout(() => box.remove(), forMs);
}

async function checkHealth() {
  try {
    const health = await api.health();
    const ready = health.status === "ready";
    $("health").textContent = ready ? "" : "starting…";
    $("health").dataset.state = health.status;
    $("notices").querySelectorAll(".health-note").forEach((n) => n.remove());
    if (!ready) return void setTimeout(checkHealth, 1500);
    if (health.notices.length) notice("info health-note", health.notices);
    if (!health.speech.ready && !health.speech.problem) setTimeout(checkHealth, 3000); // its notice goes away
  } catch (error) {
    $("health").dataset.state = "away";
    $("health").textContent = "not reachable";
    if (error.status === 401) notice("problem", [error.message]);
    else setTimeout(checkHealth, 3000);
  }
}

// Examples and history

async function loadExamples() {
  const { tools } = await api.tools();
  const examples = tools.flatMap((t) => t.examples.slice(0, 1)).filter((e) => e.length > 20);
  const shown = ["make a GIF of my five most recent photos and send it to Alice", ...examples].slice(0, 4);
  $("examples").replaceChildren(...shown.map((text) => {
    const use = () => { $("text").value = text; $("text").focus(); };
    return el("li", {}, el("button", { type: "button", onclick: use }, text));
  }));
}

async function loadPast() {
  const commands = await api.history();
  $("no-past").hidden = commands.length > 0;
  $("past").replaceChildren(...commands.map((c) => {
    const taken = el("time", { datetime: c.created, title: new Date(c.created).toLocaleString() }, moment(c.created));
    const line = el("span", { class: "past-line" }, el("span", { class: "dot" }), statusText(c.status), taken);
    const open = async () => show(await api.command(c.id)).element.scrollIntoView({ block: "start", behavior: "smooth" });
    return el("li", { "data-status": c.status }, el("button", { type: "button", onclick: open }, el("span", { class: "past-text" }, c.transcript?.text ?? "…"), line));
  }));
  return commands;
}

$("history-toggle").addEventListener("click", () => {
  const open = $("history").hidden;
  $("history").hidden = !open;
  $("history-toggle").setAttribute("aria-expanded", String(open));
  if (open) loadPast().then(() => $("history-title").focus());
});

async function begin() {
  checkHealth();
  loadExamples().catch(() => {});
  const [past, mine] = await Promise.all([loadPast(), api.conversation(session)]).catch(() => [[], []]);
  for (const c of mine.reverse()) show(c); // what this tab has begun stays in sight after a reload
  const waiting = past.filter((c) => c.question && !errands.has(c.id)).length;
  if (waiting) notice("info", [`${waiting === 1 ? "An earlier errand waits" : `${waiting} earlier errands wait`} for your word: see History.`]);
}

begin();
