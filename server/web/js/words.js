// How tools, arguments and sizes are called on the page.

const TITLES = {
  "photos.select": "Find the photos",
  "photos.edit": "Edit the photos",
  "photos.add_to_album": "Add to the album",
  "gif.create": "Make the GIF",
  "video.create": "Make the video",
  "collage.create": "Make the collage",
  "messages.send": "Send the message",
  "contacts.find": "Look up the contact",
  "reminders.add": "Set the reminder",
  "notes.add": "Take the note",
};

const STATUS = {
  running: "Running",
  needs_confirmation: "Waits for your word",
  needs_answer: "Has a question",
  done: "Done",
  failed: "Failed",
  refused: "Not possible",
  cancelled: "Cancelled",
  planned: "Planned",
};

export const ENDED = new Set(["done", "failed", "refused", "cancelled", "planned"]);

export const title = (tool) => TITLES[tool] ?? sentence(tool.replace(/[._]+/g, " "));
export const statusText = (status) => STATUS[status] ?? status;

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const REFERENCE = /^([$^])([1-9]\d?)(?:\.[A-Za-z_]\w*)?$/; // as Reference.parse in assistant/plugin/plan.py

// The arguments that take words or numbers; "$5" there is what the user said. Until GET /tools has been read, or for
// a tool that is gone, none is known and the form of the value decides.
const literal = new Map();

export function learn(tools) {
  for (const { name, parameters } of tools) {
    const values = Object.entries(parameters.properties).filter(([, p]) => (p.items ?? p).format !== "reference");
    literal.set(name, new Set(values.map(([argument]) => argument)));
  }
}

// The reference that a value of an argument is, or null.
function reference(tool, name, value) {
  return typeof value === "string" && !literal.get(tool)?.has(name) ? REFERENCE.exec(value) : null;
}

// What a step was told, as short phrases; references to earlier steps are edges of the graph and not repeated.
export function phrases({ tool, args }) {
  const out = [];
  for (const [name, value] of Object.entries(args)) {
    const values = (Array.isArray(value) ? value : [value]).filter((v) => v !== null);
    if (values.some((v) => reference(tool, name, v)?.[1] === "^")) out.push({ name, value: "from before" });
    const said = values.filter((v) => !reference(tool, name, v));
    if (!said.length || said[0] === false) continue;
    out.push({ name: name.replace(/_/g, " "), value: said[0] === true ? "" : said.join(", ") });
  }
  return out;
}

// The steps that a step takes its input from.
export function sources({ tool, args }) {
  const found = Object.entries(args).flatMap(([name, value]) => [value].flat().map((v) => reference(tool, name, v)));
  return [...new Set(found.filter((m) => m?.[1] === "$").map((m) => Number(m[2])))];
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function bytes(count) {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

// A time in the past: the clock alone when it is of today.
export function moment(iso, now = new Date()) {
  const when = new Date(iso);
  const clock = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (when.toDateString() === now.toDateString()) return clock;
  const year = when.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return `${when.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short", year })}, ${clock}`;
}
