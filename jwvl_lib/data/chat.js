// The browser's half of jwvl_lib/chat_panel.py. It draws what the kernel holds and sends questions back; it decides nothing.
// Text from a person, a model or a file reaches the page through shown.js, which stands before this file.

const WORSE = { supported: 0, unsupported: 1, contradicted: 2 };
const WORDS = {
  en: {
    title: "Chat about the day", facts: "From the day's facts", quoted: "In SWPC's own words", banner: "From the report's banner", glossary: "From the knowledge base", none: "Not known",
    model: "Written by the model, checked against the facts", ask: "Ask about the day or a picture…", send: "Ask", stop: "Stop",
    pictures: "Pictures", find: "Find: instrument, channel, date", chosen: "Ask about", found: "pictures", of: "of",
    fresh: "New conversation", earlier: "Conversations", you: "You", evidence: "Evidence", says: "The facts say:", source: "Source",
    simulated: "simulated", today: "of the day", remove: "Take away", add: "Add", close: "Close", line: "line",
    stopped: "Stopped.", failed: "The answer is not whole:", interrupted: "Interrupted: the kernel ended before the answer did.",
    level: "Activity", watch: "Watch", regions: "regions with spots", model_name: "Model", no_model: "no model: facts only",
    hello: "What would you like to know?", writing: "is writing", legend: "What the facts say of each claim",
    marks: { supported: "supported", contradicted: "contradicted", unsupported: "not in the facts" },
    intro: "Numbers come from the day's files, each with its line. What a model says of a picture is held against the facts; what nobody knows is said to be unknown.",
    notebook: "Notebook", chat: "Chat", late: "No answer from the kernel.", assistive: "Assistive, not an operational forecast.", try: "Try",
    level_of: {}, unreadable: "cannot be read", nothing_found: "No picture has these words.", no_claim: "nothing in this sentence can be checked by the facts",
  },
  zh: {
    title: "当日太阳问答", facts: "来自当日事实", quoted: "SWPC原文", banner: "报告的提示", glossary: "来自知识库", none: "未知",
    model: "由模型撰写，已与事实核对", ask: "询问当日情况或图像……", send: "提问", stop: "停止",
    pictures: "图像", find: "查找：仪器、波段、日期", chosen: "提问对象", found: "幅图像", of: "/",
    fresh: "新对话", earlier: "历史对话", you: "您", evidence: "依据", says: "事实为：", source: "来源",
    simulated: "模拟", today: "当日", remove: "移除", add: "选择", close: "关闭", line: "第{n}行",
    stopped: "已停止。", failed: "回答不完整：", interrupted: "中断：回答完成之前内核已结束。",
    level: "活动水平", watch: "关注", regions: "个带黑子的活动区", model_name: "模型", no_model: "未加载模型：只用事实回答",
    hello: "想了解什么？", writing: "正在撰写", legend: "事实对每个论断的判定",
    marks: { supported: "有事实支持", contradicted: "与事实矛盾", unsupported: "事实未涉及" },
    intro: "数字来自当日的源文件，每个都可追溯到具体的行。模型对图像的描述会与事实核对；无人知道的，就明说未知。",
    notebook: "笔记本", chat: "对话", late: "内核没有应答。", assistive: "仅供参考，不是业务预报。", try: "可以这样问",
    level_of: { "very low": "很低", low: "低", moderate: "中等", high: "高", "very high": "很高", "not known": "未知" },
    unreadable: "无法读取", nothing_found: "没有符合的图像。", no_claim: "事实无法核对这句话",
  },
};

