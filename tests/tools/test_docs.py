"""Pages that are made are those of the program as it is, and every link of every page leads somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/*.md"), *ROOT.glob("examples/*.md")})
KINDS = ("Start", "How-to", "Explanation", "Reference")
# Words of ten minutes.
MOST_WORDS = 2000


def test_what_make_docs_writes_is_up_to_date():
    spec = importlib.util.spec_from_file_location("docs", ROOT / "tools" / "docs.py")
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    pages = docs.pages()
    told = "run `make docs`"
    for path, text in pages.items():
        assert (ROOT / path).is_file(), told
        assert (ROOT / path).read_text() == text, f"{path}: {told}"
    made = {
        path.relative_to(ROOT).as_posix() for kind in ("commands", "settings") for path in ROOT.glob(f"docs/{kind}/*")
    }
    assert made <= set(pages), "of a command that is no more"


def without_blocks(text):
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text):
    """The anchors of a page's titles, as a code host makes them."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one).lower() for one in titles]
    return {re.sub(r"[^\w\- ]", "", one).strip().replace(" ", "-") for one in plain}


def links(text):
    """(target without anchor, anchor) of the links of a page to files and titles."""
    plain = re.sub(r"`[^`\n]*`", "", without_blocks(text))
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target, anchor in links(text):
        path = page.parent / target if target else page
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), f"{page}: {target}#{anchor}"


def test_a_link_that_leads_nowhere_is_seen():
    assert list(links("[a](b.md#c) `[d](e)` [f](http://g) [h](#i)")) == [("b.md", "c"), ("", "i")]
    assert anchors("# A, b & `c`!\n```\n# d\n```\n## [E](f.md) g") == {"a-b--c", "e-g"}


# Pages that are made are looked up, not read.
READ = [one for one in PAGES if one.parent in (ROOT / "docs", ROOT / "data", ROOT) and one.name != "api.md"]


@pytest.mark.parametrize("page", READ, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_is_read_in_ten_minutes_and_says_what_it_is(page):
    text = page.read_text()
    # What is copied is not read.
    assert sum(bool(re.search(r"\w", one)) for one in without_blocks(text).split()) <= MOST_WORDS
    if page.parent != ROOT:
        assert text.split("\n\n")[1].startswith(KINDS)
