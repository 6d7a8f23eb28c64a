// Keeps a page new: hears the streams that <main> names, fetches the page again, and changes what differs. Focus, scroll
// position, open parts and what is being typed stay as they are. Everything works without it.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const main = byId("main");

  // Times, by the rules of time.rs.
  const span = (ms) => {
    ms = Math.max(0, ms);
    const s = Math.floor(ms / 1000);
    const two = (whole, unit, part, smaller) => part ? `${whole} ${unit} ${part} ${smaller}` : `${whole} ${unit}`;
    if (s === 0) return `${Math.floor(ms)} ms`;
    if (s < 10 && ms % 1000 >= 100) return `${s}.${Math.floor((ms % 1000) / 100)} s`;
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
    if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
    return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
  };
  const whole = (ms) => (ms < 10000 ? ms - (ms % 1000) : ms);
  const local = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  const clock = new Intl.DateTimeFormat(undefined, {
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
  });
  const say = (element, words) => {
    if (element.textContent !== words) element.textContent = words;
  };
  const tick = (within) => {
    const now = Date.now();
    for (const at of within.querySelectorAll("[data-ago]")) {
      const apart = now - Number(at.dataset.ago);
      say(at, apart >= 1000 ? `${span(whole(apart))} ago` : apart <= -1000 ? `in ${span(whole(-apart))}` : "now");
    }
    for (const since of within.querySelectorAll("[data-since]")) {
      say(since, span(whole(now - Number(since.dataset.since))));
    }
  };
  const localize = (within) => {
    for (const at of within.querySelectorAll("[data-at]")) {
      at.title = at.textContent;
      at.textContent = local.format(new Date(Number(at.dataset.at)));
    }
    for (const at of within.querySelectorAll("[data-clock]")) {
      const time = new Date(Number(at.dataset.clock));
      at.title = local.format(time);
      at.textContent = clock.format(time);
    }
    for (const at of within.querySelectorAll("[data-ago]")) {
      at.title = local.format(new Date(Number(at.dataset.ago)));
    }
    tick(within);
  };

  // Makes `old` like `next` and keeps every element that is in both.
  const alike = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id || "") === (other.id || "");
  const morph = (old, next) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
      return;
    }
    if (old.hasAttribute("data-own") || old.isEqualNode(next)) return;
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (name !== "open" && name !== "autofocus" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const kept = new Set([...next.children].map((child) => child.id).filter(Boolean));
    let at = old.firstChild;
    for (const child of [...next.childNodes]) {
      while (at && at.id && !kept.has(at.id)) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
      if (at && alike(at, child)) {
        morph(at, child);
        at = at.nextSibling;
        continue;
      }
      const moved = child.id && [...old.children].find((other) => alike(other, child));
      if (moved) {
        old.insertBefore(moved, at);
        morph(moved, child);
        continue;
      }
      const fresh = document.importNode(child, true);
      if (at && !at.id) {
        const replaced = at;
        at = at.nextSibling;
        replaced.replaceWith(fresh);
      } else {
        old.insertBefore(fresh, at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  // Fetching anew, one at a time and not too often.
  const REST_MS = 400;
  let fetching = false;
  let again = false;
  let timer = 0;
  let last = 0;
  let rest = REST_MS;
  let lost = false;
  const every = () => Number(main.dataset.every || 0);
  const plan = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(refresh, ms);
  };
  const soon = () => {
    if (fetching) again = true;
    else plan(Math.max(0, last + rest - Date.now()));
  };
  async function refresh() {
    if (!live() || fetching) return;
    fetching = true;
    again = false;
    clearTimeout(timer);
    const begun = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html", "x-follows-log": "1" }, redirect: "error" });
      if (answer.status === 401) return location.reload();
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = next.getElementById("main");
      if (answer.ok && fresh) {
        localize(fresh);
        for (const id of ["health", "main"]) {
          if (byId(id) && next.getElementById(id)) morph(byId(id), next.getElementById(id));
        }
        document.title = next.title;
        lost = false;
      } else {
        lost = true;
      }
    } catch {
      lost = true;
    }
    fetching = false;
    last = Date.now();
    word();
    follow();
    // A slow engine is asked less often.
    rest = Math.max(lost ? 3000 : REST_MS, 4 * (last - begun));
    if (again) soon();
    else if (every()) plan(Math.max(rest, every()));
  }

  // Streams: as long as the page is seen, for a browser has six connections to a server.
  let streams = [];
  const end = () => {
    streams.forEach((stream) => stream.close());
    streams = [];
  };
  function follow() {
    const wanted = (main.dataset.follow || "").split(" ").filter(Boolean);
    if (!live() || wanted.length === 0) return end();
    if (streams.length > 0) return;
    const log = document.querySelector("[data-log]");
    if (log) streams.push(listen(log));
    for (const url of wanted) {
      const stream = new EventSource(url);
      stream.addEventListener("workflow.state_changed", soon);
      stream.addEventListener("task.state_changed", soon);
      stream.addEventListener("end", () => { stream.close(); soon(); });
      streams.push(stream);
    }
  }

  // The log. Its stream begins with all that was kept, which takes the place of what stood there.
  const add = (parent, name, kind, words) => {
    const child = parent.appendChild(document.createElement(name));
    child.className = kind;
    child.textContent = words;
    parent.append(" ");
    return child;
  };
  const TONES = { debug: "debug", info: "info", warn: "warn", error: "bad" };
  function line(entry) {
    const item = document.createElement("li");
    if (entry.timestamp) {
      const time = new Date(entry.timestamp);
      const at = add(item, "time", "", clock.format(time));
      at.dateTime = entry.timestamp;
      at.title = local.format(time);
    }
    const level = entry.level.replace("LOG_LEVEL_", "").toLowerCase();
    add(item, "span", `level ${TONES[level] || "info"}`, level);
    const [, , , workflow, kind] = location.pathname.split("/");
    if (entry.task_id && kind !== "tasks") {
      add(item, "a", "task", entry.task_id).href = `/ui/workflows/${workflow}/tasks/${encodeURIComponent(entry.task_id)}`;
    }
    add(item, "span", "message", entry.message);
    for (const [name, value] of Object.entries(entry.fields || {})) {
      if (name !== "sequence") add(item, "span", "more", `${name}=${value}`);
    }
    return item;
  }
  function listen(log) {
    const lines = log.querySelector(".lines");
    const stream = new EventSource(log.dataset.log);
    let first = true;
    stream.addEventListener("open", () => { first = true; });
    stream.addEventListener("log", (event) => {
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 50;
      if (first) {
        lines.replaceChildren();
        say(log.querySelector(".help"), "");
        first = false;
      }
      lines.append(line(JSON.parse(event.data)));
      if (lines.children.length > Number(log.dataset.max)) lines.firstElementChild.remove();
      if (atEnd) log.scrollTop = log.scrollHeight;
    });
    stream.addEventListener("end", () => stream.close());
    return stream;
  }

  // The button that holds it all.
  const button = byId("live");
  let held = sessionStorage.getItem("held") === "yes";
  const live = () => Boolean(button) && !held && !document.hidden;
  function word() {
    if (!button) return;
    button.setAttribute("aria-pressed", String(!held));
    say(byId("live-word"), held ? "Held" : lost ? "No answer; trying again" : "Updates by itself");
  }
  if (button) {
    button.hidden = false;
    byId("by-hand").hidden = true;
    button.addEventListener("click", () => {
      held = !held;
      sessionStorage.setItem("held", held ? "yes" : "no");
      word();
      if (held) end();
      else refresh();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) end();
      else refresh();
    });
    addEventListener("pagehide", end);
    addEventListener("pageshow", (event) => event.persisted && refresh());
    setInterval(() => document.hidden || tick(document), 1000);
    word();
    follow();
    if (every()) plan(every());
  }
  localize(document);
  for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;

  // A graph that is higher than its place begins in the middle, where its first and last boxes are.
  const drawing = document.querySelector(".drawing");
  if (drawing) drawing.scrollTop = (drawing.scrollHeight - drawing.clientHeight) / 2;

  // Fits the graph to the page, as long as the tab lives.
  const fit = byId("fit");
  if (fit) {
    fit.checked = sessionStorage.getItem("fit") === "yes";
    fit.addEventListener("change", () => sessionStorage.setItem("fit", fit.checked ? "yes" : "no"));
  }

  // An open confirmation closes by Escape, or when something else is pressed.
  const close = (except) => {
    for (const open of document.querySelectorAll("details.confirm[open]")) {
      if (!open.contains(except)) open.open = false;
    }
  };
  document.addEventListener("click", (event) => close(event.target));
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && event.target.closest && event.target.closest("details.confirm[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
})();