function button(className, text, act, label = "") {
  const node = make("button", className, text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", visible(label));
  node.addEventListener("click", act);
  return node;
}


// Claims that stand on the same words are one mark, with the worst of their verdicts.
function marksOf(claims) {
  const marks = [];
  for (const claim of claims) {
    const verdict = claim.verdict in SIGNS ? claim.verdict : "unsupported", last = marks.at(-1);
    if (last && last.text === claim.text) {
      last.evidence.push(...claim.evidence);
      if (WORSE[verdict] > WORSE[last.verdict]) last.verdict = verdict;
    } else if (claim.text) marks.push({ text: claim.text, verdict, evidence: [...claim.evidence] });
  }
  return marks;
}

function distinct(lines) {
  const seen = new Map(lines.map((e) => [`${e.source} ${e.line} ${e.text}`, e]));
  return [...seen.values()];
}

function render({ model, el }) {
  const root = make("div", "jwvl-chat");
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the keys first
  const head = make("header"), body = make("div", "body"), talk = make("main"), side = make("aside");
  const log = make("div", "log"), foot = make("footer"), hover = make("div", "hover");
  log.setAttribute("role", "log");
  log.tabIndex = 0;
  hover.setAttribute("role", "tooltip");
  hover.hidden = true;
  talk.append(log, foot);
  body.append(talk, side);
  root.append(head, body, hover);
  const onPage = document.body.dataset.voila !== undefined;
  if (onPage) { // in Voilà the chat is the page; the notebook lies beneath it
    document.body.append(root);
    document.documentElement.lang ||= "en";
    document.body.classList.add("jwvl-chat-page");
    root.classList.add("page");
  } else el.append(root);

  let language = model.get("about").language, waiting = null, typed = "";
  const words = () => WORDS[language] ?? WORDS.en;
  const send = (message) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => root.classList.add("late"), 15_000);
    model.send(message);
  };

  // ---------------------------------------------------------------------------------------------------------- pictures

  const urls = new Map(), asked = new Set();
  function picture(card, className = "") {
    const image = make("img", className);
    image.alt = visible(card?.label ?? "");
    image.dataset.id = card?.id ?? "";
    image.draggable = false;
    image.onerror = () => image.replaceWith(make("span", "unreadable", `${image.alt} ${words().unreadable}`));
    if (urls.has(card?.id)) image.src = urls.get(card.id);
    else if (card && !asked.has(card.id)) wanted.push(card.id);
    return image;
  }
  let wanted = [];
  const fetchWanted = () => {
    for (const id of wanted) asked.add(id);
    if (wanted.length) model.send({ type: "pictures", ids: wanted });
    wanted = [];
  };
  model.on("msg:custom", (message, buffers) => {
    if (message.type !== "picture" || urls.has(message.id)) return;
    const data = buffers[0];
    urls.set(message.id, data.byteLength ? URL.createObjectURL(new Blob([data])) : "");
    for (const image of root.querySelectorAll("img")) {
      if (image.dataset.id !== message.id) continue;
      if (data.byteLength) image.src = urls.get(message.id);
      else image.replaceWith(make("span", "unreadable", `${image.alt} ${words().unreadable}`));
    }
  });

  const labels = new Map();
  const remember = (cards) => cards.forEach((card) => labels.set(card.id, card));
  const chosenIds = () => model.get("chosen").map((card) => card.id);
  const choose = (ids) => send({ type: "choose", ids });
  const toggle = (id) => {
    const ids = chosenIds();
    choose(ids.includes(id) ? ids.filter((i) => i !== id) : [...ids, id]);
  };

  function drawSide() {
    const w = words(), { query, n_found, items } = model.get("gallery"), ids = chosenIds();
    remember(items);
    const focused = side.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const search = side.querySelector("input") ?? make("input");
    search.type = "search";
    search.placeholder = w.find;
    search.dataset.key = "find";
    search.setAttribute("aria-label", w.find);
    search.oninput = () => {
      clearTimeout(search.timer);
      search.timer = setTimeout(() => send({ type: "find", query: search.value }), 250);
    };
    const grid = make("div", "grid");
    for (const card of items) {
      const on = ids.includes(card.id);
      const tile = button(on ? "tile on" : "tile", "", () => toggle(card.id), `${on ? w.remove : w.add}: ${card.label}`);
      tile.setAttribute("aria-pressed", String(on));
      tile.dataset.key = card.id;
      const place = on && ids.length > 1 ? make("span", "place", String(ids.indexOf(card.id) + 1)) : "";
      const tags = [card.of_day ? w.today : "", card.simulated ? w.simulated : ""].filter(Boolean).join(" · ");
      const caption = make("span", "caption", card.label);
      if (tags) caption.append(make("em", "", tags));
      tile.append(picture(card), place, caption);
      grid.append(tile);
    }
    if (!items.length) grid.append(make("p", "none", w.nothing_found));
    const close = button("close", "✕", () => root.classList.remove("side-open"), w.close);
    const title = make("h2", "", w.pictures);
    title.append(make("span", "count", `${items.length} ${w.of} ${n_found}`));
    if (!side.firstChild) side.append(make("div", "side-head"), search, grid);
    side.querySelector(".side-head").replaceChildren(title, close);
    side.querySelector(".grid").replaceWith(grid);
    if (focused) [...side.querySelectorAll("[data-key]")].find((node) => node.dataset.key === focused)?.focus();
    fetchWanted();
  }

  // ---------------------------------------------------------------------------------------------------------- evidence

  function evidenceList(lines) {
    const w = words(), sources = model.get("about").sources, list = make("ul", "evidence");
    for (const e of distinct(lines)) {
      const file = sources[e.source], name = file?.name ?? e.source;
      const where = language === "zh" ? w.line.replace("{n}", e.line) : `${w.line} ${e.line}`;
      const row = make("li", "", "", [make("span", "where", e.line ? `${name}, ${where}` : name)]);
      if (file) row.append(make("span", "sha", `sha256 ${file.sha256.slice(0, 12)}`));
      if (e.reference) row.append(make("span", "reference", e.reference));
      if (!e.reference) row.append(make("code", "", e.text || "—")); // an entry's text is the sentence itself
      list.append(row);
    }
    return list;
  }

  function showHover(node, lines) {
    if (!lines.length || !matchMedia("(hover: hover)").matches) return;
    hover.replaceChildren(evidenceList(lines.slice(0, 6)));
    hover.hidden = false;
    const at = node.getBoundingClientRect(), frame = root.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left - frame.left - 20), Math.max(8, frame.width - hover.offsetWidth - 8));
    const above = at.top - frame.top > hover.offsetHeight + 16;
    hover.style.left = `${left}px`;
    hover.style.top = `${above ? at.top - frame.top - hover.offsetHeight - 8 : at.bottom - frame.top + 8}px`;
  }
  const hideHover = () => (hover.hidden = true);
  function withEvidence(node, lines, holder) {
    if (!lines.length) return node;
    node.setAttribute("aria-expanded", "false");
    node.addEventListener("mouseenter", () => showHover(node, lines));
    node.addEventListener("focus", () => node.matches(":focus-visible") && showHover(node, lines));
    for (const name of ["mouseleave", "blur"]) node.addEventListener(name, hideHover);
    node.addEventListener("click", () => {
      hideHover();
      const open = node.getAttribute("aria-expanded") === "true";
      for (const other of holder.querySelectorAll("[aria-expanded]")) other.setAttribute("aria-expanded", "false");
      holder.querySelector(":scope > .evidence")?.remove();
      if (open) return;
      node.setAttribute("aria-expanded", "true");
      holder.append(evidenceList(lines));
      holder.querySelector(":scope > .evidence").scrollIntoView({ block: "nearest" });
    });
    return node;
  }

  // ------------------------------------------------------------------------------------------------------------- turns

  function claimMark(mark, holder) {
    const w = words(), node = make("button", `mark ${mark.verdict}`, mark.text);
    node.type = "button";
    const sign = make("span", "sign", SIGNS[mark.verdict]);
    sign.setAttribute("aria-hidden", "true");
    node.append(sign);
    node.setAttribute("aria-label", visible(`${mark.text}: ${w.marks[mark.verdict]}`));
    return withEvidence(node, mark.evidence, holder);
  }

  function sentenceNode(s) {
    const w = words(), holder = make("div", `sentence ${s.origin} ${s.verdict}`);
    const text = make(s.origin === "model" && s.verdict === "contradicted" ? "del" : "span", "text");
    let end = 0;
    for (const mark of marksOf(s.claims)) { // in reading order, so each is looked for behind the one before
      const from = s.text.indexOf(mark.text, end);
      if (from < 0) continue;
      text.append(visible(s.text.slice(end, from)), claimMark(mark, holder));
      end = from + mark.text.length;
    }
    text.append(visible(s.text.slice(end)));
    holder.append(text);
    if (s.origin === "model" && s.verdict === "unsupported" && !s.claims.length) {
      const open = make("span", "open", "?");
      open.title = w.no_claim;
      open.setAttribute("role", "img");
      open.setAttribute("aria-label", w.no_claim);
      holder.append(open);
    }
    if (s.evidence.length) {
      const count = String(s.evidence.length), label = `${w.evidence}: ${count}`;
      const cite = button("cite", count, () => {}, label);
      holder.append(withEvidence(cite, s.evidence, holder));
    }
    if (s.instead) holder.append(make("div", "instead", "", [make("strong", "", w.says), ` ${visible(s.instead)}`]));
    return holder;
  }

  function answerNodes(turn) {
    const w = words(), nodes = [];
    let group = null, origin = "";
    for (const s of turn.sentences) {
      if (s.origin !== origin) {
        origin = s.origin;
        const label = make("div", "origin", w[origin] ?? origin);
        if (origin === "model" && turn.model) label.title = visible(turn.model);
        group = make("section", `group ${origin}`, "", [label]);
        nodes.push(group);
      }
      group.append(sentenceNode(s));
    }
    if (turn.state === "answering") {
      if (!group) nodes.push((group = make("section", "group model")));
      const partial = make("div", "sentence partial", "", [make("span", "text", turn.partial), make("span", "caret")]);
      partial.setAttribute("aria-label", `${w.writing}…`);
      group.append(partial);
    }
    if (turn.state === "stopped") nodes.push(make("p", "state", w.stopped));
    if (turn.state === "interrupted") nodes.push(make("p", "state", w.interrupted));
    if (turn.state === "failed") nodes.push(make("p", "state failed", `${w.failed} ${turn.reason}`));
    return nodes;
  }

  function turnNode(turn) {
    const node = make("article", "turn");
    node.dataset.turn = turn.turn;
    node.dataset.state = turn.state;
    const question = make("div", "question");
    if (turn.images.length) question.append(make("div", "thumbs", "", turn.images.map((id) => picture(labels.get(id) ?? { id, label: id }))));
    const said = make("p", "", turn.question);
    said.lang = languageTag(turn.language);
    question.append(said);
    const answer = make("div", "answer", "", answerNodes(turn));
    answer.lang = languageTag(turn.language);
    node.append(question, answer);
    return node;
  }

  const drawn = new Map();
  function drawLog(everything = false) {
    const turns = model.get("turns"), live = model.get("live"), w = words();
    const all = live.turn ? [...turns, live] : turns;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    if (everything) drawn.clear();
    const nodes = all.map((turn) => {
      const known = drawn.get(turn.turn);
      if (known && known.turn.state === turn.state && turn.state !== "answering") return known.node; // said is said
      const node = turnNode(turn);
      drawn.set(turn.turn, { turn, node });
      return node;
    });
    if (!all.length) {
      const rows = Object.entries(SIGNS).map(([verdict, sign]) => make("span", `key ${verdict}`, "", [make("b", "", sign), ` ${w.marks[verdict]}`]));
      nodes.push(make("div", "hello", "", [make("h2", "", w.hello), make("p", "", w.intro), make("div", "legend", "", rows)]));
    }
    if (nodes.length !== log.children.length || nodes.some((node, i) => node !== log.children[i])) log.replaceChildren(...nodes);
    log.setAttribute("aria-busy", String(Boolean(live.turn)));
    if (atEnd || live.turn) log.scrollTop = log.scrollHeight;
    fetchWanted();
  }

  // ------------------------------------------------------------------------------------------------- question, head

  const text = make("textarea"), notice = make("span", "notice"), go = make("button", "go"), tray = make("div", "tray"), offers = make("div", "offers");
  text.rows = 1;
  text.maxLength = 2000;
  go.type = "button";
  notice.setAttribute("role", "status");
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
  };
  text.addEventListener("input", () => { typed = text.value; grow(); });
  const ask = (question) => {
    if (!question.trim() || model.get("status").busy) return;
    send({ type: "ask", question });
    text.value = typed = "";
    grow();
    text.focus();
  };
  go.addEventListener("click", () => (model.get("status").busy ? send({ type: "stop" }) : ask(text.value)));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask(text.value);
    }
  });
  const open = button("pick", "", () => { root.classList.toggle("side-open"); side.querySelector("input")?.focus(); });
  foot.append(offers, tray, make("div", "composer", "", [open, text, go]), notice);

  function drawFoot() {
    const w = words(), { busy, message } = model.get("status"), cards = model.get("chosen");
    remember(cards);
    text.placeholder = w.ask;
    text.setAttribute("aria-label", w.ask);
    go.textContent = busy ? w.stop : w.send;
    go.classList.toggle("stop", busy);
    open.replaceChildren(make("span", "", "◐"), make("span", "word", w.pictures));
    open.setAttribute("aria-label", w.pictures);
    notice.textContent = visible(message);
    root.dataset.busy = String(busy);
    const focused = foot.contains(document.activeElement) && document.activeElement !== text;
    offers.replaceChildren(...(busy ? [] : model.get("suggestions").map((q) => button("offer", q, () => ask(q)))));
    tray.replaceChildren(...cards.map((card, i) => {
      const name = cards.length > 1 ? `${i + 1}. ${card.label}` : card.label;
      return make("span", "chip", "", [picture(card), make("span", "name", name), button("remove", "✕", () => toggle(card.id), `${w.remove}: ${card.label}`)]);
    }));
    if (focused && !foot.contains(document.activeElement)) text.focus();
    fetchWanted();
  }

  const shelf = `jwvl-chat ${location.pathname}`;
  const kept = () => {
    try { return JSON.parse(localStorage.getItem(shelf)) ?? []; } catch { return []; }
  };
  function keep() {
    const name = model.get("status").conversation, first = model.get("turns")[0] ?? model.get("live");
    const entry = { name, title: first?.question ? String(first.question).slice(0, 60) : "" };
    const others = kept().filter((e) => e.name !== name && e.title);
    try { localStorage.setItem(shelf, JSON.stringify([entry, ...others].slice(0, 20))); } catch { /* a browser that keeps nothing */ }
  }

  function drawHead() {
    const w = words(), about = model.get("about");
    const brand = make("div", "brand", "", [make("span", "sun"), make("h1", "", w.title)]);
    const chips = make("div", "chips", "", [
      make("span", "chip date", about.report_date),
      make("span", `chip level ${about.level.replace(" ", "-")}`, `${w.level}: ${w.level_of[about.level] ?? about.level}`),
      make("span", "chip", language === "zh" ? `${about.n_regions}${w.regions}` : `${about.n_regions} ${w.regions}`),
    ]);
    if (about.watch.length) chips.append(make("span", "chip watch", `${w.watch}: ${about.watch.slice(0, 3).join(", ")}`));
    const quiet = make("span", "chip quiet", about.model ? `${w.model_name}: ${about.model}` : w.no_model);
    quiet.title = visible(about.model);
    chips.append(quiet);
    const tools = make("div", "tools");
    const earlier = kept().filter((e) => e.title);
    if (earlier.length) {
      const select = make("select");
      select.setAttribute("aria-label", w.earlier);
      select.append(make("option", "", w.earlier), ...earlier.map((e) => {
        const option = make("option", "", e.title);
        option.value = e.name;
        return option;
      }));
      select.options[0].value = "";
      select.addEventListener("change", () => select.value && send({ type: "open", name: select.value }));
      tools.append(select);
    }
    tools.append(button("tool fresh", w.fresh, () => { send({ type: "new" }); text.focus(); }));
    const other = language === "zh" ? "en" : "zh";
    const swap = button("tool", other === "zh" ? "中文" : "English", () => send({ type: "language", language: other }));
    swap.lang = languageTag(other);
    tools.append(swap);
    if (onPage) tools.append(button("tool flip", root.classList.contains("page") ? w.notebook : w.chat, () => {
      const page = root.classList.toggle("page");
      document.body.classList.toggle("jwvl-chat-page", page);
      (page ? document.body : el).append(root);
      drawHead();
    }));
    head.replaceChildren(brand, chips, tools);
    root.lang = languageTag(language);
    if (onPage) document.title = `JW-VL · ${w.title} · ${about.report_date}`;
  }

  function drawAll() {
    language = model.get("about").language;
    remember(model.get("chosen"));
    drawHead();
    drawSide();
    drawLog(true);
    drawFoot();
  }

  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Escape") return;
    hideHover();
    if (root.classList.contains("side-open")) root.classList.remove("side-open");
    else if (model.get("status").busy) send({ type: "stop" });
    text.focus();
  });
  for (const name of ["keyup", "keypress"]) root.addEventListener(name, (event) => event.stopPropagation());
  log.addEventListener("scroll", hideHover);

  const answered = () => {
    clearTimeout(waiting);
    root.classList.remove("late");
  };
  const changes = {
    "change:about": drawAll,
    "change:turns": () => { drawLog(); keep(); drawHead(); },
    "change:live": () => { answered(); drawLog(); },
    "change:gallery": () => { answered(); drawSide(); },
    "change:chosen": () => { answered(); drawSide(); drawFoot(); },
    "change:suggestions": drawFoot,
    "change:status": () => { answered(); keep(); drawFoot(); },
  };
  for (const [name, act] of Object.entries(changes)) model.on(name, act);
  drawAll();
  const last = kept()[0];
  if (onPage && last && last.name !== model.get("status").conversation) send({ type: "open", name: last.name });
  else keep();
  if (onPage) text.focus();
  return () => {
    for (const [name, act] of Object.entries(changes)) model.off(name, act);
    clearTimeout(waiting);
    for (const url of urls.values()) URL.revokeObjectURL(url);
    root.remove();
  };
}

export default { render };
