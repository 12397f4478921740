"""Scripts that draw apps of a Jupyter server into pages of other sites."""

from __future__ import annotations

from .jupyter_base import JupyterPage, is_extra

__all__ = ("JupyterScript",)


class JupyterScript(JupyterPage):
    """The base of our autoload scripts, which a page that may open a WebSocket loads with its visitor's login."""

    def set_cors_headers(self) -> None:
        """Jupyter's rule, or one of the origins that the administrator added."""
        super().set_cors_headers()
        origin = self.request.headers.get("Origin")
        if origin is not None and is_extra(self, origin):
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Allow-Credentials", "true")
            self.add_header("Vary", "Origin")
