"""HTML that opens offline: no script, no address of another site, nothing that would load."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

_EXTERNAL = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//|^\s*(?:https?|ftp|javascript|mailto):", re.IGNORECASE)


def offline(html: str) -> str:
    """The page with scripts, and every address outside of the record, taken out; the text of a link stays."""
    cleaner = _Offline()
    cleaner.feed(html)
    cleaner.close()
    return "".join(cleaner.parts)


class _Offline(HTMLParser):
    """Copies HTML and leaves out what would load or lead anywhere else."""

    _DROPPED = frozenset({"script", "iframe", "object", "embed", "base", "link"})
    _ADDRESSES = frozenset({"href", "src", "srcset", "action", "data", "poster", "xlink:href", "formaction"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._inside: str | None = None
        self._css = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._inside:
            return
        if tag == "meta" and any(name == "http-equiv" and (value or "").lower() == "refresh" for name, value in attrs):
            return
        if tag in self._DROPPED:
            self._inside = None if tag in ("embed", "base", "link") else tag
            return
        self._css = tag == "style"
        kept = [(name, value) for name, value in attrs if self._is_kept(name, value)]
        if len(kept) == len(attrs):
            self.parts.append(self.get_starttag_text() or "")
        else:
            words = [name if value is None else f'{name}="{escape(value)}"' for name, value in kept]
            self.parts.append(f"<{' '.join([tag, *words])}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._css = False

    def _is_kept(self, name: str, value: str | None) -> bool:
        if name.startswith(("on", "xmlns")):
            return False
        if name in self._ADDRESSES:
            return not _EXTERNAL.search(value or "")
        return name != "style" or not re.search(r"url\(\s*['\"]?(?!data:|#)", value or "", re.IGNORECASE)

    def handle_endtag(self, tag: str) -> None:
        self._css = False
        if self._inside:
            if tag == self._inside:
                self._inside = None
        elif tag not in self._DROPPED:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.parts.append(_local_css(data) if self._css else data)

    def handle_entityref(self, name: str) -> None:
        if not self._inside:
            self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        if not self._inside:
            self.parts.append(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")


def _local_css(css: str) -> str:
    css = re.sub(r"@import[^;]*;?", "", css, flags=re.IGNORECASE)
    return re.sub(r"url\(\s*['\"]?(?!data:|#)[^)]*\)", "none", css, flags=re.IGNORECASE)
