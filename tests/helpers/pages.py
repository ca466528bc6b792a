"""Checks of HTML pages: elements are closed, names are unique, nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}
LOADS = ("src", "href", "xlink:href", "srcset", "data", "poster", "action", "background")


class Page(HTMLParser):
    """The elements of a page; ``faults`` says what is wrong with it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.faults, self.ids, self.tags, self.text = [], [], [], [], ""
        self.figures = []
        assert text.startswith("<!doctype html>")
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is never closed" for tag in self.open]
        self.faults += [
            f"two elements are called {i}" for i in set(self.ids) if self.ids.count(i) > 1
        ]
        targets = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
        self.faults += [
            f"nothing is called {a or b}" for a, b in targets if (a or b) not in self.ids
        ]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        if len(given) < len(attributes):
            self.faults.append(f"{tag} has an attribute twice")
        if "id" in given:
            self.ids.append(given["id"])
        for name in LOADS:
            if name in given and not given[name].startswith(("#", "data:")):
                self.faults.append(f"{tag} loads {given[name]}")
        if any(name.startswith("on") for name in given):
            self.faults.append(f"{tag} has a program in an attribute")
        if re.search(r"url\((?!#)|@import", given.get("style") or ""):
            self.faults.append(f"{tag} loads by its style")
        if tag == "svg":
            self.figures.append(given.get("aria-label"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        if self.open and self.open[-1] == "style" and re.search(r"url\((?!#)|@import", data):
            self.faults.append("a style loads something")
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data
