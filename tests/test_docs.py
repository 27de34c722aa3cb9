"""The documentation: its links and pictures exist, and its lines are short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_and_pictures_exist(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


@pages
def test_lines_are_at_most_100_characters_outside_of_tables_and_code(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    lines = [line for line in text.splitlines() if len(line) > 100 and not line.startswith(("|", "[", "    "))]
    assert not lines


def test_every_picture_of_the_docs_is_shown():
    shown = {(p.parent / t).resolve() for p in PAGES for t in re.findall(r"!\[[^]]*\]\(([^)]+)\)", p.read_text())}
    pictures = {path.resolve() for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".gif")}
    assert not sorted(str(path.relative_to(ROOT)) for path in pictures - shown)
