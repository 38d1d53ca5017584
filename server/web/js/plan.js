// The plan as a small graph: a row for each depth, steps that may run together side by side, lines from source to use.

import { el, svg } from "./dom.js";
import { bytes, duration, phrases, sources, title } from "./words.js";

const MARKS = {
  done: "M5 12.5l4.5 4.5L19 7.5",
  failed: "M7 7l10 10M17 7L7 17",
  cancelled: "M6 12h12",
  skipped: "M6 12h12",
};
const WORDS = { waiting: "waits", running: "is running", done: "done", failed: "failed", skipped: "skipped", cancelled: "cancelled" };

export class PlanView {
  constructor() {
    this.element = el("div", { class: "plan" });
    this.lines = svg("svg", { class: "lines", "aria-hidden": "true" });
    this.steps = new Map();
    this.hash = null;
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  // Lays the steps out; the same plan twice changes nothing.
  show(plan) {
    const key = JSON.stringify(plan.steps);
    if (key === this.hash) return;
    this.hash = key;
    this.steps.clear();
    const rows = [];
    plan.steps.forEach((step, index) => {
      const from = sources(step).filter((n) => this.steps.has(n));
      const depth = Math.max(-1, ...from.map((n) => this.steps.get(n).depth)) + 1;
      const node = new StepView(index + 1, step);
      this.steps.set(index + 1, Object.assign(node, { from, depth }));
      (rows[depth] ??= el("ol", { class: "row", role: "presentation" })).append(node.element);
    });
    this.element.replaceChildren(this.lines, ...rows);
    this.#draw();
  }

  step(data) {
    this.steps.get(data.id)?.update(data);
    this.#draw();
  }

  // Says in words what changed, for screen readers.
  describe(data) {
    const step = this.steps.get(data.id);
    if (!step || data.status === "waiting") return "";
    return `Step ${data.id} of ${this.steps.size}, ${title(step.tool)}: ${WORDS[step.status]}. ${data.summary || data.error || ""}`;
  }

  #draw() {
    const area = this.element.getBoundingClientRect();
    if (!area.width) return;
    this.lines.setAttribute("viewBox", `0 0 ${area.width} ${area.height}`);
    const paths = [];
    for (const step of this.steps.values()) {
      for (const n of step.from) {
        const a = this.steps.get(n).anchor(area, "bottom");
        const b = step.anchor(area, "top");
        const bend = Math.max(10, (b.y - a.y) / 2);
        const d = `M${a.x} ${a.y}C${a.x} ${a.y + bend} ${b.x} ${b.y - bend} ${b.x} ${b.y}`;
        const state = this.steps.get(n).status === "done" ? "line done" : "line";
        paths.push(svg("path", { d, class: step.status === "running" ? `${state} flow` : state }));
      }
    }
    this.lines.replaceChildren(...paths);
  }
}

class StepView {
  constructor(n, step) {
    this.tool = step.tool;
    this.status = "waiting";
    this.mark = el("span", { class: "mark", "aria-hidden": "true" }, String(n));
    this.note = el("p", { class: "note" });
    this.time = el("span", { class: "time" });
    this.state = el("span", { class: "sr" }, " waits");
    this.media = el("div", { class: "media" });
    this.bar = el("progress", { class: "progress", max: "1", hidden: true, "aria-label": "Progress" });
    const told = phrases(step).map(({ name, value }) =>
      el("li", {}, el("span", { class: "key" }, name), value && el("span", { class: "value" }, String(value))));
    this.element = el("li", { class: "step waiting", title: step.tool },
      this.mark,
      el("div", { class: "body" },
        el("h3", {}, title(step.tool), this.state, this.time),
        told.length ? el("ul", { class: "told", "aria-label": "Told" }, ...told) : null,
        this.note, this.bar, this.media));
  }

  update({ status, summary, error, ms, artifacts, fraction, text }) {
    if (fraction !== undefined) {
      this.bar.hidden = this.status !== "running";
      this.bar.value = fraction;
      this.note.textContent = text;
      return;
    }
    if (status) {
      this.status = status;
      this.element.className = `step ${status}`;
      this.state.textContent = ` ${WORDS[status]}`;
      this.bar.hidden = true;
      if (MARKS[status]) this.mark.replaceChildren(svg("svg", { viewBox: "0 0 24 24" }, svg("path", { d: MARKS[status] })));
      this.note.textContent = "";
    }
    if (summary || error) this.note.textContent = summary || error;
    if (ms) this.time.textContent = duration(ms);
    for (const artifact of artifacts ?? []) this.#show(artifact);
    if (artifacts?.length) this.note.textContent = ""; // the files say it themselves
  }

  // Small pictures of what a step has found, which are not files of its own.
  previews(urls, more) {
    if (this.strip || !urls.length) return;
    const pictures = urls.map((url, i) => el("li", {}, el("img", { src: url, alt: `Photo ${i + 1}`, loading: "lazy", decoding: "async" })));
    if (more > 0) pictures.push(el("li", { class: "more" }, `+${more}`));
    this.strip = el("ul", { class: "strip" }, ...pictures);
    this.media.prepend(this.strip);
  }

  #show(artifact) {
    if (this.media.querySelector(`[data-id="${CSS.escape(artifact.id)}"]`)) return;
    const url = artifact.url ?? `/artifacts/${encodeURIComponent(artifact.id)}`;
    const caption = el("figcaption", {}, el("a", { href: url, download: artifact.name }, artifact.name), ` ${bytes(artifact.bytes)}`);
    let content = null;
    if (artifact.media_type.startsWith("image/")) content = el("img", { src: url, alt: artifact.name, decoding: "async" });
    else if (artifact.media_type.startsWith("video/")) content = el("video", { src: url, controls: true, loop: true, muted: true, playsinline: true });
    this.media.classList.toggle("many", this.media.querySelectorAll("figure").length > 0);
    this.media.append(el("figure", { "data-id": artifact.id }, content, caption));
  }

  anchor(area, side) {
    const box = this.mark.getBoundingClientRect();
    const card = this.element.getBoundingClientRect();
    return { x: box.x + box.width / 2 - area.x, y: (side === "top" ? card.top + 1 : card.bottom - 1) - area.y };
  }
}
