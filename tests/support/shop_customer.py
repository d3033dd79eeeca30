"""Who orders at the example's shop, over HTTP, and who decides in its Sonar, as a browser does."""

from html.parser import HTMLParser

import httpx2

HERE = "http://127.0.0.1"


class Form(HTMLParser):
    """The hidden fields of the last form of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.fields = {}
        if tag == "input" and said.get("type") == "hidden":
            self.fields[said["name"]] = said.get("value", "")


class Customer:
    """``client``: with the shop's address as its base."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def status(self, path: str) -> int:
        return self.client.get(path).status_code

    def try_order(self, **more: object) -> httpx2.Response:
        wanted = {"customer": "frodo", "item": "lembas", "quantity": 25, "cents": 4200} | more
        return self.client.post("/orders", json=wanted)

    def order(self, **more: object) -> tuple[int, str]:
        """The number and the run of an order that was taken."""
        answer = self.try_order(**more)
        assert answer.status_code == 201, answer.text
        return answer.json()["number"], answer.json()["run_id"]

    def sign_in(self, name: str, password: str) -> None:
        self.client.cookies.clear()
        answer = self.client.post("/login", data={"name": name, "password": password}, follow_redirects=False)
        assert answer.status_code == 303, answer.text

    def approve_in_sonar(self, run_id: str, **otherwise: str) -> int:
        """Opens the form and sends it, with other hidden fields where they are said; the status of the answer."""
        path = f"/sonar/runs/{run_id}/approve"
        fields = Form(self.client.get(path).text).fields | otherwise
        headers = {"origin": str(self.client.base_url).rstrip("/")}
        return self.client.post(path, data=fields, headers=headers, follow_redirects=False).status_code

    def metrics(self) -> list[str]:
        return self.client.get("/metrics").text.splitlines()
