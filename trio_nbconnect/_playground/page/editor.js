// The editor: a network as a picture that one edits, and below it the race that Python has run on it.
//
// A scene is plain data (see scene.py); times are milliseconds, null is never. Every change makes a new scene, shows it,
// and has it run; while one race runs, only the newest of the scenes that came meanwhile is kept. The picture, its
// columns, the words and the code all come from Python: here nothing is computed but positions.
//
// `mount(root, {data, run, scene, link, changed})`: `run` takes JSON and promises JSON, see answer.py.

const SCALES = [200, 300, 400, 600, 800, 1000, 1500, 2000, 3000, 5000, 8000, 12000, 20000, 60000, 600000];
const COLORS = { accepts: "good", loses: "good", "silent TLS": "bad", refuses: "bad", unreachable: "bad", "no route": "bad", resets: "bad", drops: "none" };
const ANSWERS = [["https", "DNS HTTPS"], ["aaaa", "DNS AAAA"], ["a", "DNS A"], ["alternative", "DNS alt"]];
const DEFAULTS = { answers: {}, https: "none", name_servers: true, tls: false, ipv6: true, ipv4: true, prefers_ipv4: false, policy: {}, give_up_after: 5000 };
const MOST_HOSTS = 24;

const clone = (value) => JSON.parse(JSON.stringify(value));
const isIPv6 = (host) => host.ip.includes(":");
const shown = (time) => (time === null ? "never" : `${Math.round(time)} ms`);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") made.toggleAttribute(key, value);
    else if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function bare(scene) {
  const { id, group, title, about, ...rest } = scene;
  return { ...clone(DEFAULTS), ...clone(rest) };
}

