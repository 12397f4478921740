"""A password login, as an auth module: ``AuthModule("login.py")``."""

from __future__ import annotations

from tornado.web import RequestHandler

login_url = "/login"
logout_url = "/logout"


def get_user(handler: RequestHandler) -> str | None:
    return handler.get_cookie("user")


class LoginHandler(RequestHandler):
    def get(self) -> None:
        self.write('<form method="post"><input name="password" type="password"></form>')

    def post(self) -> None:
        if self.get_argument("password", "") != "sesame":
            self.set_status(401)
            self.write("wrong")
            return
        self.set_cookie("user", "ali")
        self.redirect(self.get_argument("next", "/"))


class LogoutHandler(RequestHandler):
    def get(self) -> None:
        self.clear_cookie("user")
        self.redirect("/login")
