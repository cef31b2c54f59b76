// The browser's half of jwvl_lib/panel.py. It draws what the model holds and sends keys back; it decides nothing.
// Text from a teacher or a header reaches the page through shown.js, which stands before this file.

const CHIPS = { task: "", prompt_id: "", prompt_version: "version ", teacher: "teacher: " };
const ACTIONS = [
  ["a", "A", "Accept"], ["x", "X", "Reject"], [" ", "Space", "Skip"], ["f", "F", "Flag"], ["e", "E", "Edit"],
  ["z", "Z", "Undo"], ["ArrowLeft", "←", "Back"], ["ArrowRight", "→", "Next"],
];
const HELP = [
  ["A", "accept, and on to the next"], ["X, then 1–9", "reject, with the reason of that digit"],
  ["Space", "skip: someone else may decide"], ["F", "flag: a second person should look"],
  ["E", "edit the answer; Ctrl+Enter accepts it as edited"], ["Z", "undo your last decision, as often as you like"],
  ["← →", "move without deciding"], ["B", "region boxes on or off"], ["P", "picture pixel for pixel (1:1); the wheel zooms, drag moves"],
  ["0", "fit the picture"], ["N", "the next picture, where the question is about several"],
  ["H", "this help"], ["Esc", "back, or give the keyboard back to the notebook"],
];

function svg(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = visible(text);
  return node;
}

// Picture with its region boxes; wheel zooms about the pointer, drag moves, `fit` and `pixels` (1:1) set the scale.
function pictureView() {
  const image = make("img");
  image.draggable = false;
  const layer = make("div", "jwvl-layer", "", [image]);
  const missing = make("div", "jwvl-missing", "This picture cannot be read.");
  const frame = make("div", "jwvl-frame", "", [layer, missing]);
  let overlay = null, drag = null, shown = null, place = { scale: 1, x: 0, y: 0 };
  const ready = new Map(); // image id → { data, url, picture }, decoded before it is needed

  const oneToOne = () => Math.max(image.naturalWidth, image.naturalHeight) / (window.devicePixelRatio || 1) / (frame.clientWidth || 1);
  const keepIn = (at, length, scale) => Math.min(Math.max(at, Math.min(0, length * (1 - scale))), Math.max(0, length * (1 - scale)));
  const apply = () => {
    const { scale } = place;
    place = { scale, x: keepIn(place.x, frame.clientWidth, scale), y: keepIn(place.y, frame.clientHeight, scale) };
    layer.style.transform = `translate(${place.x}px, ${place.y}px) scale(${scale})`;
    layer.style.setProperty("--zoom", scale); // lines and labels keep their size
    image.style.imageRendering = scale > 2 * oneToOne() ? "pixelated" : "auto";
  };
  const zoom = (wanted, x, y) => {
    const one = oneToOne() || 1, scale = Math.min(16 * Math.max(1, one), Math.max(Math.min(1, one), wanted)), k = scale / place.scale;
    place = { scale, x: x - k * (x - place.x), y: y - k * (y - place.y) };
    apply();
  };
  const fit = () => { place = { scale: 1, x: 0, y: 0 }; apply(); };
  const pixels = () => { fit(); zoom(oneToOne(), frame.clientWidth / 2, frame.clientHeight / 2); };
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = frame.getBoundingClientRect();
    zoom(place.scale * Math.exp(-event.deltaY / 400), event.clientX - at.left, event.clientY - at.top);
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX - place.x, y: event.clientY - place.y };
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!drag) return;
    place = { ...place, x: event.clientX - drag.x, y: event.clientY - drag.y };
    apply();
  });
  frame.addEventListener("pointerup", () => (drag = null));
  frame.addEventListener("pointercancel", () => (drag = null));
  image.addEventListener("error", () => frame.classList.add("unreadable"));

  return {
    frame, fit, pixels,
    toggleBoxes: () => frame.classList.toggle("no-boxes"),
    fetch(slots) { // what the model holds; what it dropped is dropped here
      for (const [id, entry] of ready) {
        if (slots.some((slot) => slot.id === id && slot.data === entry.data)) continue;
        URL.revokeObjectURL(entry.url);
        ready.delete(id);
      }
      for (const { id, data } of slots) {
        if (id === undefined || ready.has(id)) continue;
        const entry = { data, url: URL.createObjectURL(new Blob([data])), picture: new Image() };
        entry.picture.src = entry.url;
        ready.set(id, entry);
      }
      frame.dataset.ready = [...ready.keys()].join(" ");
    },
    show(id) {
      const entry = ready.get(id);
      if (!entry || shown === entry) return;
      shown = entry;
      frame.classList.toggle("unreadable", entry.data.byteLength === 0);
      image.src = entry.url;
      fit();
    },
    setBoxes(boxes, [width, height], said) {
      overlay?.remove();
      overlay = svg("svg", { viewBox: `0 0 ${width} ${height}` });
      for (const { noaa_ar, box: [x0, y0, x1, y1] } of boxes) {
        overlay.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }));
        overlay.append(svg("text", { x: x0, y: y0 - height / 84, style: `font-size: calc(${height / 32}px / var(--zoom, 1))` }, `AR ${noaa_ar}`));
      }
      for (const [x0, y0, x1, y1] of said) overlay.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: "said" }));
      layer.append(overlay);
    },
    dispose: () => ready.forEach(({ url }) => URL.revokeObjectURL(url)),
  };
}