export function encoded(scene) {
  const bytes = new TextEncoder().encode(JSON.stringify(scene));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function decoded(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const scene = JSON.parse(new TextDecoder().decode(bytes));
  if (!Array.isArray(scene?.hosts) || !scene.hosts.every((host) => typeof host?.ip === "string")) throw new Error("no scene");
  return { ...clone(DEFAULTS), ...scene };
}

export function mount(root, { data, run, scene: first, link = false, changed = () => {} }) {
  const byName = new Map(data.scenes.map((scene) => [scene.id, scene]));
  let scene = bare(first ?? data.scenes[0]);
  let chosen = first ? "" : data.scenes[0].id;
  let undone = [], done = [];
  let columns = { width: 890, chart: 220, end: 687, span: 600 };
  let until = 400, atLeast = 300;
  let held = null; // the scene before the handle that is being moved was touched
  let result = null, step = -1, notice = "";
  let running = false, waiting = false, detailsLater = 0, linkLater = 0;

  root.classList.add("nb-playground");
  const scenes = element("select", { "aria-label": "Scene", onchange: () => choose(scenes.value) });
  const about = element("p", { class: "about soft" });
  const undoButton = element("button", { onclick: undo, title: "Ctrl+Z" }, "Undo");
  const redoButton = element("button", { onclick: redo, title: "Ctrl+Shift+Z" }, "Redo");
  const scale = element("select", { "aria-label": "Scale", onchange: () => { atLeast = Number(scale.value); update({ rebuild: false }); } },
    ...[[300, "Scale that fits"], [950, "At least 1 s"], [2900, "At least 3 s"], [7800, "At least 8 s"]].map(([value, label]) => element("option", { value }, label)));
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" });
  const rows = element("div", { role: "group", "aria-label": "The network" });
  const network = element("div", { class: "network" }, ticks, rows);
  const numbers = element("div", { class: "numbers" });
  const more = element("div", { class: "numbers" });
  const switches = element("div", { class: "switches" });
  const image = element("img", { alt: "The race, not run yet" });
  const future = element("div", { class: "future", hidden: true });
  const picture = element("div", { class: "picture" }, image, future);
  const status = element("p", { class: "status", role: "status" }, "Loading Python. You can move things already.");
  const said = element("p", { class: "said", "aria-live": "polite" });
  const list = element("ol", { onkeydown: walk });
  const rule = element("div", { "aria-live": "polite" });
  const back = element("button", { onclick: () => select(step - 1) }, "◀ Back");
  const next = element("button", { onclick: () => select(step + 1) }, "Next step ▶");
  const whole = element("button", { onclick: () => select(-1) }, "Whole race");
  const order = element("table");
  const code = element("code");

  root.replaceChildren(
    element("div", { class: "bar-of-tools" }, scenes, undoButton, redoButton, scale,
      ...(link ? [element("button", { onclick: (event) => copy(event.target, location.href) }, "Copy link")] : [])),
    about,
    element("p", { class: "soft hint" }, "The rows DNS say when a name server answers. The rows of addresses say what each does when it is connected to, and after how long."),
    network,
    element("div", { class: "bar-of-tools" },
      element("button", { onclick: () => add(true), "data-key": "add6" }, "+ IPv6 address"),
      element("button", { onclick: () => add(false), "data-key": "add4" }, "+ IPv4 address")),
    switches, numbers,
    element("details", {}, element("summary", {}, "All numbers of the policy"), more),
    element("h2", {}, "The race"),
    status, said, picture,
    element("h2", {}, "What happened, step by step"),
    element("div", { class: "bar-of-tools" }, back, next, whole),
    element("div", { class: "steps" }, list, rule),
    element("h2", {}, "Why in this order"),
    element("div", { class: "wide" }, order),
    element("h2", {}, "The same in Python"),
    element("div", { class: "bar-of-tools" }, element("button", { onclick: (event) => copy(event.target, code.textContent) }, "Copy Python")),
    element("pre", { tabindex: "0" }, code),
  );
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.type === "number") return;
    event.preventDefault();
    event.stopPropagation();
    (event.shiftKey ? redo : undo)();
  });

  let group;
  for (const each of data.scenes) {
    if (group?.label !== each.group) scenes.append((group = element("optgroup", { label: each.group })));
    group.append(element("option", { value: each.id }, each.title));
  }
  scenes.append(element("option", { value: "", hidden: true }, "A scene of your own"));

  // What is changed, and how it is taken back.

  function change(edit, { live = false } = {}) {
    const before = clone(scene);
    edit(scene);
    if (live) held ??= before;
    else remember(before);
    chosen = "";
    update({ rebuild: !live });
  }

  function remember(before) {
    if (JSON.stringify(before) === JSON.stringify(scene)) return;
    done.push(before);
    if (done.length > 200) done.shift();
    undone = [];
  }

  function release() {
    if (held === null) return;
    const before = held;
    held = null;
    remember(before);
    update({ rebuild: false });
  }

  function undo() {
    if (!done.length) return;
    undone.push(clone(scene));
    scene = done.pop();
    chosen = "";
    update({ rebuild: true });
  }

  function redo() {
    if (!undone.length) return;
    done.push(clone(scene));
    scene = undone.pop();
    chosen = "";
    update({ rebuild: true });
  }

  function choose(name) {
    if (!byName.has(name)) return;
    const before = clone(scene);
    scene = bare(byName.get(name));
    chosen = name;
    remember(before);
    update({ rebuild: true });
  }

  function add(ipv6) {
    const taken = new Set(scene.hosts.map((host) => host.ip));
    let number = 1;
    const named = () => (ipv6 ? `2001:db8::${number.toString(16)}` : `192.0.2.${number}`);
    while (taken.has(named())) number++;
    change((scene) => scene.hosts.push({ ip: named(), does: "accepts", after: 50 }));
  }

  function update({ rebuild }) {
    if (held === null) rescale();
    step = -1;
    if (rebuild) build();
    place();
    undoButton.disabled = !done.length;
    redoButton.disabled = !undone.length;
    scenes.value = chosen;
    about.textContent = notice || byName.get(chosen)?.about || `A scene of your own.${link ? " The link to it is in the address of this page." : ""}`;
    notice = "";
    request();
    if (link) {
      clearTimeout(linkLater);
      linkLater = setTimeout(() => history.replaceState(null, "", `#${chosen || encoded(scene)}`), 200);
    }
  }

  function rescale() {
    const times = [...shownAnswers().map(([name]) => scene.answers[name] ?? 0), ...scene.hosts.filter((host) => host.does !== "drops").map((host) => host.after ?? 0)];
    if (result) times.push(result.duration / 1.02);
    const needed = 1.02 * Math.max(...times, atLeast);
    until = SCALES.find((scale) => scale >= needed) ?? needed;
  }

  // The network, drawn.

  function shownAnswers() {
    return ANSWERS.filter(([name]) => (name === "https" ? scene.name_servers : name === "alternative" ? scene.name_servers && scene.https === "alternative" : name === "aaaa" ? scene.ipv6 : scene.ipv4));
  }

  function time(row) {
    if (row.answer) return scene.answers[row.answer] === undefined ? 20 : scene.answers[row.answer];
    const host = scene.hosts[row.host];
    return host.does === "drops" ? null : host.does === "no route" ? 0 : host.after;
  }

  function setTime(row, value) {
    change((scene) => {
      if (row.answer) scene.answers[row.answer] = value;
      else {
        const host = scene.hosts[row.host];
        if (value === null) host.does = "drops";
        else {
          if (host.does === "drops") host.does = "accepts";
          host.after = value;
        }
      }
    }, { live: true });
  }

  let drawn = [];
  function build() {
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    drawn = [
      ...shownAnswers().map(([answer, label]) => ({ answer, label })),
      ...scene.hosts.map((host, index) => ({ host: index, label: host.ip })),
    ];
    rows.replaceChildren(...drawn.map(buildRow));
    buildControls();
    if (focused) root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  function buildRow(row) {
    const host = row.answer ? null : scene.hosts[row.host];
    const key = row.answer ?? host.ip;
    row.slider = element("input", {
      type: "range", min: "0", step: "1", "data-key": key, "aria-label": `${row.label} answers after`,
      oninput: () => setTime(row, valueOf(row)), onchange: release, onkeydown: (event) => press(row, event),
    });
    row.value = element("output", {});
    row.filled = element("div", { class: "filled" });
    row.wait = element("div", { class: "wait", hidden: true }, element("span"));
    row.track = element("div", { class: "track" }, row.filled, row.wait, row.slider);
    const name = element("div", { class: "name" }, element("code", {}, row.label));
    const value = element("div", { class: "value" }, row.value);
    if (host) {
      row.does = element("select", { "aria-label": `What ${host.ip} does`, "data-key": `does ${key}`, onchange: (event) => does(row, event.target.value) },
        ...data.deeds.map((deed) => element("option", { value: deed.name, title: deed.words }, deed.label)));
      name.append(row.does);
      value.append(element("button", { "aria-label": `Remove ${host.ip}`, "data-key": `remove ${key}`, title: "Remove",
        onclick: () => change((scene) => scene.hosts.splice(row.host, 1)) }, "×"));
    }
    row.element = element("div", { class: "row" }, name, row.track, value);
    return row.element;
  }

  function does(row, deed) {
    change((scene) => {
      const host = scene.hosts[row.host];
      host.does = deed;
      host.after ??= 50;
    });
  }

  const zone = () => (columns.width < 720 ? 12 : 30);
  const perPixel = () => columns.span / (columns.end - columns.chart);

  function valueOf(row) {
    const value = Number(row.slider.value);
    return value > columns.span + (zone() / 2) * perPixel() ? null : Math.min(Math.round(value), Math.round(columns.span));
  }

  function press(row, event) {
    const by = { ArrowLeft: -10, ArrowDown: -10, ArrowRight: 10, ArrowUp: 10, PageDown: -50, PageUp: 50 }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const now = time(row), moved = event.shiftKey ? Math.sign(by) : by;
    if (now === null) setTime(row, moved < 0 ? Math.round(columns.span) : null);
    else setTime(row, now + moved > 600000 ? null : Math.max(0, now + moved));
    release();
  }

  function place() {
    const narrow = columns.width < 720;
    network.classList.toggle("narrow", narrow);
    root.style.setProperty("--chart", `${columns.chart}px`);
    root.style.setProperty("--end", `${columns.end}px`);
    root.style.setProperty("--zone", `${zone()}px`);
    const scale = columns.end - columns.chart;
    const x = (time) => Math.min(time / columns.span, 1) * scale;
    for (const row of drawn) {
      const at = time(row), host = row.answer ? null : scene.hosts[row.host];
      const color = row.answer ? "dns" : COLORS[host.does];
      row.element.className = `row ${row.answer ? "dns" : ""} ${at === null ? "never" : ""}`;
      row.element.style.setProperty("--row", `var(--${color})`);
      const most = columns.span + zone() * perPixel();
      if (Number(row.slider.max) !== most) row.slider.max = most;
      if (held === null || document.activeElement !== row.slider) row.slider.value = at === null ? most : Math.min(at, columns.span);
      row.slider.disabled = host?.does === "no route";
      row.slider.setAttribute("aria-valuetext", shown(at));
      row.filled.style.width = `${at === null ? scale : x(at)}px`;
      row.value.textContent = host?.does === "loses" ? `1 s + ${shown(at)}` : shown(at);
      if (row.does) row.does.value = host.does;
    }
    placeWait(x);
    placeTicks(x);
  }

  function placeWait(x) {
    const usable = (name) => shownAnswers().some(([known]) => known === name) && (scene.answers[name] === undefined ? 20 : scene.answers[name]) !== null && scene.hosts.some((host) => !host.alternative && isIPv6(host) === (name === "aaaa"));
    const known = ["aaaa", "a"].filter(usable).map((name) => [scene.answers[name] ?? 20, name]).sort((one, other) => one[0] - other[0]);
    const preferred = scene.prefers_ipv4 ? "a" : "aaaa";
    const [since, by] = known[0] ?? [];
    const delay = scene.policy.resolution_delay === undefined ? 50 : scene.policy.resolution_delay;
    for (const row of drawn) {
      row.wait.hidden = !(scene.name_servers && row.answer === by && by && by !== preferred && delay && scene[preferred === "aaaa" ? "ipv6" : "ipv4"]);
      if (row.wait.hidden) continue;
      row.wait.style.left = `${x(since)}px`;
      row.wait.style.width = `${x(since + delay) - x(since)}px`;
      row.wait.firstChild.textContent = columns.width < 720 ? "Resolution Delay" : `Resolution Delay: waits ${shown(delay)} for ${preferred.toUpperCase()}`;
    }
  }

  function placeTicks(x) {
    const room = (columns.end - columns.chart) / 80;
    const apart = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000].find((each) => columns.span / each <= room) ?? columns.span;
    const marks = [];
    for (let at = 0; at <= columns.span + 0.5; at += apart) {
      const mark = element("div", { class: "tick" }, element("span", {}, at ? `${at}` : "0 ms"));
      mark.style.left = `${columns.chart + x(at)}px`;
      marks.push(mark);
    }
    ticks.replaceChildren(...marks);
  }

  // The policy and the rest.

  function buildControls() {
    const flag = (name, label) => element("label", {}, element("input", { type: "checkbox", checked: scene[name], "data-key": name, onchange: (event) => change((scene) => (scene[name] = event.target.checked)) }), label);
    const https = element("select", { "data-key": "https select", onchange: (event) => change((scene) => (scene.https = event.target.value)) },
      ...[["none", "none"], ["plain", "this name"], ["hints", "with hints"], ["alternative", "two services"]].map(([value, label]) => element("option", { value, selected: value === scene.https }, label)));
    https.disabled = !scene.name_servers;
    switches.replaceChildren(
      flag("name_servers", "ask name servers, not the system"), element("label", {}, "HTTPS record", https), flag("tls", "TLS in the race"),
      flag("ipv6", "this machine has IPv6"), flag("ipv4", "IPv4"), flag("prefers_ipv4", "prefer IPv4"));
    const [attempt, resolution, ...others] = data.policy;
    numbers.replaceChildren(slider(attempt, 10, 1000), slider(resolution, 0, 500));
    more.replaceChildren(...others.map(numberOf), giveUp());
  }

  function valueOfPolicy(number) {
    return scene.policy[number.name] === undefined ? number.default : scene.policy[number.name];
  }

  function setPolicy(number, value, options) {
    change((scene) => {
      if (value === number.default) delete scene.policy[number.name];
      else scene.policy[number.name] = value;
    }, options);
  }

  function words(number) {
    return element("span", { class: "soft" }, number.words + (number.section ? ` (RFC 8305, section ${number.section})` : ""));
  }

  function slider(number, least, most) {
    const output = element("output", {}, shown(valueOfPolicy(number)));
    const input = element("input", { type: "range", min: least, max: most, step: "1", value: Math.min(valueOfPolicy(number) ?? most, most), "data-key": number.name,
      "aria-valuetext": shown(valueOfPolicy(number)),
      oninput: () => { output.textContent = shown(Number(input.value)); input.setAttribute("aria-valuetext", output.textContent); setPolicy(number, Number(input.value), { live: true }); },
      onchange: release });
    return element("label", {}, element("b", {}, number.label), output, words(number), input);
  }

  function numberOf(number) {
    const input = element("input", { type: "number", min: number.name.includes("_count") || number.name.includes("pace") ? "1" : "0", step: "1", placeholder: "never", value: valueOfPolicy(number) ?? "", "data-key": number.name,
      onchange: () => setPolicy(number, input.value === "" ? null : Math.round(Number(input.value))) });
    return element("label", {}, element("b", {}, number.label), input, words(number));
  }

  function giveUp() {
    const input = element("input", { type: "number", min: "0", step: "100", placeholder: "never", value: scene.give_up_after ?? "", "data-key": "give_up_after",
      onchange: () => change((scene) => (scene.give_up_after = input.value === "" ? null : Math.round(Number(input.value)))) });
    return element("label", {}, element("b", {}, "Limit of the whole call"), input, element("span", { class: "soft" }, "how long the race may take, in milliseconds"));
  }

  // The race.

  async function request() {
    if (running) {
      waiting = true;
      return;
    }
    running = true;
    do {
      waiting = false;
      const width = Math.max(320, Math.round(picture.clientWidth || columns.width));
      try {
        show(JSON.parse(await run(JSON.stringify({ scene, width, until }))));
      } catch (error) {
        say(`The race could not be run: ${error.message}`, true);
      }
    } while (waiting);
    running = false;
  }

  function say(words, isError = false) {
    status.textContent = words;
    status.classList.toggle("error", isError);
  }

  function show(answered) {
    if (answered.error) {
      say(`This does not work: ${answered.error}`, true);
      return;
    }
    result = answered;
    say("");
    image.src = `data:image/svg+xml,${encodeURIComponent(result.svg)}`;
    image.alt = result.headline;
    root.dataset.races = Number(root.dataset.races ?? 0) + 1;
    if (held === null) {
      const before = until;
      rescale();
      if (before !== until) waiting = true;
      columns = result.columns;
      place();
    }
    clearTimeout(detailsLater);
    detailsLater = setTimeout(details, held === null ? 0 : 120);
  }

  function details() {
    said.textContent = result.headline;
    list.replaceChildren(...result.steps.map((each, index) => element("li", {}, element("button", { onclick: () => select(index), tabindex: index ? "-1" : "0" }, element("time", {}, shown(each.time * 1000)), each.words))));
    const [headings, ...placed] = result.order;
    order.replaceChildren(
      element("thead", {}, element("tr", {}, ...headings.map((words) => element("th", { scope: "col" }, words)))),
      element("tbody", {}, ...placed.map((row) => element("tr", {}, ...row.map((words) => element("td", {}, words))))));
    code.textContent = result.code;
    changed(scene, result);
    select(step);
  }

  function select(index) {
    const steps = result?.steps ?? [];
    step = Math.max(-1, Math.min(index, steps.length - 1));
    const buttons = [...list.querySelectorAll("button")];
    buttons.forEach((button, number) => {
      button.toggleAttribute("aria-current", number === step);
      if (number === step) button.setAttribute("aria-current", "step");
      button.tabIndex = number === Math.max(step, 0) ? 0 : -1;
    });
    if (step >= 0) buttons[step].scrollIntoView({ block: "nearest" });
    back.disabled = step <= 0;
    next.disabled = step >= steps.length - 1;
    whole.disabled = step < 0;
    future.hidden = step < 0;
    const chosen = steps[step];
    rule.replaceChildren(...(!chosen ? [element("p", { class: "soft" }, "Take one step after the other: the picture then ends where the story is, and here is the sentence that ruled.")]
      : chosen.rule ? [element("b", {}, chosen.rule.where), element("blockquote", {}, chosen.rule.quote)]
      : [element("p", { class: "soft" }, "Nothing to decide here.")]));
    if (!chosen) return;
    const { chart, end, span, width } = result.columns, shrunk = picture.clientWidth / width;
    const at = (chart + Math.min((chosen.time * 1000) / span, 1) * (end - chart)) * shrunk;
    future.style.left = `${at - 1}px`;
    future.style.width = `${Math.max(end * shrunk - at, 0)}px`;
  }

  function walk(event) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    select(Math.max(0, step + by));
    list.querySelector('[aria-current="step"]')?.focus();
  }

  async function copy(button, text) {
    const label = button.textContent;
    try {
      if (link) history.replaceState(null, "", `#${chosen || encoded(scene)}`);
      await navigator.clipboard.writeText(button.textContent === "Copy link" ? location.href : text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser does not allow it";
    }
    setTimeout(() => (button.textContent = label), 1500);
  }

  function follow() {
    const text = decodeURIComponent(location.hash.slice(1));
    if (!text || text === chosen) return;
    if (byName.has(text)) {
      scene = bare(byName.get(text));
      chosen = text;
    } else {
      try {
        const read = decoded(text);
        if (JSON.stringify(read) === JSON.stringify(scene)) return;
        [scene, chosen] = [read, ""];
      } catch {
        notice = "The link holds no scene; it may have been cut off. Here is another one.";
      }
    }
    [done, undone] = [[], []];
  }

  if (link) {
    follow();
    addEventListener("hashchange", () => { follow(); update({ rebuild: true }); });
  }
  new ResizeObserver(() => { if (Math.round(picture.clientWidth) !== columns.width) request(); }).observe(picture);
  update({ rebuild: true });
  return { get scene() { return clone(scene); }, get result() { return clone(result); }, get isRunning() { return running; }, get link() { return `#${chosen || encoded(scene)}`; }, choose };
}
