/* In every view of an app: says in words what is happening, and tells the frame around the page how high it is.
 *
 * What is happening comes over a WebSocket that the server answers also while the kernel is busy or gone.
 * The page's own BokehJS is left alone. */
(function () {
  "use strict";

  const script = document.currentScript;
  const { bokehmountToken: token, bokehmountState: first, bokehmountText: words, bokehmountDetail: detail,
    bokehmountRun: run } = script.dataset;
  const isShell = first === "busy" || first === "starting";
  const isApp = !first;
  const QUEUED = "The kernel is busy. What you do here is carried out when it is free.";
  const NOTHING = "This app shows nothing yet: it has added nothing to its Document, as doc.add_root(...) does.";
  const FINAL = new Set(["restarted", "gone", "ended", "raised", "refused", "missing"]);

  // Our words ------------------------------------------------------------------------------------------------------

  // Over an app that works they are small and let clicks through; once it works no more they stand above it.  What the
  // app printed stands below it: a frame grows, and a tab, which can't, shows it at its lower edge.
  const framed = window.parent !== window;
  const STYLE = `
    :host { all: initial; display: flow-root; flex: none; font: 13px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
    :host([data-place="over"]) { position: fixed; inset: 0 0 auto auto; max-width: 100%; z-index: 2147483000; pointer-events: none; }
    :host([data-place="below"]) { position: fixed; inset: auto 0 0 0; z-index: 2147483000; pointer-events: none; }
    section { margin: 6px; padding: 8px 12px; border-radius: 6px; color: #1b1f24; background: #eef3fb; border: 1px solid #9bb8e8; }
    :host([data-place]) section { box-shadow: 0 2px 8px rgb(0 0 0 / 18%); }
    :host([data-place="below"]) section, button { pointer-events: auto; }
    section[hidden] { display: none; }
    .spoken { position: fixed; inset: 0 auto auto 0; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
      white-space: nowrap; }
    section[data-kind="bad"] { background: #fdf0ef; border-color: #d9867f; }
    section[data-kind="busy"] { background: #fff8e6; border-color: #d8b24a; }
    .row { display: flex; gap: 12px; align-items: center; justify-content: space-between; }
    button { font: inherit; color: inherit; background: #fff; border: 1px solid currentColor; border-radius: 4px; padding: 2px 10px;
      cursor: pointer; flex: none; }
    button:focus-visible, pre:focus-visible { outline: 2px solid #1a66d6; outline-offset: 2px; }
    pre { margin: 8px 0 0; max-height: 300px; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
      font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; background: rgb(255 255 255 / 70%); padding: 8px; border-radius: 4px; }
    :host([data-bokehmount="output"]) pre { max-height: 160px; }
    :host([data-place="below"]) pre { max-height: 25vh; }
    pre .error { color: #a3241b; }`;

  const status = panel("status", "What is happening", "Traceback");
  const output = panel("output", "Output of the app", "What it says");
  const host = status.host;
  host.tabIndex = -1;

  function panel(name, label, more) {
    const host = document.createElement("div");
    host.dataset.bokehmount = name;
    const root = host.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = STYLE;
    const box = document.createElement("section");
    box.hidden = true;
    box.setAttribute("aria-label", label);
    const row = document.createElement("div");
    row.className = "row";
    const text = document.createElement("span");
    // what is filled while it is shown is not read out as a rule: words are said at a place that is always there
    const spoken = document.createElement("div");
    spoken.className = "spoken";
    spoken.setAttribute("role", "status");
    spoken.setAttribute("aria-live", "polite");
    const say = (words) => {
      text.textContent = words;
      if (spoken.textContent !== words) spoken.textContent = words;
    };
    const button = document.createElement("button");
    button.type = "button";
    button.hidden = true;
    row.append(text, button);
    const pre = document.createElement("pre");
    pre.hidden = true;
    pre.tabIndex = 0;
    pre.setAttribute("role", "group");
    pre.setAttribute("aria-label", more);
    box.append(row, pre);
    root.append(style, spoken, box);
    return { host, root, box, text, say, button, pre };
  }

  function place(host, where) {
    if (where) host.dataset.place = where;
    else delete host.dataset.place;
  }

  function attach() {
    document.body.prepend(host);
    if (isApp) document.body.append(output.host);
    if (!framed) place(output.host, "below");
  }

  let state = "";

  function show(newState, text, more) {
    if (newState === "ready" && isEmpty()) text = NOTHING;
    const hasButton = FINAL.has(newState) || ["lost", "loggedout"].includes(newState);
    if (!hasButton) leaveFocus(status);
    state = newState;
    host.dataset.state = newState;
    host.dataset.text = text || "";
    status.box.hidden = !text;
    place(host, isApp && !FINAL.has(newState) ? "over" : "");
    status.say(text || "");
    status.box.dataset.kind = FINAL.has(newState) ? "bad" : ["busy", "lost", "loggedout"].includes(newState) ? "busy" : "info";
    status.pre.hidden = !(more && more.detail);
    status.pre.textContent = (more && more.detail) || "";
    const reload = { label: isApp ? "Reload" : "Try again", act: () => go(address(false)) };
    const action = more && more.action ? more.action : reload;
    status.button.hidden = !hasButton;
    status.button.textContent = action.label;
    status.button.onclick = action.act;
    if (FINAL.has(newState)) tellSession(null);
    if (FINAL.has(newState) && failedRun === null) noteRun();
    post({ type: "bokehmount:state", state: newState, text: text || "" });
    steer();
    measureSoon();
  }

  /** What is taken away would take the focus with it: from here the next tab stop is the app's first. */
  function leaveFocus({ root }) {
    if (root.activeElement !== null) host.focus({ preventScroll: true });
  }

  function isEmpty() {
    const docs = (window.Bokeh && window.Bokeh.documents) || [];
    return isApp && docs.length > 0 && docs.every((doc) => doc.roots().length === 0);
  }

  function printed(text, isError, trouble = "A callback of the app raised:") {
    const piece = document.createElement("span");
    piece.textContent = text;
    if (isError) piece.className = "error";
    output.pre.append(piece);
    while (output.pre.childNodes.length > 500) output.pre.firstChild.remove();
    output.pre.hidden = false;
    if (isError) {
      output.box.dataset.kind = "bad";
      output.say(trouble);
    } else if (!output.text.textContent) {
      output.say("The app printed:");
    }
    output.button.hidden = false;
    output.button.textContent = "Dismiss";
    output.button.onclick = () => {
      leaveFocus(output);
      output.box.hidden = true;
      measureSoon();
      output.pre.replaceChildren();
      output.say("");
      delete output.box.dataset.kind;
    };
    output.box.hidden = false;
    output.pre.scrollTop = output.pre.scrollHeight;
    measureSoon();
  }

  // Where this page is ----------------------------------------------------------------------------------------------

  const XSRF = /(?:^|; )_xsrf=([^;]*)/;

  function address(withToken, path = location.pathname) {
    const query = new URLSearchParams(location.search);
    for (const name of ["bokeh-token", "token", "_xsrf"]) query.delete(name);
    if (withToken) query.set("bokeh-token", token);
    const text = query.toString();
    return path + (text ? `?${text}` : "");
  }

  /** Take what has done its work out of the address. */
  function forget(...names) {
    const url = new URL(location.href);
    const there = names.filter((name) => url.searchParams.has(name));
    if (there.length === 0) return;
    for (const name of there) url.searchParams.delete(name);
    history.replaceState(history.state, "", url);
  }

  // an address that is copied, or a reload, begins a new session
  if (isApp) forget("bokeh-token");
  // and does not log anybody in: the cookie does now
  forget("token");
  // a frame that is reloaded needs it
  if (!framed) forget("_xsrf");

  /** Go to a page of ours.  Where the server forbids frames, who asks for a page in one has to know the XSRF token. */
  function go(page) {
    const xsrf = framed && XSRF.exec(document.cookie);
    const url = new URL(page, location.href);
    if (xsrf) url.searchParams.set("_xsrf", xsrf[1]);
    forget("_xsrf"); // a page is told where it was asked from
    location.replace(url);
  }

  let title = null;

  /** BokehJS gives the page its app's title, when it loads and whenever the app changes it. */
  function tellTitle() {
    if (document.title === title) return;
    title = document.title;
    post({ type: "bokehmount:title", title });
  }

  /** A frame that is put elsewhere in its page loads anew: so that it finds this session there. */
  function tellSession(session) {
    post({ type: "bokehmount:page", session });
  }

  // What is happening ----------------------------------------------------------------------------------------------

  let socket = null;
  let failures = 0;
  let failedRun = isApp || isShell ? null : run; // of the cell that showed what has failed; null where nobody knows

  let again = 0;

  const PATIENCE = 7000; // with a connection that neither opens nor fails, as where a network swallows packets

  function listen() {
    clearTimeout(again);
    if (socket !== null) return;
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname.replace(/\/+$/, "")}/ws`;
    const failed = FINAL.has(state) && failedRun !== null ? `?failed=${encodeURIComponent(failedRun)}` : "";
    socket = new WebSocket(url + failed, ["bokehmount", token]);
    setTimeout(giveUp, PATIENCE, socket);
    socket.onopen = () => socket.send("watching");
    socket.onmessage = (event) => {
      failures = 0;
      heard(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      socket = null;
      if (leaving) return;
      if (event.code >= 4000) {
        if (FINAL.has(state)) return;
        show(event.code === 4410 ? "ended" : "gone", event.reason || "The server closed this view: reload it.");
        return;
      }
      failures += 1;
      tryAgain();
    };
  }

  /** Browsers open one WebSocket to a server at a time, so it may be BokehJS's that holds ours up. */
  function giveUp(opening) {
    if (opening.readyState !== WebSocket.CONNECTING) return;
    opening.close();
    const connection = lostEvent && lostEvent.connection && lostEvent.connection.deref();
    const other = connection && connection.socket;
    if (other && other.readyState === WebSocket.CONNECTING) other.close();
  }

  function isListening() {
    return socket !== null && socket.readyState === WebSocket.OPEN;
  }

  async function tryAgain() {
    // where nothing is to go on there is nothing to say either
    const out = failures > 1 && !FINAL.has(state) && (await isLoggedOut());
    if (leaving || socket !== null) return;
    if (out) {
      // in a tab of its own, since a login page may not be framed
      const action = { label: "Log in", act: () => open(address(false), "_blank", "noopener") };
      show("loggedout", "You are logged out, or your server was stopped. Log in, and this view goes on.", { action });
      again = setTimeout(listen, 60000); // or when the user comes back to this page
      return;
    }
    if (failures > 1 && !FINAL.has(state)) show("lost", "The connection to the Jupyter server is lost; trying again.");
    again = setTimeout(listen, Math.min(30000, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
  }

  /** JupyterHub refuses requests without its token. */
  function ask(url) {
    const xsrf = XSRF.exec(document.cookie);
    const headers = xsrf === null ? {} : { "X-XSRFToken": xsrf[1] };
    return fetch(url, { cache: "no-store", redirect: "manual", headers, signal: AbortSignal.timeout(PATIENCE) });
  }

  /** A WebSocket that is refused doesn't say why; a request does. */
  async function isLoggedOut() {
    if (!XSRF.test(document.cookie)) return false;
    try {
      const answer = await ask(script.src);
      return answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403;
    } catch {
      return false;
    }
  }

  /** What has failed here is not to be taken for another app, when this page listens again after a break. */
  async function noteRun() {
    try {
      const { apps } = await (await ask(new URL("../api/apps", script.src))).json();
      const here = apps.find((app) => location.pathname.replace(/\/+$/, "").endsWith(`/${app.url}`));
      failedRun = (here && here.run) || "";
    } catch {
      // it can't be moved to another app then
    }
  }

  function comeBack() {
    if (state === "loggedout" && socket === null && !document.hidden) listen();
  }
  addEventListener("focus", comeBack);
  document.addEventListener("visibilitychange", comeBack);

  function heard(message) {
    // a kernel's load is of no use any more where there is nothing to wait for; only that there is an app again is
    if (FINAL.has(state) && ["ready", "starting", "busy"].includes(message.state)) return;
    switch (message.state) {
      case "ready":
        if (isShell) {
          go(address(true));
        } else {
          if (lostEvent !== null) comeBackTo(lostEvent);
          show("ready", "");
        }
        break;
      case "moved":
        tellSession(null);
        go(address(false, message.url));
        break;
      case "output":
        printed(message.text, message.error);
        break;
      case "unsent":
        printed(`${message.text}\n`, true, "The app did not get what you sent:");
        break;
      case "busy":
        show("busy", isApp && !message.silent ? QUEUED : message.text);
        break;
      default:
        show(message.state, message.text, message);
    }
  }

  // Use: what BokehJS sends need not be its user's doing, and servers that nobody uses are stopped ------------------------

  const USE = ["pointerdown", "pointermove", "keydown", "wheel"];
  const OFTEN = 5000;
  let lastUsed = -OFTEN;

  function used(event) {
    // a page that moves below a pointer at rest is not used
    if (!event.isTrusted || (event.type === "pointermove" && !event.movementX && !event.movementY)) return;
    if (performance.now() - lastUsed < OFTEN || !isListening()) return;
    lastUsed = performance.now();
    socket.send("used");
  }
  for (const type of USE) addEventListener(type, used, { capture: true, passive: true });

  let leaving = false;
  addEventListener("pagehide", () => {
    leaving = true;
    if (socket !== null) socket.close(1000);
  });

  // BokehJS gives up after five tries, and goes on trying where there is nothing any more: whether to try is decided here,
  // where the reason is known, and one notice of it is enough.
  let lostEvent = null;
  const lossHeard = new WeakSet();
  const known = new WeakSet();

  /** The session goes on: BokehJS before 3.8 can't connect again, so there the page is loaded again. */
  function comeBackTo(event) {
    if (event.reconnect) {
      event.reconnect(); // does nothing where it is at it already
    } else {
      lostEvent = null; // once is enough
      go(address(true));
    }
  }

  function steer() {
    for (const doc of (window.Bokeh && window.Bokeh.documents) || []) {
      if (!lossHeard.has(doc)) {
        lossHeard.add(doc);
        doc.on_event("connection_lost", (_, event) => {
          lostEvent = event;
          // BokehJS before 3.8 leaves it at that, and may say so when all else is back, or was never away
          if (!event.reconnect && isListening() && !FINAL.has(state)) comeBackTo(event);
        });
      }
      // it is being read, and asking for its configuration would raise; or this BokehJS has none
      if (doc._config == null) continue;
      // not synced: the app's own Document in Python is not concerned
      doc.config.setv({ notify_connection_status: false, reconnect_session: !FINAL.has(state) }, { sync: false });
      if (known.has(doc)) continue;
      known.add(doc);
      doc.on_event("client_reconnected", () => { lostEvent = null; });
      // a Document that is read anew has its configuration anew, and BokehJS looks at it at once
      const replace = doc.replace_with_json.bind(doc);
      doc.replace_with_json = (json) => { kept(doc, () => replace(json)); steer(); };
    }
  }

  /** BokehJS would send a Document that it has just read back to the app, all of it, as new: it may be too large for that. */
  function kept(doc, read) {
    doc.add_root = (root, options) => Object.getPrototypeOf(doc).add_root.call(doc, root, { ...options, sync: false });
    try {
      read();
    } finally {
      delete doc.add_root;
      if (doc._new_models) doc._new_models.clear();
    }
  }

  /** Without BokehJS and the files of models there is no app; what else an app loads may be missing. */
  function notLoaded(source) {
    const name = source.replace(location.origin, "");
    const ours = source.startsWith(new URL("..", script.src).href) && name.includes("/static/");
    if (ours && !((window.Bokeh && window.Bokeh.documents) || []).length) {
      show("gone", `A file of the app could not be loaded: ${name}`);
    } else {
      printed(`${name} could not be loaded.\n`, true, "Something of the app is missing:");
    }
  }

  if (isApp) {
    const look = setInterval(() => {
      if (state === "ready" && isEmpty() !== (host.dataset.text === NOTHING)) show("ready", "");
      steer();
    }, 500);
    setTimeout(() => clearInterval(look), 120000);
    addEventListener("error", (event) => {
      const source = event.target && event.target.tagName === "SCRIPT" && event.target.src;
      if (source) notLoaded(source);
    }, true);
  }

  // How high the page is -------------------------------------------------------------------------------------------

  const ROOM = 120; // as frames begin: what fills a lower one could not be told from what is that low
  const FILLING = 500; // for content that takes whatever room it has, and so says nothing of its height
  let told = 0;
  let grown = 0;
  let fills = false;
  let due = false;
  let opened = -Infinity; // when something was done that may open a menu
  let hungOver = null; // how high the page was without what hangs over its end

  function bottom(element) {
    if (isApp && element.dataset.bokehmount) return 0;
    const style = getComputedStyle(element);
    if (style.display === "none" || style.position === "fixed") return 0;
    if (style.display !== "contents") return element.getBoundingClientRect().bottom + parseFloat(style.marginBottom || "0");
    return Math.max(0, ...[...element.children].map(bottom));
  }

  /** Where a menu or a calendar ends that hangs over the end of the app; it takes no room there. */
  function overhang(element) {
    const over = getComputedStyle(element).overflowY === "visible" ? element.scrollHeight - element.clientHeight : 0;
    return over > 8 ? element.getBoundingClientRect().bottom + over : 0;
  }

  function openedSomething() {
    opened = performance.now();
    measureSoon();
    setTimeout(measureSoon, 300); // some come slowly
  }
  for (const type of ["click", "focusin", "focusout", "keyup"]) {
    addEventListener(type, openedSomething, { capture: true, passive: true });
  }

  /** The room that our words take in the page, beside the app. */
  function taken({ host }) {
    return isApp && !host.dataset.place ? host.getBoundingClientRect().height : 0;
  }

  function measure() {
    due = false;
    if (!document.body || !framed || innerWidth === 0) return;
    const above = taken(status);
    const words = above + taken(output);
    document.body.style.height = words ? `calc(100% - ${words}px)` : "";
    const paddingBottom = parseFloat(getComputedStyle(document.body).paddingBottom || "0");
    let height = Math.ceil(Math.max(0, ...[...document.body.children].map(bottom)) + scrollY + paddingBottom - above);
    if (height < 20) return;
    fills = Math.abs(height + words - innerHeight) <= 2 && (fills || (told === 0 && innerHeight < 300))
      && document.querySelector("[data-root-id]") !== null;
    if (isShell) height = Math.max(height, ROOM);
    if (fills) height = FILLING;
    else height = Math.max(height, hanging(height));
    height += words;
    if (host.dataset.place && !status.box.hidden) height = Math.max(height, Math.ceil(status.box.getBoundingClientRect().bottom + 8));
    if (Math.abs(height - told) < 2) return;
    // content that follows its frame's height with a few pixels more would grow for ever
    grown = height > told && Math.abs(told - innerHeight) <= 2 && height - told < 40 ? grown + 1 : 0;
    if (grown > 4) return;
    told = height;
    post({ type: "bokehmount:size", height });
  }

  /** How high the page is with what hangs over its end, since something was opened. */
  function hanging(height) {
    if (hungOver !== null && height > hungOver + 20) hungOver = Infinity; // content that grows with its frame: no end to it
    const end = Math.ceil(Math.max(0, ...[...document.querySelectorAll("[data-root-id] > *")].map(overhang)) + scrollY);
    if (end <= height || hungOver === Infinity) {
      if (hungOver !== Infinity) hungOver = null;
      return 0;
    }
    if (hungOver === null && performance.now() - opened > 1000) return 0; // what a pointer at rest makes come and go
    hungOver = height;
    return Math.min(end + 8, height + 700);
  }

  function measureSoon() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => requestAnimationFrame(measure));
  }

  function post(message) {
    if (framed) window.parent.postMessage(message, location.origin);
  }

  function begin() {
    attach();
    new MutationObserver(measureSoon).observe(document.body, { childList: true, subtree: true, attributes: true });
    const sizes = new ResizeObserver(measureSoon);
    sizes.observe(document.body);
    sizes.observe(status.host);
    sizes.observe(output.host);
    const watch = () => {
      for (const element of document.body.querySelectorAll(":scope > *, [data-root-id] > *")) sizes.observe(element);
      // what is moved loses the focus; in a tab it stands at the lower edge wherever it is
      const stays = !framed || output.root.activeElement !== null;
      if (isApp && !stays && document.body.lastElementChild !== output.host) document.body.append(output.host);
    };
    new MutationObserver(watch).observe(document.body, { childList: true, subtree: true });
    watch();
    tellSession(isApp || isShell ? address(true) : null);
    if (isApp) {
      tellTitle();
      new MutationObserver(tellTitle).observe(document.head, { childList: true, subtree: true, characterData: true });
    }
    if (first) show(first, words, { detail });
    if (token) listen();
    measureSoon();
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
})();
