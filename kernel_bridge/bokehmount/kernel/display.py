"""What a cell's output holds: a live view for front ends that know it, a small page for those that do not, and words.

No address is in it that could be wrong elsewhere: the base of all URLs is read in the browser.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from contextlib import AbstractContextManager, nullcontext
from html import escape
from io import StringIO
from typing import Any, Final

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.embed.util import OutputDocumentFor
from bokeh.model import Model
from bokeh.resources import CDN

from ..of_panel import is_of_panel

__all__ = ("VIEW_MIME", "linked_to_tab", "live_bundle", "opened_in_tab", "public_files", "static_bundle")

VIEW_MIME: Final = "application/vnd.bokehmount.view.v1+json"

_FOLLOW: Final = """\
window.addEventListener("message", function heard(event) {
    if (!frame.isConnected) return window.removeEventListener("message", heard);
    var size = event.data && event.data.type === "bokehmount:size" && Number(event.data.height);
    if (event.source === frame.contentWindow && size > 0)
      frame.style.height = Math.min(Math.max(size, 20), 20000) + "px";
  });"""
"""Gives a frame the height that its page says it has."""

_SILENCE: Final = """\
var heard = false, waiting;
  window.addEventListener("message", function listen(event) {
    if (!frame.isConnected) return window.removeEventListener("message", listen);
    if (event.source !== frame.contentWindow || !/^bokehmount:/.test(event.data && event.data.type)) return;
    heard = true; clearTimeout(waiting); words.textContent = "";
  });
  frame.onload = function () {
    clearTimeout(waiting);
    if (!heard) waiting = setTimeout(function () {
      words.textContent = " No answer from bokehmount. Are you still logged in? Is it installed where the Jupyter " +
        "server runs, and is this a page of that server?";
    }, 5000);
    heard = false;
  };"""
"""Tells of a frame whose page is none of ours, as another server's 404.  Ours may speak before they have loaded."""

_URL: Final = """\
  var script = document.currentScript, box = script && script.parentElement;
  if (!box) return;
  var config = document.getElementById("jupyter-config-data"), base = document.body.dataset.baseUrl;
  try {{ base = JSON.parse(config.textContent).baseUrl || base; }} catch (error) {{}}
  if (!base) return;
  var url = base.replace(/\\/*$/, "/") + {path};"""
"""Finds the element around a script, and the app's URL below the base that the front end says."""

_HTML = (
    """\
<div class="bokehmount-view" role="group" aria-label="{title}">
<p>{title}: this is a live Bokeh app. If it does not appear, trust this notebook and run its cell again in Jupyter, \
with bokehmount installed where the Jupyter server runs.</p>
<script>
(function () {{
"""
    + _URL
    + """
  var frame = document.createElement("iframe"), link = document.createElement("a");
  var words = document.createElement("span");
  link.href = url; link.target = "_blank"; link.rel = "noopener"; link.textContent = "Open in a tab";
  var xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie);
  frame.src = xsrf ? url + "?_xsrf=" + encodeURIComponent(xsrf[1]) : url; frame.title = {name};
  frame.style.cssText = "display:block;border:0;width:{width};height:{height}";
  words.setAttribute("role", "status");
  box.replaceChildren(link, words, frame);
  {silence}
  {follow}
}})();
</script>
</div>"""
)


def live_bundle(
    kernel_id: str, app: str, title: str, width: int | None = None, height: int | None = None, run: str = ""
) -> dict[str, Any]:
    """The MIME bundle of a view of a running app.

    Args:
        kernel_id: the kernel in which the app runs
        app: its path
        title: what people call it
        width: CSS pixels; as wide as there is room where None
        height: CSS pixels; as high as its content where None
        run: the run of the cell that shows it; an output that is the same but for this shows another app
    """
    path = f"bokeh/kernels/{kernel_id}{app}"
    html = _HTML.format(
        title=escape(title),
        name=_script_text(title),
        path=_script_text(path),
        width="100%" if width is None else f"{width}px",
        height="150px" if height is None else f"{height}px",
        silence=_SILENCE,
        follow=_FOLLOW if height is None else "",
    )
    return {
        VIEW_MIME: {"kernel_id": kernel_id, "app": app, "title": title, "width": width, "height": height, "run": run},
        "text/html": html,
        "text/plain": _LIVE.format(title=title, path=path),
    }


_LIVE: Final = (
    "{title}: a live Bokeh app at {path} below the Jupyter server's base URL. To see it, open this notebook in "
    "JupyterLab or Notebook 7 with bokehmount installed where the server runs, and run the cell again."
)


_TAB = (
    """\
<p class="bokehmount-view">{title} is a live Bokeh app in a browser tab.
<script>
(function () {{
"""
    + _URL
    + """
  var link = document.createElement("a");
  link.href = url;
  link.target = "_blank"; link.rel = "noopener"; link.textContent = "Open it in a tab";
  box.append(link);
  {open}
}})();
</script></p>"""
)


# some keep what was replaced: an Output widget, a second view of the notebook
_OPEN: Final = """\
try {{
    if (sessionStorage.getItem({once})) return;
    sessionStorage.setItem({once}, "opened");
  }} catch (error) {{}}
  window.open(link.href, "_blank");"""


