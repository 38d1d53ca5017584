// The service's HTTP interface. The cookie that came with the page's address is the only key; no token is kept here.

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new ApiError(0, "The assistant does not answer. Is it still running?");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  if (answer.status === 401) throw new ApiError(401, "Open the address that “assistant serve” has printed: it holds your key.");
  throw new ApiError(answer.status, body.detail || body.title || `The assistant answered ${answer.status}.`);
}

function post(path, body, headers = {}) {
  const json = body !== undefined && !(body instanceof FormData);
  if (json) headers["Content-Type"] = "application/json";
  return request(path, { method: "POST", headers, body: json ? JSON.stringify(body) : body });
}

const once = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

// Sends the same thing as often as it is called. After an attempt of which nobody knows whether it arrived, the next
// one has the same key, so that nothing is done twice; after an answer it has a new one.
export function attempts(send) {
  let key = once();
  return async () => {
    try {
      const command = await send({ "Idempotency-Key": key });
      key = once();
      return command;
    } catch (error) {
      if (error.status > 0 && error.status < 500) key = once();
      throw error;
    }
  };
}

export const api = {
  health: () => request("/health"),
  tools: () => request("/tools"),
  command: (id) => request(`/command/${encodeURIComponent(id)}`),
  history: (limit = 40) => request(`/command?limit=${limit}`),
  conversation: (session) => request(`/command?limit=20&session=${session}`),
  previews: (id) => request(`/command/${encodeURIComponent(id)}/previews`),
  say: (text, session) => attempts((key) => post("/command", { text, session, wait: 0 }, key)),
  speak(recording, session) {
    const form = new FormData();
    form.set("session", session);
    form.set("wait", "0");
    form.set("audio", recording, `command.${recording.type.includes("mp4") ? "m4a" : "webm"}`);
    return attempts((key) => post("/command", form, key));
  },
  answer: (id, answer) => post(`/command/${encodeURIComponent(id)}/answer`, { ...answer, wait: 0 }),
  cancel: (id) => post(`/command/${encodeURIComponent(id)}/cancel`),
};

const EVENTS = ["transcript", "plan", "status", "step", "progress", "question", "effect", "reply"];

// Follows a command; `heard(type, data)` for each event, replayed from the start; `lost()` when the browser gives up,
// as it does at any answer but 200, such as 503 of a service that starts. Returns a function that ends it.
export function follow(id, heard, lost) {
  const source = new EventSource(`/command/${encodeURIComponent(id)}/events`);
  for (const type of EVENTS) source.addEventListener(type, (e) => heard(type, JSON.parse(e.data)));
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && lost());
  return () => source.close();
}

// Calls `due(reminder)` for each reminder as it becomes due, and first for those that this browser has not shown yet.
export function remind(due) {
  const shown = localStorage.getItem("reminded");
  const source = new EventSource(`/reminders/events${shown ? `?after=${shown}` : ""}`);
  source.addEventListener("reminder", (e) => {
    localStorage.setItem("reminded", e.lastEventId);
    due(JSON.parse(e.data));
  });
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && setTimeout(remind, 5000, due));
}
