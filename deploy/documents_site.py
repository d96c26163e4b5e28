"""A hook of mkdocs (mkdocs.yml): links of the documents to files beside `docs` lead to the repository.

HUMANGOV_SOURCE is its address, such as that of the page of the branch main. Without it such links are plain text:
mkdocs knows nothing outside its folder, and would take each for one that leads nowhere. tests/deploy/test_documents.py
checks them in the repository.
"""

from __future__ import annotations

import os
import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)\s]+)\)")
# A design note is no part of the site.
_DESIGN = re.compile(r"\[([^\]]+)\]\((design/[^)\s]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls it for each page."""
    return outside(markdown, source=os.environ.get("HUMANGOV_SOURCE", ""))


def outside(markdown: str, *, source: str) -> str:
    """The page with its links to what is not on the site."""
    address = source.rstrip("/")
    for pattern, path in ((_OUTSIDE, r"\2"), (_DESIGN, r"docs/\2")):
        markdown = pattern.sub(rf"[\1]({address}/{path})" if address else r"\1", markdown)
    return markdown
