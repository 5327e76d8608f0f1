// Keeps the page current: the server sends a number for each change, and the view is fetched again. Without this script the
// page works, and is as old as its loading.

const main = document.getElementById("main");
const live = document.getElementById("live");
const lost = document.getElementById("lost");

/** Makes `now` like `next`, and touches only what differs, so that focus and selection stay. */
function update(now, next) {
  for (const { name, value } of [...next.attributes]) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    // The reader opened or closed it.
    if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  }
  const [old, fresh] = [[...now.childNodes], [...next.childNodes]];
  fresh.forEach((child, place) => {
    const there = old[place];
    if (!there) {
      now.append(child);
    } else if (there.nodeType !== child.nodeType || there.nodeName !== child.nodeName) {
      there.replaceWith(child);
    } else if (child.nodeType === Node.ELEMENT_NODE) {
      if (!(there.contains(document.activeElement) && there.matches("form"))) update(there, child);
    } else if (there.data !== child.data) {
      there.data = child.data;
    }
  });
  old.slice(fresh.length).forEach((child) => child.remove());
}

let fetching = false;
let again = false;

async function refresh() {
  if (fetching || document.hidden) {
    again = true;
    return;
  }
  fetching = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { "x-part": "main" }, redirect: "error" });
    if (answer.status === 401) return location.reload();
    if (answer.ok) {
      const next = document.createElement("main");
      next.innerHTML = await answer.text();
      for (const { name, value } of main.attributes) next.setAttribute(name, value);
      update(main, next);
      ages();
      say("live", "live");
    }
  } catch {
    // The stream of events says that the connection is lost.
  } finally {
    fetching = false;
    if (again) refresh();
  }
}

function say(state, text) {
  if (live.dataset.state !== state) {
    live.dataset.state = state;
    live.textContent = text;
  }
}

/** Rewrites the ages, as the server does. */
function ages() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
    const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
    const text =
      seconds < 120 ? `${seconds}s`
      : seconds < 600 ? `${minutes}m${seconds % 60}s`
      : seconds < 10800 ? `${minutes}m`
      : seconds < 28800 ? `${hours}h${minutes % 60}m`
      : seconds < 172800 ? `${hours}h`
      : `${days}d`;
    if (time.textContent !== text) time.textContent = text;
  }
}

function connect() {
  const events = new EventSource("/events");
  events.addEventListener("open", () => {
    lost.hidden = true;
  });
  events.addEventListener("change", refresh);
  events.addEventListener("denied", () => {
    events.close();
    location.reload();
  });
  events.addEventListener("error", () => {
    if (lost.hidden) {
      const since = new Date().toLocaleTimeString();
      lost.textContent = `The connection is lost since ${since}. This is the state of then; it is tried again.`;
      lost.hidden = false;
      say("lost", "not live");
    }
    // A browser gives up after some answers.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

function keys() {
  let went = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      const search = document.getElementById("search");
      if (search) search.focus();
      else location.assign("/clusters#search");
    } else if (went) {
      document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`)?.click();
      went = false;
    } else {
      went = event.key === "g";
    }
  });
  if (location.hash === "#search") document.getElementById("search")?.focus();
}

if (live) {
  connect();
  keys();
  setInterval(ages, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && again) refresh();
  });
  // Empty fields would only make the address longer.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    for (const field of event.target.elements) field.disabled = field.name !== "" && field.value === "";
    setTimeout(() => [...event.target.elements].forEach((field) => (field.disabled = false)));
  });
}