def opened_in_tab(kernel_id: str, app: str, title: str) -> dict[str, Any]:
    """The MIME bundle of an app that opens in a browser tab when it is displayed; see `live_bundle`.

    Replace it by `linked_to_tab` at once: what is saved, and displayed again, is to open nothing.
    """
    once = _script_text(f"bokehmount:{secrets.token_hex(8)}")
    return _tab_bundle(kernel_id, app, title, _OPEN.format(once=once))


def linked_to_tab(kernel_id: str, app: str, title: str) -> dict[str, Any]:
    """The MIME bundle of an app that was opened in a browser tab; see `live_bundle`."""
    return _tab_bundle(kernel_id, app, title, "")


def _tab_bundle(kernel_id: str, app: str, title: str, script: str) -> dict[str, Any]:
    path = f"bokeh/kernels/{kernel_id}{app}"
    html = _TAB.format(title=escape(title), path=_script_text(path), open=script)
    return {"text/html": html, "text/plain": _LIVE.format(title=title, path=path)}


_NOT_LIVE = (
    "{title}: a static picture of a Bokeh app, because no Jupyter server runs this kernel. To make it live, open the "
    "notebook in JupyterLab or Notebook 7 with bokehmount installed where the server runs, and run the cell again."
)


def static_bundle(title: str, shown: Document | Model, width: int | None, height: int | None) -> dict[str, Any]:
    """The MIME bundle of an app's first look, without an app behind it; BokehJS and Panel come from their public homes.

    Args:
        title: what people call it
        shown: an app's Document, or a model
        width: CSS pixels; as wide as there is room where None
        height: CSS pixels; as high as its content where None, or 600 where that takes all the room it has
    """
    words = _NOT_LIVE.format(title=title)
    bundle = {"text/plain": words, "text/html": f"<p>{escape(words)}</p>"}
    if isinstance(shown, Model) or shown.roots:
        wide = "100%" if width is None else f"{width}px"
        bundle["text/html"] += (
            f'<iframe title="{escape(title)}" sandbox="allow-scripts" '
            f'style="border:0;width:{wide};height:{600 if height is None else height}px" '
            f'srcdoc="{escape(_static_page(title, shown))}"></iframe>'
        )
        if height is None:
            bundle["text/html"] += _STATIC_FOLLOW
    return bundle


_STATIC_FOLLOW = f"""<script>
(function () {{
  var frame = document.currentScript && document.currentScript.previousElementSibling;
  if (!frame) return;
  {_FOLLOW}
}})();
</script>"""

# content that takes all the room it has says nothing of its height, and what grows with its frame is left alone soon
_SAYS_SIZE = """<script>
addEventListener("load", () => {
  const shown = () => [...document.querySelectorAll("body > *, [data-root-id] > *")];
  let told = 0, times = 0;
  const measure = () => {
    const boxes = shown().map((element) => element.getBoundingClientRect()).filter((box) => box.height > 0);
    const bottom = Math.ceil(Math.max(0, ...boxes.map((box) => box.bottom)) + scrollY), height = bottom + 8;
    if (bottom < 20 || Math.abs(bottom - innerHeight) <= 16 || Math.abs(height - told) < 2 || times++ > 20) return;
    told = height;
    parent.postMessage({ type: "bokehmount:size", height }, "*");
  };
  const sizes = new ResizeObserver(measure);
  const watch = () => shown().forEach((element) => sizes.observe(element));
  new MutationObserver(watch).observe(document.body, { childList: true, subtree: true });
  watch();
});
</script>"""

# where that home can't be reached, a blank frame would say nothing; pictures do without some scripts
_NOT_LOADED = """<script>
(() => {
  const missing = [];
  addEventListener("error", ({ target }) => { if (target.tagName === "SCRIPT") missing.push(target.src); }, true);
  addEventListener("load", () => setTimeout(() => {
    if (missing.length === 0 || document.querySelector("[data-root-id] > *")) return;
    document.body.textContent = `This picture needs ${missing.join(", ")}, which could not be loaded.`;
  }, window.Bokeh ? 3000 : 0));
})();
</script>"""


def _static_page(title: str, shown: Document | Model) -> str:
    if is_of_panel(shown):
        page = _panel_page(title, shown)
    elif isinstance(shown, Model):
        page = file_html(shown, CDN, title=title, suppress_callback_warning=True)
    else:
        page = file_html(
            shown,
            CDN,
            title=title,
            template=shown.template,
            template_variables=shown.template_variables,
            suppress_callback_warning=True,
        )
    return re.sub(r"<head\b[^>]*>", lambda head: head[0] + _NOT_LOADED + _SAYS_SIZE, page, count=1)


def public_files() -> AbstractContextManager[None]:
    """While a Document is filled: Panel's templates then note where their files are, here in their public home."""
    panel = sys.modules.get("panel.io.resources")
    return nullcontext() if panel is None else panel.set_resource_mode(CDN.mode)


def _panel_page(title: str, shown: Document | Model) -> str:
    """A page as Panel writes it: only Panel knows which scripts its models need, and where they are in public."""
    from panel.io.save import save

    if isinstance(shown, Model):
        with OutputDocumentFor([shown], always_new=True) as document:
            return _panel_page(title, document)
    page = StringIO()
    template, variables = shown.template, shown.template_variables
    save(shown, page, title=title, resources=CDN, template=template, template_variables=variables)
    return page.getvalue()


def _script_text(text: str) -> str:
    """Text as a JavaScript literal that is harmless inside a script element."""
    return json.dumps(text).replace("<", "\\u003c")
