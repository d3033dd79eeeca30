// What makes the pages live. Without it they work as well: every deed is a form, every list a page.
"use strict";

const state = document.querySelector("[data-live-state]");

function say(how, words) {
  if (!state || state.dataset.liveState === how) return;
  state.dataset.liveState = how;
  state.querySelector(".words").textContent = words;
}

// ---- live updates: the server says that something has changed, and the page is loaded again, piece by piece

let seen = document.body.dataset.seen;
let wanted = null;
let loading = false;

async function refresh() {
  if (loading || wanted === null || wanted === seen || document.hidden) return;
  loading = true;
  const aim = wanted;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelectorAll("[data-live]").forEach((old) => swap(old, fresh.getElementById(old.id)));
    seen = fresh.body.dataset.seen;
    if (seen !== aim && wanted === aim) wanted = seen; // it has moved on meanwhile: the next word will tell
    tick();
  } catch {
    say("lost", "not live");
    setTimeout(refresh, 3000);
  } finally {
    loading = false;
  }
  if (wanted !== seen) setTimeout(refresh, 250);
}

function swap(old, fresh) {
  if (!fresh) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  old.querySelectorAll("details[open][id]").forEach((one) => fresh.querySelector(`#${CSS.escape(one.id)}`)?.setAttribute("open", ""));
  old.querySelectorAll("input[type=checkbox][id]:checked").forEach((one) => {
    const same = fresh.querySelector(`#${CSS.escape(one.id)}`);
    if (same) same.setAttribute("checked", "");
  });
  if (old.innerHTML === fresh.innerHTML) return;
  const places = [...old.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  const kept = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : null);
  old.replaceChildren(...fresh.childNodes);
  [...old.querySelectorAll(".scroll")].forEach((one, place) => places[place] && one.scrollTo(...places[place]));
  if (kept) old.querySelector(kept)?.focus({ preventScroll: true });
  count();
}

function listen() {
  const topic = document.body.dataset.topic;
  if (!topic) return;
  const stream = new EventSource(topic);
  stream.onopen = () => say("on", "live");
  stream.addEventListener("seen", (event) => {
    say("on", "live");
    wanted = event.data;
    refresh();
  });
  stream.onerror = () => {
    say("lost", "reconnecting");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
  };
  addEventListener("pagehide", () => stream.close());
}

addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", refresh);

// ---- moments: relative ones stay true, and each tells the local time too

function length(seconds) {
  if (seconds < 10) return `${Math.round(seconds)} s`;
  let left = Math.floor(seconds);
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (left >= size) {
      parts.push(`${Math.floor(left / size)} ${unit}`);
      left %= size;
    }
  }
  return parts.slice(0, 2).join(" ");
}

function tick() {
  document.querySelectorAll("time[data-ago]").forEach((one) => {
    const at = new Date(one.dateTime);
    const ago = (Date.now() - at) / 1000;
    one.textContent = ago >= 0 ? `${length(ago)} ago` : `in ${length(-ago)}`;
    one.title = `${at.toLocaleString()} here, ${one.dateTime.slice(0, 19).replace("T", " ")} UTC`;
  });
}

// ---- deeds are asked for in a dialog, over the page that they are about

async function ask(href) {
  const answer = await fetch(href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const form = page.querySelector("section.ask");
  if (!answer.ok || !form) return location.assign(href);
  const dialog = document.createElement("dialog");
  const heading = form.querySelector("h1");
  heading.id = "asked";
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.append(form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("textarea, button")?.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-ask]");
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (link && plain) {
    event.preventDefault();
    ask(link.href).catch(() => location.assign(link.href));
  }
  const close = event.target.closest("[data-close]");
  if (close && close.closest("dialog")) {
    event.preventDefault();
    close.closest("dialog").close();
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => (copy.textContent = "Copied"));
});

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  setTimeout(() => event.target.querySelectorAll("button").forEach((one) => (one.disabled = true)));
});

// ---- choosing among many

function count() {
  const words = document.querySelector("[data-chosen]");
  if (!words) return;
  const chosen = document.querySelectorAll("input[name=item]:checked").length;
  words.textContent = chosen ? `${chosen} chosen` : "None chosen: all that match";
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) document.querySelectorAll("input[name=item]").forEach((one) => (one.checked = event.target.checked));
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  count();
});

document.addEventListener("keydown", (event) => {
  const search = document.getElementById("search");
  if (event.key === "/" && search && !event.target.closest("input, textarea, select, dialog")) {
    event.preventDefault();
    search.focus();
  }
});

// ---- the token that a terminal printed stands behind the # of the address, which no server and no log ever sees

const token = document.getElementById("token");
if (token && location.hash.length > 1) {
  token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}

count();
tick();
setInterval(tick, 5000);
listen();
