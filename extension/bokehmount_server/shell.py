"""The pages that are ours: the shell of a view whose app is still to come, and what is shown where there is none."""

from __future__ import annotations

from html import escape

from bokehmount.errors import AppError, BokehMountError

__all__ = ("error_page", "shell_page")

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<script src="{script}" data-bokehmount-token="{token}" data-bokehmount-state="{state}" data-bokehmount-text="{text}"
 data-bokehmount-detail="{detail}" data-bokehmount-run="{run}"></script>
</head>
<body>
<noscript><p>{text}</p></noscript>
</body>
</html>
"""


def shell_page(title: str, script: str, token: str, state: str, text: str) -> str:
    """A page that says what is happening until the app is there, and then becomes the app's page.

    Args:
        title: the app
        script: the URL of the view script
        token: names the session that will be there
        state: "busy" or "starting"
        text: the same in words
    """
    return _PAGE.format(
        title=escape(title),
        script=escape(script),
        token=escape(token),
        state=state,
        text=escape(text),
        detail="",
        run="",
    )


def error_page(error: BokehMountError, script: str, *, token: str = "", run: str = "") -> str:
    """A page that says why there is no app, and what to do.

    Args:
        error: the reason
        script: the URL of the view script
        token: lets the page listen until there is an app again; it does not where empty
        run: see `Views.add_failed`
    """
    detail = error.traceback if isinstance(error, AppError) else ""
    text = f"The app raised {error}" if isinstance(error, AppError) else str(error)
    state = {403: "refused", 404: "missing", 410: "ended", 500: "raised", 503: "gone"}.get(error.http_status, "gone")
    return _PAGE.format(
        title="Bokeh app",
        script=escape(script),
        token=escape(token),
        state=state,
        text=escape(text),
        detail=escape(detail),
        run=escape(run),
    )
