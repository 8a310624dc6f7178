// What the pages of the panel do beside links and forms, which work without it: live progress, dialogs, theme.
// Everything that is shown is rendered by the server; texts that come as JSON only ever become text, never markup.
"use strict";

(() => {
  const prefix = document.body.dataset.prefix;
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Messages for screen readers

  const announcer = find("#announcer");
  function announce(text) {
    announcer.textContent = "";
    setTimeout(() => { announcer.textContent = text; }, 50);
  }

  // Problems that are not told by a page

  function notify(text) {
    const box = document.createElement("div");
    box.className = "notice error";
    box.setAttribute("role", "alert");
    const line = document.createElement("p");
    line.textContent = text;
    box.append(line);
    find("#notices").replaceChildren(box);
  }

  // Theme: the choice is in a cookie, so that the server sends the page in it at once

  find("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : !matchMedia("(prefers-color-scheme: light)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=${prefix || "/"}; max-age=31536000; samesite=lax`;
    announce(`${isDark ? "Light" : "Dark"} theme`);
  });

  // Forms: nothing is sent twice, and the download button waits for a repository

  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.dataset.busy || event.defaultPrevented) return;
    const label = find("span", button) ?? button;
    label.textContent = button.dataset.busy;
    setTimeout(() => { button.disabled = true; }, 0);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  const repository = find("#dataset-repo-input");
  if (repository) {
    const button = find("#download");
    const update = () => { button.disabled = !repository.value.trim(); };
    repository.addEventListener("input", update);
    update();
  }

  // Clicks that belong to parts which come and go

  const dialog = find("#dialog");
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-dismiss], [data-close], [data-clear]");
    if (!target) return;
    if ("dismiss" in target.dataset) target.closest(".notice").remove();
    if ("clear" in target.dataset) find("#search").value = "";
    if ("close" in target.dataset && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });
  // Links that do what buttons do are pressed with the space bar too.
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.matches?.("a[role=button]")) {
      event.preventDefault();
      event.target.click();
    }
  });

  // Dialogs: the browser keeps the focus inside and gives it back

  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialog-body" && !dialog.open) dialog.showModal();
  });

  // Choosing several datasets

  let chosen = new Set();
  function showChosen() {
    const boxes = all(".choose");
    chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const button = find("#delete-chosen");
    if (!button) return;
    button.disabled = !chosen.size;
    find("span", button).textContent = chosen.size ? `Delete ${chosen.size} chosen` : "Delete chosen";
    find("#choose-all").checked = chosen.size > 0 && chosen.size === boxes.length;
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "choose-all") all(".choose").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches(".choose, #choose-all")) showChosen();
  });
  showChosen();

  // What is being typed stays, although the part of the page around it is replaced by an answer to what came before.
  let typed = null;
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.getResponseHeader("Content-Type")?.startsWith("application/json")) {
      event.detail.shouldSwap = false; // refused before any page could be made
      const { error } = JSON.parse(xhr.responseText);
      notify(`${error.message} ${error.next_step}`);
    }
    const field = document.activeElement;
    typed = field?.matches("#browser input[type=number]") ? { id: field.id, value: field.value } : null;
    chosen = new Set(all(".choose").filter((box) => box.checked).map((box) => box.value));
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    if (typed) document.getElementById(typed.id).value = typed.value;
    typed = null;
  });
  document.body.addEventListener("htmx:afterSettle", (event) => {
    const target = event.detail.elt;
    all(".choose").forEach((box) => { box.checked = chosen.has(box.value); });
    showChosen();
    const summary = target.id === "browser" || target.id === "datasets" ? find("#summary, #count") : null;
    if (summary) announce(summary.textContent.trim());
    if (document.activeElement === document.body && target.id?.startsWith("card-")) {
      find("a, button", target)?.focus({ preventScroll: true });
    }
  });
  document.body.addEventListener("htmx:sendError", () => notify("The panel does not answer. Is it still running? It is started with `mistudio up`."));

  // Live progress: server-sent events; polling where they cannot be had

  const list = () => find("#datasets");
  const busy = new Set(["downloading", "ingesting", "tokenizing"]);

  const elsewhere = new Map(); // what a filter or another page of the list hides, as it was when that was found out

  function show(dataset) {
    const card = document.getElementById(`card-${dataset.id}`);
    if (card) showOnCard(card, dataset);
    else if (list() && elsewhere.get(dataset.id) !== dataset.status) {
      elsewhere.set(dataset.id, dataset.status);
      refreshList();
    }
    const status = find("#status");
    if (status?.dataset.id === dataset.id && status.dataset.status !== dataset.status) showStatus(status, dataset);
    const working = find("[data-working]");
    if (working?.dataset.id === dataset.id) showProgress(working, dataset);
  }

  let isLeaving = false;
  addEventListener("beforeunload", () => { isLeaving = true; });

  function showStatus(badge, dataset) {
    // Whoever is reading samples goes on reading; the other pages show something new. Whoever has just followed a link
    // goes there: loading this page again would keep them here.
    if (!find("#browser") && !isLeaving) location.reload();
    badge.dataset.status = dataset.status;
    badge.className = `badge ${dataset.status}`;
    badge.lastChild.textContent = dataset.status[0].toUpperCase() + dataset.status.slice(1);
    announce(`${dataset.name}: ${dataset.status}`);
  }

  function showOnCard(card, dataset) {
    const error = dataset.error_code ?? "";
    const hasButton = Boolean(document.getElementById(`cancel-${dataset.id}`));
    const needsButton = busy.has(dataset.status) && Boolean(dataset.job_id) && Boolean(find(".choose", card));
    if (card.dataset.status !== dataset.status || card.dataset.error !== error) {
      announce(`${dataset.name}: ${dataset.status}${dataset.error_message ? `. ${dataset.error_message}` : ""}`);
    } else if (hasButton === needsButton) {
      showProgress(card, dataset);
      return;
    }
    card.dataset.status = dataset.status;
    card.dataset.error = error;
    htmx.ajax("GET", card.dataset.card, { target: card, swap: "outerHTML" });
    if (!busy.has(dataset.status)) htmx.trigger(document.body, "storage-changed");
  }

  function showProgress(part, dataset) {
    const bar = find("progress", part);
    const detail = find(".detail", part);
    if (detail && detail.textContent !== dataset.detail) detail.textContent = dataset.detail;
    if (!bar) return;
    bar.setAttribute("aria-valuetext", dataset.detail);
    if (dataset.progress === null) {
      bar.removeAttribute("value");
      bar.removeAttribute("aria-valuenow");
    } else {
      const before = Math.floor(bar.value / 25);
      bar.value = dataset.progress;
      bar.setAttribute("aria-valuenow", dataset.progress.toFixed(1));
      if (Math.floor(dataset.progress / 25) > before) announce(`${dataset.name}: ${Math.floor(dataset.progress)} percent`);
    }
  }

  function leave(id) {
    const card = document.getElementById(`card-${id}`);
    if (!card) return;
    card.classList.add("leaving");
    setTimeout(refreshList, 350);
    htmx.trigger(document.body, "storage-changed");
  }

  let refreshing = 0;
  function refreshList() {
    clearTimeout(refreshing);
    refreshing = setTimeout(() => {
      if (list()) htmx.ajax("GET", list().dataset.list, { target: "#datasets", swap: "outerHTML" });
    }, 100);
  }

  let stream = null;
  let polling = 0;

  function follow() {
    stop();
    stream = new EventSource(`${prefix}/api/events`);
    stream.addEventListener("dataset", (event) => show(JSON.parse(event.data)));
    stream.addEventListener("removed", (event) => leave(JSON.parse(event.data).id));
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) return; // it connects again by itself
      stop();
      polling = setInterval(poll, 2000);
    };
  }

  async function poll() {
    try {
      const answer = await fetch(`${prefix}/api/datasets?limit=100`);
      if (answer.ok) (await answer.json()).data.forEach(show);
    } catch {
      // The next poll may succeed; what is shown stays true until then.
    }
  }

  function stop() {
    stream?.close();
    clearInterval(polling);
    stream = null;
    polling = 0;
  }

  if (list() || find("#status")) {
    // A browser opens six connections to a server at most: pages in the background give theirs back.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) stop();
      else {
        follow();
        if (list()) refreshList();
      }
    });
    if (!document.hidden) follow();
    addEventListener("pagehide", stop);
  }

  // Charts: the bar under the pointer is told in words

  all("[data-chart]").forEach((chart) => {
    const readout = find(".readout", chart);
    const bars = all("svg rect", chart).filter((bar) => find("title", bar));
    const usual = readout.textContent;
    chart.addEventListener("pointermove", (event) => {
      const bar = bars.find((one) => {
        const box = one.getBoundingClientRect();
        return event.clientX >= box.left - 1 && event.clientX <= box.right + 1;
      });
      readout.textContent = bar ? find("title", bar).textContent : usual;
    });
    chart.addEventListener("pointerleave", () => { readout.textContent = usual; });
  });
})();
