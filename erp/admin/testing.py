"""A test client for the admin: opens pages, fills in their forms, submits them."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class _Forms(HTMLParser):
    """The controls of every form on a page, as a browser would send them: form id → name → values."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, list[str]]] = {}
        self.form: dict[str, list[str]] | None = None
        self.select = self.area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = self.forms.setdefault(held.get("id", ""), {})
        if self.form is None:
            return
        if tag == "input" and held.get("name"):
            kind = held.get("type", "text")
            ticked = kind in ("checkbox", "radio")
            if not ticked or "checked" in held:
                self.form.setdefault(held["name"], []).append(held.get("value", "on" if ticked else ""))
        elif tag == "select":
            self.select = held.get("name", "")
        elif tag == "option" and self.select and "selected" in held:
            self.form.setdefault(self.select, []).append(held.get("value", ""))
        elif tag == "textarea":
            self.area = held.get("name", "")
            self.form.setdefault(self.area, [""])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = ""
        elif tag == "textarea":
            self.area = ""

    def handle_data(self, data: str) -> None:
        if self.area and self.form is not None:
            self.form[self.area] = [self.form[self.area][0] + data.removeprefix("\n")]


class StaffClient(Client):
    """A member of staff using the admin."""

    def sign_in(self, email: str, password: str) -> Any:
        """Sign in through the form."""
        return self.post("/admin/login/", {"username": email, "password": password})

    def form(self, path: str, form: str = "", **query: str) -> dict[str, list[str]]:
        """The controls of the page's own form, filled as it is drawn."""
        response = self.get(path, query)
        assert response.status_code == 200, (response.status_code, path)
        return controls(response, form)

    def fill(self, path: str, form: str = "", **typed: Any) -> Any:
        """Open a page, fill in its form and submit it."""
        return self.post(path, {**self.form(path, form), **typed})


def controls(response: Any, form: str = "") -> dict[str, list[str]]:
    """The controls of the form with that id; without one, of the form that carries a key."""
    parser = _Forms()
    parser.feed(response.content.decode())
    if form:
        return parser.forms[form]
    return next(held for held in parser.forms.values() if "_key" in held)
