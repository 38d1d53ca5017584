// The page: a conversation above, the microphone and the text below, history beside, honest notices on top.

import { api, remind } from "./api.js";
import { $, announce, el } from "./dom.js";
import { Errand } from "./errand.js";
import { Recorder } from "./recorder.js";
import { learn, moment, statusText } from "./words.js";

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
  if (errand.over) loadPast().catch(() => {}); // its next opening loads it again
}

// Sends what was said, which `what` calls by name. `putBack()`: is what did not get through before the user again?
async function submit(send, what, putBack = () => false) {
  clearFailures();
  const waiting = el("li", { class: "errand pending" }, el("blockquote", { class: "said listening" }, "…"));
  $("welcome").hidden = true;
  thread.append(waiting);
  waiting.scrollIntoView({ block: "end" });
  const unsent = (error) => failure(error, putBack() ? null : { what, again: () => submit(send, what, putBack) });
  const command = await send().catch(unsent).finally(() => waiting.remove());
  $("welcome").hidden = thread.children.length > 0;
  if (command) show(command);
}

let last = {}; // the sentence sent last: sent again as it is, it is another attempt

$("dock").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  if (last.text !== text || last.session !== session) last = { text, session, send: api.say(text, session) };
  $("text").value = "";
  submit(last.send, `Not sent: “${text}”`, () => {
    if ($("text").value) return false; // there is something new already
    $("text").value = text;
    return true;
  });
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
  clearFailures();
  pressed = performance.now();
  label(true);
  try {
    await recorder.start();
  } catch (error) {
    label(false);
    failure(error);
  }
}

async function release() {
  if (!recorder.active) return;
  label(false);
  const recording = await recorder.stop();
  if (recording) submit(api.speak(recording, session), "Your recording is kept.");
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

// `again`, if given, is what "Send again" does.
function notice(kind, texts, again = null) {
  const problem = kind.startsWith("problem");
  const place = $(problem ? "failures" : "notices"); // failures beside the text, in sight however long the conversation
  const id = `${kind}:${texts.join("|")}`;
  const known = place.querySelector(`[data-id="${CSS.escape(id)}"]`) || sessionStorage.getItem("seen") === id;
  if (known && !again) return; // but each thing to send again has a notice of its own
  const leave = () => {
    if (box.contains(document.activeElement)) talk.focus({ preventScroll: true }); // the keyboard stays on the page
    box.remove();
  };
  const dismiss = () => {
    leave();
    if (!problem) sessionStorage.setItem("seen", id);
  };
  const resend = () => { leave(); again(); };
  const retry = again && el("button", { type: "button", onclick: resend }, "Send again");
  const close = el("button", { class: "quiet", type: "button", "aria-label": "Dismiss", onclick: dismiss }, "×");
  const lines = el("ul", {}, ...texts.map((text) => el("li", {}, text)));
  const box = el("div", { class: `notice ${kind}`, role: problem ? "alert" : "note", "data-id": id }, lines, retry, close);
  place.append(box);
}

function due({ text, when }) {
  const told = `Reminder (${new Date(when).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}): ${text}`;
  notice("reminder", [told]);
  announce(told);
}

// What went wrong stays in sight until it is dismissed or the next attempt; what can be sent again stays longer.
function failure(error, unsent = null) {
  if (unsent) notice("problem", [error.message, unsent.what], unsent.again);
  else notice("problem attempt", [error.message]);
}

const clearFailures = () => $("failures").querySelectorAll(".attempt").forEach((n) => n.remove());

async function checkHealth() {
  try {
    const health = await api.health();
    const ready = health.status === "ready";
    $("health").textContent = ready ? "" : "starting…";
    $("health").dataset.state = health.status;
    $("notices").querySelectorAll(".health-note").forEach((n) => n.remove());
    if (!ready) return void setTimeout(checkHealth, 1500);
    if (!loaded) load().catch(failure);
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
  learn(tools);
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
    const open = () => openPast(c.id).catch(failure);
    return el("li", { "data-status": c.status }, el("button", { type: "button", onclick: open }, el("span", { class: "past-text" }, c.transcript?.text ?? "…"), line));
  }));
  return commands;
}

async function openPast(id) {
  clearFailures();
  const { element } = show(await api.command(id));
  if (!matchMedia("(width >= 70rem)").matches) toggleHistory(false); // there it lies over the conversation
  element.tabIndex = -1;
  if (!element.contains(document.activeElement)) element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "start", behavior: "smooth" });
}

function toggleHistory(open) {
  $("history").hidden = !open;
  $("history-toggle").setAttribute("aria-expanded", String(open));
  if (!open) return;
  $("history-title").focus();
  loadPast().catch(failure);
}

$("history-toggle").addEventListener("click", () => toggleHistory($("history").hidden));

// Loads what the page begins with, once the service is ready; the tools first, which say what a plan's words mean.
let loaded = false;
async function load() {
  loaded = true;
  remind(due);
  await loadExamples().catch(() => {});
  const [past, mine] = await Promise.all([loadPast(), api.conversation(session)]);
  for (const c of mine.reverse()) show(c); // what this tab has begun stays in sight after a reload
  const waiting = past.filter((c) => c.question && !errands.has(c.id)).length;
  if (waiting) notice("info", [`${waiting === 1 ? "An earlier errand waits" : `${waiting} earlier errands wait`} for your word: see History.`]);
}

checkHealth();
