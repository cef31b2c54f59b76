"""The texts of a report's page, each with the lines that the nearest element around it cites.

Takes the page as a string; reads and writes nothing.
"""

import re
from html.parser import HTMLParser

DIGIT = re.compile(r"\d")
VOID = {"meta", "link", "br", "img", "input", "hr", "col", "path", "circle", "polyline"}
SILENT = {"style", "script", "title", "summary"}  # <title> of page and SVG marks repeats what stands beside it


class Page(HTMLParser):
    """Text nodes of a page with the lines cited by the nearest element around them (`href="#id-line"`, `data-e`).

    Those under `data-k`, the key of an entry of the knowledge base, are `definitions`.
    """

    def __init__(self, text: str):
        super().__init__()
        self.stack: list[tuple[str, list | str | None]] = []
        self.texts: list[tuple[str, str, list]] = []
        self.definitions: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        anchors = (given.get("data-e") or "").split()
        if (given.get("href") or "").startswith("#"):
            anchors = [given["href"][1:], *anchors]
        if tag == "li" and given.get("id"):
            anchors.append(given["id"])
        cited = [a.rpartition("-")[::2] for a in anchors]
        lines = [(source, int(line)) for source, line in cited if line.isdigit()]
        quiet = (
            "axis" in (given.get("class") or "")
            or "cite" in (given.get("class") or "")
            or "lang" in given.get("class", "")
            or "model" in (given.get("class") or "").split()  # a model's own sentence, marked as such
        )
        if tag not in VOID:
            self.stack.append((tag, "silent" if quiet or tag in SILENT else given.get("data-k") or lines or None))

    def handle_startendtag(self, tag, attrs):
        pass  # closes itself, holds no text

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data):
        marks = [m for _, m in self.stack if m]
        inside = {tag for tag, _ in self.stack}
        if "silent" in marks or not DIGIT.search(data) or "pre" in inside or "code" in inside:
            return  # quoted lines themselves are compared by report.check
        if marks and isinstance(marks[-1], str):
            self.definitions.append((data, marks[-1]))
            return
        self.texts.append((data, ">".join(tag for tag, _ in self.stack[-3:]), marks[-1] if marks else []))
