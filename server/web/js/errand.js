// One command on the page: what was said, its plan as it runs, its question, its reply.

import { api, follow } from "./api.js";
import { announce, el } from "./dom.js";
import { PlanView } from "./plan.js";
import { ENDED, duration, statusText } from "./words.js";

const SYNC = new Set(["plan", "status", "question", "reply", "transcript"]);

export class Errand {
  // `changed(errand, command)` is called whenever its state is known better.
  constructor(command, changed = () => {}) {
    this.changed = changed;
    this.said = el("blockquote", { class: "said" });
    this.heard = el("p", { class: "heard" });
    this.plan = new PlanView();
    this.question = el("section", { class: "question", hidden: true });
    this.problem = el("p", { class: "problem", role: "alert" }); // below a question, or below an errand without one
    this.reply = el("p", { class: "reply" });
    this.foot = el("footer", { class: "foot" });
    this.element = el("li", { class: "errand" }, this.said, this.heard, this.plan.element, this.question, this.problem, this.reply, this.foot);
    this.update(command);
  }

  // Hears of a running errand by its events. One that waits for an answer, perhaps for days, is looked at now and then:
  // a browser opens few connections to one service.
  #follow(asks) {
    if (this.over || asks) this.leave();
    else this.stop ??= follow(this.id, (type, data) => this.#event(type, data), () => this.#lost());
    clearInterval(this.poll);
    if (asks && !this.over) this.#look();
  }

  #look() {
    this.poll = setInterval(() => this.sync().catch(() => {}), 2000);
  }

  // The events have ended: sees how it stands until the service says so, which follows it again if it still runs.
  #lost() {
    this.leave();
    this.#look();
  }

  // Hears no more of it.
  leave() {
    clearInterval(this.poll);
    this.stop?.();
    this.stop = null;
  }

  get over() {
    return ENDED.has(this.status);
  }

  // Shows a command as the service describes it.
  update(command) {
    this.id = command.id;
    this.status = command.status;
    this.element.dataset.status = command.status;
    this.#transcript(command.transcript);
    if (command.plan?.steps.length) this.plan.show(command.plan);
    for (const step of command.steps ?? []) this.plan.step(step);
    this.#ask(command.question);
    this.#answer(command);
    this.#previews(command);
    this.#follow(Boolean(command.question));
    this.changed(this, command);
  }

  async sync() {
    this.update(await api.command(this.id));
  }

  #event(type, data) {
    if (type === "step" || type === "progress") {
      this.plan.step(data);
      if (type === "step") announce(this.plan.describe(data));
    }
    if (type === "transcript") this.#transcript(data);
    if (type === "plan") this.plan.show(data);
    if (SYNC.has(type)) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.sync().catch(() => {}), 20);
    }
  }

  #transcript(transcript) {
    this.said.textContent = transcript?.text ?? "…";
    this.said.classList.toggle("listening", !transcript);
    if (!transcript || transcript.engine === "text") return;
    const sure = transcript.confidence >= 0.8 ? "" : ", not quite sure";
    this.heard.textContent = `heard by ${transcript.engine}${sure}`;
  }

  #ask(question) {
    const key = question ? JSON.stringify(question) : null;
    if (key === this.asked) return;
    this.asked = key;
    this.problem.textContent = "";
    this.question.hidden = !question;
    if (!question) return this.question.replaceChildren();
    const heading = el("h3", { tabindex: "-1" }, question.text);
    const parts = { confirm: confirmation, choose: choices, missing: blank }[question.kind](question, (a) => this.#give(a));
    this.question.setAttribute("aria-label", "Question");
    this.question.replaceChildren(heading, ...parts);
    announce(question.text);
    if (!document.activeElement?.value) heading.focus({ preventScroll: true }); // who is writing keeps on writing
    this.question.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async #give(answer) {
    const buttons = this.element.querySelectorAll(".question button, .question input, .foot button");
    const focused = document.activeElement;
    buttons.forEach((b) => { b.disabled = true; });
    this.problem.textContent = "";
    try {
      const question = this.question.querySelector("h3")?.textContent;
      this.update(await (answer === null ? api.cancel(this.id) : api.answer(this.id, { ...answer, question })));
    } catch (error) {
      this.problem.textContent = error.message;
      if (error.status === 404 || error.status === 409) this.sync().catch(() => {}); // another page was faster
    } finally {
      buttons.forEach((b) => { b.disabled = false; });
      // A disabled element loses the focus: back to it, unless the user has gone elsewhere.
      if (document.activeElement === document.body && this.element.contains(focused)) focused.focus();
    }
  }

  #answer(command) {
    if (!this.over) {
      const cancel = el("button", { class: "quiet", type: "button", onclick: () => this.#give(null) }, "Cancel");
      if (!this.foot.querySelector("button")) this.foot.replaceChildren(el("span", { class: "spin" }), el("span", {}, "working"), cancel);
      this.foot.classList.toggle("asking", Boolean(command.question));
      return;
    }
    if (this.reply.textContent !== command.reply) {
      this.reply.textContent = command.reply;
      announce(command.reply);
    }
    const t = command.timings ?? {};
    const parts = [["heard in", t.speech_ms], ["planned in", t.plan_ms], ["run in", t.run_ms]];
    const times = parts.filter(([, ms]) => ms).map(([what, ms]) => `${what} ${duration(ms)}`).join(" · ");
    this.foot.replaceChildren(el("span", { class: "status" }, statusText(command.status)), el("span", {}, times));
  }

  async #previews(command) {
    const found = (command.steps ?? []).some((s) => s.status === "done" && s.tool.startsWith("photos.") && !this.plan.steps.get(s.id)?.strip);
    if (!found || this.looking) return;
    this.looking = true;
    try {
      const { steps } = await api.previews(this.id);
      for (const { id, urls, count } of steps) this.plan.steps.get(id)?.previews(urls, count - urls.length);
    } catch { /* pictures are an ornament */ } finally {
      this.looking = false;
    }
  }
}

function confirmation(question, give) {
  const verb = /^Send\b/.test(question.text) ? ["Send", "Don’t send"] : ["Yes, go ahead", "No"];
  return [el("div", { class: "answers" },
    el("button", { class: "primary", type: "button", onclick: () => give({ confirm: true }) }, verb[0]),
    el("button", { type: "button", onclick: () => give({ confirm: false }) }, verb[1]))];
}

function choices(question, give) {
  const buttons = question.choices.map((text, i) =>
    el("li", {}, el("button", { type: "button", onclick: () => give({ choice: i + 1 }) }, text)));
  return [el("ol", { class: "choices" }, ...buttons), ...blank(question, give, "Or say it in other words")];
}

function blank(question, give, label = "Your answer") {
  const input = el("input", { type: "text", "aria-label": label, placeholder: label, maxlength: "4000", enterkeyhint: "send" });
  const submit = (e) => {
    e.preventDefault();
    if (input.value.trim()) give({ text: input.value.trim() });
  };
  return [el("form", { class: "answers", onsubmit: submit }, input, el("button", { class: "primary", type: "submit" }, "Answer"),
    el("button", { type: "button", onclick: () => give(null) }, "Never mind"))];
}