// The answer with its claims marked where they stand, by colour and by sign.
function markedText(text, claims) {
  const node = make("div", "jwvl-answer");
  let end = 0;
  for (const claim of claims) { // in reading order, so each is looked for behind the one before
    const from = claim.text ? text.indexOf(claim.text, end) : -1;
    if (from < 0) continue;
    node.append(visible(text.slice(end, from)), make("mark", claim.verdict in SIGNS ? claim.verdict : "unsupported", claim.text));
    end = from + claim.text.length;
  }
  node.append(visible(text.slice(end)));
  return node;
}

function claimList(claims) {
  const list = make("ul", "jwvl-claims");
  for (const claim of claims) {
    const sign = make("span", "sign", SIGNS[claim.verdict] ?? "?");
    const row = make("li", claim.verdict in SIGNS ? claim.verdict : "unsupported", "", [sign, make("span", "", String(claim.text || claim.value)), make("small", "", claim.kind)]);
    row.title = visible(claim.verdict);
    list.append(row);
  }
  if (!claims.length) list.append(make("li", "none", "no checkable claim in this text"));
  return list;
}

function textColumn(entry, claims) {
  const answer = claims ? markedText(entry.answer, claims) : make("div", "jwvl-answer", entry.answer);
  const label = make("div", "jwvl-label", claims ? `to decide · ${entry.language}` : `the other language · ${entry.language}`);
  const earlier = (entry.turns ?? []).flatMap((turn) => [make("div", "jwvl-turn", turn.question), make("div", "jwvl-turn said", turn.answer)]);
  const column = make("div", claims ? "jwvl-text" : "jwvl-text other", "", [label, ...earlier, make("div", "jwvl-question", entry.question), answer]);
  column.lang = languageTag(entry.language);
  return column;
}

const words = (kind) => kind.replaceAll("_", " ");

// Facts of the picture a row each; those of the regions in one table, a row a region, so that all can be seen at once.
function factTables(facts) {
  const table = make("table", "jwvl-facts");
  const regions = new Map(), kinds = new Set();
  for (const [kind, value, region, origin] of facts) {
    if (region === null) {
      table.append(make("tr", "", "", [make("th", "", words(kind)), make("td", "", value), make("td", "origin", origin)]));
    } else if (kind !== "noaa_ar" || String(region) !== value) {
      kinds.add(kind);
      regions.set(region, { ...regions.get(region), [kind]: value, origin });
    } else if (!regions.has(region)) regions.set(region, { origin });
  }
  if (!regions.size) return [table];
  const head = make("tr", "", "", ["region", ...kinds].map((kind) => make("th", "", words(kind))));
  const rows = [...regions].map(([region, of]) => {
    const row = make("tr", "", "", [make("th", "", `AR ${region}`), ...[...kinds].map((kind) => make("td", "", of[kind] ?? "·"))]);
    row.title = visible(of.origin);
    return row;
  });
  return [table, make("div", "jwvl-wide", "", [make("table", "jwvl-facts regions", "", [head, ...rows])])];
}

