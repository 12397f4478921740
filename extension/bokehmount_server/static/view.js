/* In every view of an app: says in words what is happening, and tells the frame around the page how high it is.
 *
 * What is happening comes over a WebSocket that the server answers also while the kernel is busy or gone.
 * The page's own BokehJS is left alone. */
(function () {
  "use strict";

  const script = document.currentScript;
  const { bokehmountToken: token, bokehmountState: first, bokehmountText: words, bokehmountDetail: detail } = script.dataset;
  const isShell = first === "busy" || first === "starting";
  const isApp = !first;
  const FINAL = new Set(["restarted", "gone", "ended", "raised", "refused", "missing"]);

  // The banner ----------------------------------------------------------------------------------------------------

  const STYLE = `
    :host { all: initial; position: ${isApp ? "fixed" : "static"}; inset: 0 0 auto 0; z-index: 2147483000; display: block;
      font: 13px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; pointer-events: none; }
    section { pointer-events: auto; margin: 6px; padding: 8px 12px; border-radius: 6px; color: #1b1f24; background: #eef3fb;
      border: 1px solid #9bb8e8; box-shadow: ${isApp ? "0 2px 8px rgb(0 0 0 / 18%)" : "none"}; }
    section[hidden] { display: none; }
    section[data-kind="bad"] { background: #fdf0ef; border-color: #d9867f; }
    section[data-kind="busy"] { background: #fff8e6; border-color: #d8b24a; }
    .row { display: flex; gap: 12px; align-items: center; justify-content: space-between; }
    button { font: inherit; color: inherit; background: #fff; border: 1px solid currentColor; border-radius: 4px; padding: 2px 10px;
      cursor: pointer; flex: none; }
    button:focus-visible { outline: 2px solid #1a66d6; outline-offset: 2px; }
    pre { margin: 8px 0 0; max-height: 300px; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
      font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; background: rgb(255 255 255 / 70%); padding: 8px; border-radius: 4px; }
    pre .error { color: #a3241b; }
    @media (prefers-color-scheme: dark) { section { color: #1b1f24; } }`;

  const host = document.createElement("div");
  host.dataset.bokehmount = "status";
  const root = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = STYLE;
  const status = panel("What is happening");
  const output = panel("Output of the app");
  root.append(style, status.box, output.box);

  function panel(label) {
    const box = document.createElement("section");
    box.hidden = true;
    box.setAttribute("aria-label", label);
    const row = document.createElement("div");
    row.className = "row";
    const text = document.createElement("span");
    text.setAttribute("role", "status");
    text.setAttribute("aria-live", "polite");
    const button = document.createElement("button");
    button.type = "button";
    button.hidden = true;
    row.append(text, button);
    const pre = document.createElement("pre");
    pre.hidden = true;
    pre.tabIndex = 0;
    box.append(row, pre);
    return { box, text, button, pre };
  }

  function attach() {
    document.body.prepend(host);
  }

  let state = "";

  function show(newState, text, more) {
    state = newState;
    host.dataset.state = newState;
    host.dataset.text = text || "";
    status.box.hidden = !text;
    status.text.textContent = text || "";
    status.box.dataset.kind = FINAL.has(newState) ? "bad" : newState === "busy" || newState === "lost" ? "busy" : "info";
    status.pre.hidden = !(more && more.detail);
    status.pre.textContent = (more && more.detail) || "";
    status.button.hidden = !FINAL.has(newState);
    status.button.textContent = isApp ? "Reload" : "Try again";
    status.button.onclick = () => location.replace(address(false));
    post({ type: "bokehmount:state", state: newState, text: text || "" });
    measureSoon();
  }

  function printed(text, isError) {
    const piece = document.createElement("span");
    piece.textContent = text;
    if (isError) piece.className = "error";
    output.pre.append(piece);
    while (output.pre.childNodes.length > 500) output.pre.firstChild.remove();
    output.pre.hidden = false;
    if (isError) {
      output.box.dataset.kind = "bad";
      output.text.textContent = "A callback of the app raised:";
    } else if (!output.text.textContent) {
      output.text.textContent = "The app printed:";
    }
    output.button.hidden = false;
    output.button.textContent = "Dismiss";
    output.button.onclick = () => {
      output.box.hidden = true;
      output.pre.replaceChildren();
      output.text.textContent = "";
      delete output.box.dataset.kind;
    };
    output.box.hidden = false;
    output.pre.scrollTop = output.pre.scrollHeight;
  }

  // Where this page is ----------------------------------------------------------------------------------------------

  function address(withToken) {
    const query = new URLSearchParams(location.search);
    query.delete("bokeh-token");
    if (withToken) query.set("bokeh-token", token);
    const text = query.toString();
    return location.pathname + (text ? `?${text}` : "");
  }

  // The token has done its work; an address that is copied, or a reload, begins a new session.
  if (isApp && new URLSearchParams(location.search).has("bokeh-token")) {
    history.replaceState(history.state, "", address(false));
  }

  // What is happening ----------------------------------------------------------------------------------------------

  let socket = null;
  let failures = 0;

  function listen() {
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname.replace(/\/+$/, "")}/ws`;
    socket = new WebSocket(url, ["bokehmount", token]);
    socket.onmessage = (event) => {
      failures = 0;
      heard(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      socket = null;
      if (leaving || FINAL.has(state)) return;
      if (event.code >= 4000) {
        show(event.code === 4410 ? "ended" : "gone", event.reason || "The server closed this view: reload it.");
        return;
      }
      failures += 1;
      if (failures > 1) {
        show("lost", "The connection to the Jupyter server is lost; trying again. If you were logged out, log in and reload this page.");
        status.button.hidden = false;
        status.button.textContent = "Reload";
      }
      setTimeout(listen, Math.min(30000, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
    };
  }

  function heard(message) {
    switch (message.state) {
      case "ready":
        if (isShell) {
          location.replace(address(true));
        } else {
          if (state === "lost" && lostEvent !== null) lostEvent.reconnect();
          show("ready", "");
        }
        break;
      case "moved":
        location.replace(message.url || address(false));
        break;
      case "output":
        printed(message.text, message.error);
        break;
      default:
        show(message.state, message.text, message);
    }
  }

  let leaving = false;
  addEventListener("pagehide", () => {
    leaving = true;
    if (socket !== null) socket.close(1000);
  });

  // BokehJS gives up after five tries; what it says of a lost connection knows how to try again.
  let lostEvent = null;
  if (isApp) {
    const known = new WeakSet();
    const look = setInterval(() => {
      for (const doc of (window.Bokeh && window.Bokeh.documents) || []) {
        if (known.has(doc)) continue;
        known.add(doc);
        doc.on_event("connection_lost", (_, event) => { lostEvent = event; });
        doc.on_event("client_reconnected", () => { lostEvent = null; });
      }
    }, 500);
    setTimeout(() => clearInterval(look), 120000);
    addEventListener("error", (event) => {
      const source = event.target && event.target.tagName === "SCRIPT" && event.target.src;
      if (source) show("gone", `A file of the app could not be loaded: ${source.replace(location.origin, "")}`);
    }, true);
  }

  // How high the page is -------------------------------------------------------------------------------------------

  let told = 0;
  let grown = 0;
  let due = false;

  function bottom(element) {
    if (element === host && isApp) return 0;
    const style = getComputedStyle(element);
    if (style.display === "none" || style.position === "fixed") return 0;
    if (style.display !== "contents") return element.getBoundingClientRect().bottom + parseFloat(style.marginBottom || "0");
    return Math.max(0, ...[...element.children].map(bottom));
  }

  function measure() {
    due = false;
    if (!document.body || window.parent === window) return;
    const paddingBottom = parseFloat(getComputedStyle(document.body).paddingBottom || "0");
    let height = Math.ceil(Math.max(0, ...[...document.body.children].map(bottom)) + scrollY + paddingBottom);
    if (isApp && status.box.hidden === false) height = Math.max(height, status.box.getBoundingClientRect().bottom + 8);
    if (isApp && output.box.hidden === false) height = Math.max(height, output.box.getBoundingClientRect().bottom + 8);
    if (height < 20) return;
    // content that fills whatever room it has says nothing of its height
    if (told === 0 && Math.abs(height - innerHeight) <= 2 && innerHeight < 300 && document.querySelector("[data-root-id]")) height = 500;
    if (Math.abs(height - told) < 2) return;
    grown = height > told && Math.abs(told - innerHeight) <= 2 && height - told < 40 ? grown + 1 : 0;
    if (grown > 4) return;
    told = height;
    post({ type: "bokehmount:size", height });
  }

  function measureSoon() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => requestAnimationFrame(measure));
  }

  function post(message) {
    if (window.parent !== window) window.parent.postMessage(message, location.origin);
  }

  function begin() {
    attach();
    new MutationObserver(measureSoon).observe(document.body, { childList: true, subtree: true, attributes: true });
    const sizes = new ResizeObserver(measureSoon);
    sizes.observe(document.body);
    const watch = () => {
      for (const element of document.body.querySelectorAll(":scope > *, [data-root-id] > *")) sizes.observe(element);
    };
    new MutationObserver(watch).observe(document.body, { childList: true, subtree: true });
    watch();
    if (first) show(first, words, { detail });
    if (token) listen();
    measureSoon();
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
})();