function duration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function render({ model, el }) {
  const root = make("div", "jwvl-panel");
  root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the keys first: "x" would cut a cell
  const head = make("header"), filters = make("nav"), body = make("main"), foot = make("footer"), help = make("aside", "jwvl-help");
  help.append(make("h3", "", "Keys"), ...HELP.map(([key, what]) => make("div", "", "", [make("kbd", "", key), make("span", "", what)])));
  help.hidden = true;
  root.append(head, filters, body, foot, help);
  el.append(root);

  const picture = pictureView();
  let drawn = null; // the item now on the page
  let nth = 0; // which of its pictures
  let waiting = null; // a message is out: nothing more is sent until the answer is here
  let typedAhead = []; // keys pressed meanwhile; those for an annotation that has gone by then are dropped
  let active = false; // since the last renewal of the lease
  const send = (message) => {
    if (waiting !== null) return message.type === "key" ? void typedAhead.push({ ...message, annotation_id: root.dataset.annotation }) : undefined;
    waiting = setTimeout(() => root.classList.add("late"), 5000);
    model.send({ annotation_id: model.get("item").annotation_id, ...message });
  };
  const answered = () => {
    clearTimeout(waiting);
    waiting = null;
    root.classList.remove("late");
  };
  const sendKey = (key) => send({ type: "key", key, comment: root.querySelector("input.comment")?.value ?? "" });
  const button = (className, key, cap, label) => {
    const node = make("button", className, "", [make("kbd", "", cap), make("span", "", label)]);
    node.type = "button";
    node.tabIndex = -1;
    node.addEventListener("click", () => { sendKey(key); root.focus(); });
    return node;
  };

  function drawHead() {
    const status = model.get("status"), item = model.get("item"), share = status.n_total ? status.n_done / status.n_total : 0;
    const bar = make("div", "jwvl-bar", "", [make("div")]);
    bar.firstChild.style.width = `${100 * share}%`;
    const left = status.n_total ? `${status.n_done} of ${status.n_total}` : "";
    const pace = status.seconds_each ? `${duration(status.seconds_each)} each, ${duration(status.seconds_each * (status.n_total - status.n_done))} to go` : "";
    const facts = [left, pace, status.agreement, status.reviewer].filter(Boolean).join("   ·   ");
    const saved = make("span", "saved", status.saved ? `saved ${status.saved}` : "");
    const row = make("div", "jwvl-row", "", [make("strong", "", item.pictures?.[nth]?.title ?? "Review"), make("span", "grow"), make("span", "", facts), saved]);
    head.replaceChildren(row, bar);
  }

  function drawStart() {
    const name = make("input", "name");
    name.placeholder = "your name";
    name.value = model.get("status").reviewer ?? "";
    const go = make("button", "primary", "Begin");
    go.type = "button";
    const begin = () => { send({ type: "begin", reviewer: name.value }); root.focus(); };
    go.addEventListener("click", begin);
    name.addEventListener("keydown", (event) => event.key === "Enter" && begin());
    const say = "Does the text fit the picture and its facts? Accept what is physically consistent, right for the domain and free of invention; reject the rest with its reason.";
    body.replaceChildren(make("div", "jwvl-card", "", [make("h2", "", "Review of annotations"), make("p", "", say), make("div", "jwvl-begin", "", [name, go])]));
    foot.replaceChildren(make("span", "message", model.get("status").message));
  }

  function drawFilters() {
    const { now, choices } = model.get("filters");
    const change = () => {
      const chosen = Object.fromEntries(selects.map((select) => [select.name, select.value]));
      send({ type: "filter", ...chosen, flagged: flagged.checked });
      root.focus();
    };
    const selects = Object.entries(choices).map(([name, values]) => {
      const select = make("select", "", "", [make("option", "", `every ${name}`), ...values.map((value) => make("option", "", value))]);
      select.name = name;
      [...select.options].forEach((option, i) => (option.value = i ? values[i - 1] : ""));
      select.value = now[name];
      select.setAttribute("aria-label", name);
      select.addEventListener("change", change);
      return select;
    });
    const flagged = make("input");
    flagged.type = "checkbox";
    flagged.checked = now.flagged;
    flagged.addEventListener("change", change);
    filters.replaceChildren(...selects, make("label", "", "", [flagged, make("span", "", "flagged only")]));
  }

  function drawPicture() {
    const { pictures, said_boxes } = model.get("item"), shown = pictures[nth];
    picture.show(shown.image_id);
    picture.setBoxes(shown.boxes, shown.size, nth ? [] : said_boxes);
    body.querySelector(".jwvl-known").replaceChildren(...factTables(shown.facts));
    const which = body.querySelector(".jwvl-which span");
    if (which) which.textContent = `Picture ${nth + 1} of ${pictures.length}`;
    drawHead();
  }

  function turnPicture() {
    nth = (nth + 1) % (model.get("item").pictures?.length || 1);
    if (model.get("item").pictures?.length > 1) drawPicture();
  }

  function drawItem() {
    const item = model.get("item");
    const tool = (cap, label, act) => {
      const node = make("button", "tool", "", [make("kbd", "", cap), make("span", "", label)]);
      node.type = "button";
      node.tabIndex = -1;
      node.addEventListener("click", () => { act(); root.focus(); });
      return node;
    };
    const tools = make("div", "jwvl-tools", "", [
      tool("0", "Fit", picture.fit), tool("P", "1:1", picture.pixels), tool("B", "Boxes", picture.toggleBoxes),
      tool("H", "Keys", () => (help.hidden = !help.hidden)), make("span", "", "wheel zooms, drag moves"),
    ]);
    if (item.pictures.length > 1) {
      const which = tool("N", "", turnPicture);
      which.classList.add("jwvl-which");
      tools.prepend(which);
    }
    const left = make("div", "jwvl-left", "", [picture.frame, tools]);
    const named = Object.keys(CHIPS).filter((n) => n !== "task" || item.task !== item.prompt_id);
    const chips = named.map((n) => make("span", "chip", CHIPS[n] + item[n]));
    if (item.clipped) chips.push(make("span", "chip warn", "too long to be shown whole: it cannot be accepted"));
    if (item.verdict) chips.push(make("span", `chip mine ${item.verdict}`, `you decided: ${item.verdict}`));
    const texts = make("div", "jwvl-texts", "", [textColumn(item, item.claims)]);
    if (item.other) texts.append(textColumn(item.other, null));
    const right = make("div", "jwvl-right", "", [make("div", "chips", "", chips), texts, make("h4", "", "Claims"), claimList(item.claims)]);
    if (item.steps.length) right.append(make("details", "", "", [make("summary", "", "Steps"), make("ol", "", "", item.steps.map((s) => make("li", "", s)))]));
    right.append(make("h4", "", "Facts"), make("div", "jwvl-known"));
    body.replaceChildren(left, right);
    drawPicture();
  }

  function drawFoot() {
    const phase = model.get("phase"), message = make("span", "message", model.get("status").message);
    const showing = `${phase} ${model.get("item").annotation_id}`;
    if (showing === foot.dataset.showing) { // keep what was typed
      foot.querySelector(".message").replaceWith(message);
      foot.querySelector("textarea")?.focus();
      return;
    }
    foot.dataset.showing = showing;
    if (phase === "reasons") {
      const comment = make("input", "comment");
      comment.placeholder = "first a note to the prompt's author? (Tab)";
      const chips = model.get("reasons").map((reason, i) => button("reason", String(i + 1), String(i + 1), reason));
      foot.replaceChildren(make("span", "ask", "Why reject?"), ...chips, button("", "Escape", "Esc", "Back"), comment, message);
    } else if (phase === "edit") {
      const text = make("textarea", "edit");
      text.value = model.get("item").answer;
      text.lang = languageTag(model.get("item").language);
      const save = make("button", "primary", "Accept as edited (Ctrl+Enter)");
      save.type = "button";
      save.addEventListener("click", () => { send({ type: "edit", text: text.value }); root.focus(); });
      foot.replaceChildren(text, save, button("", "Escape", "Esc", "Back"), message);
      text.focus();
    } else {
      foot.replaceChildren(...ACTIONS.map(([key, cap, label]) => button(`act ${label.toLowerCase()}`, key, cap, label)), message);
    }
  }

  function draw() {
    answered();
    const phase = model.get("phase");
    root.dataset.phase = phase;
    root.dataset.annotation = model.get("item").annotation_id ?? "";
    drawHead();
    filters.hidden = phase === "start";
    if (phase === "start") return drawStart();
    const item = model.get("item");
    if (phase === "done") body.replaceChildren(make("div", "jwvl-card", "", [make("h2", "", "Nothing is waiting for you"), make("p", "", "All of your queue is decided, as far as the filters let it through. Run the cells below this one to bring your decisions into the results.")]));
    else if (item !== drawn) {
      nth = 0;
      drawItem();
    }
    drawn = item;
    drawFoot();
    while (typedAhead.length && waiting === null) {
      const message = typedAhead.shift();
      if (message.annotation_id === root.dataset.annotation) send(message);
    }
  }

  for (const name of ["keyup", "keypress"]) root.addEventListener(name, (event) => event.stopPropagation());
  root.addEventListener("pointermove", () => (active = true));
  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    active = true;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, phase = model.get("phase");
    const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
    if (typing) {
      if (event.target.type === "checkbox" && key !== " " && key !== "Tab") root.focus();
      if (key === "Escape" && event.target.className === "edit") sendKey(key);
      if (key === "Escape" || (key === "Enter" && event.target.className === "comment")) root.focus();
      if (key === "Enter" && event.ctrlKey && phase === "edit") { send({ type: "edit", text: event.target.value }); root.focus(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || phase === "start") return;
    const known = ACTIONS.some(([name]) => name === key) || /^[1-9]$/.test(key);
    if (known) event.preventDefault();
    if (event.repeat && !key.startsWith("Arrow")) return; // a key held down decides once
    if (key === "h") help.hidden = !help.hidden;
    else if (key === "Escape" && !help.hidden) help.hidden = true;
    else if (key === "Escape" && phase === "review") root.blur();
    else if (key === "b") picture.toggleBoxes();
    else if (key === "0") picture.fit();
    else if (key === "p") picture.pixels();
    else if (key === "n") turnPicture();
    else if (known || key === "Escape") sendKey(key);
  });

  const slots = ["picture_0", "picture_1", "picture_2", "picture_3"];
  const setPictures = () => {
    picture.fetch(slots.map((name) => model.get(name)));
    picture.show(model.get("item").pictures?.[nth]?.image_id);
  };
  const changes = [["change:status", draw], ["change:filters", drawFilters], ...slots.map((name) => [`change:${name}`, setPictures])];
  for (const [name, act] of changes) model.on(name, act);
  const renewing = setInterval(() => {
    if (active && model.get("phase") !== "start" && model.get("item").annotation_id) send({ type: "hold" });
    active = false;
  }, 120_000);
  setPictures();
  drawFilters();
  draw();
  return () => {
    for (const [name, act] of changes) model.off(name, act);
    clearInterval(renewing);
    clearTimeout(waiting);
    picture.dispose();
  };
}

export default { render };
