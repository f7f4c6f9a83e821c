"""Hooks of MkDocs: generated pages, links to sources and records, figures that show values."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import reference
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from mukoe.observability.report.evidence import read_all
from mukoe.observability.report.results_page import make_results

ROOT = Path(__file__).resolve().parents[1]
_SOURCE_LINK = re.compile(r"\]\(\.\./([^)#\s]+)\)")
_EVIDENCE_LINK = re.compile(r"\]\((evidence/[^)#\s.]+)\)")
_EVIDENCE_FOLDER = re.compile(r"\[([^]]*)\]\(evidence\)")
_SIZE = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
_FIGURE = re.compile(r'<img alt="([^"]*)" src="([^"]*figures/[^"]*\.svg)"\s*/?>')


def on_files(files: Files, config: Any) -> Files:
    """Adds the reference, the linked sources, and the figures of the results with their values."""
    for path, text in reference.pages():
        files.append(File.generated(config, path, content=text))
    for path in sorted(_linked_sources(files)):
        files.append(File.generated(config, _source_page(path), content=_source_text(path)))
    records = read_all(ROOT / "docs" / "evidence")
    _, figures = make_results(records, "", "figures", "evidence", hover=True)
    for name, svg in figures.items():
        path = f"figures/{name}"
        if (present := files.get_file_from_path(path)) is not None:
            files.remove(present)
        # Without a size of its own the picture fills the place that the page gives it.
        scaled = re.sub(r' width="\d+" height="\d+"', "", svg, count=1)
        files.append(File.generated(config, path, content=scaled))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Directs links to sources and records to their pages and files on the site."""
    if page.file.src_uri.startswith(("source/", "reference/")):
        return markdown
    markdown = _SOURCE_LINK.sub(lambda match: f"]({_source_page(match[1])})", markdown)
    markdown = _EVIDENCE_LINK.sub(r"](\1/run.json)", markdown)
    return _EVIDENCE_FOLDER.sub(r"\1", markdown)


def on_page_content(html: str, page: Page, config: Any, files: Files) -> str:
    """Embeds figures as documents, whose points show their values under the mouse."""

    def embedded(match: re.Match[str]) -> str:
        picture = files.get_file_from_path(match[2])
        assert picture is not None, match[2]
        size = _SIZE.search(picture.content_string)
        assert size is not None, match[2]
        ratio = f"aspect-ratio:{size[1]}/{size[2]}"
        attributes = f'style="{ratio}" loading="lazy" title="{match[1]}" src="{match[2]}"'
        return f'<iframe class="figure" {attributes}></iframe>'

    return _FIGURE.sub(embedded, html)


def _linked_sources(files: Files) -> set[str]:
    """Returns the files and folders of the repository that the pages link to."""
    found = set()
    for file in files.documentation_pages():
        if file.generated_by is None:
            found |= set(_SOURCE_LINK.findall(file.content_string))
    for path in list(found):
        if (ROOT / path).is_dir():
            found |= {child.relative_to(ROOT).as_posix() for child in _children(path)}
    return found


def _children(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")


def _source_page(path: str) -> str:
    return f"source/{path.rstrip('/')}.md"


def _source_text(path: str) -> str:
    """Returns the page of a file, or the list of the files of a folder."""
    front = f"---\ntitle: {path}\nsearch:\n  exclude: true\nhide:\n  - toc\n---\n\n"
    source = ROOT / path
    if source.is_dir():
        folder = PurePosixPath(path).name
        lines = [f"- [{child.name}]({folder}/{child.name}.md)" for child in _children(path)]
        return f"{front}# `{path}`\n\n" + "\n".join(lines) + "\n"
    language = {".py": "python", ".js": "js", ".yaml": "yaml"}.get(source.suffix, "text")
    return f"{front}# `{path}`\n\n````{language}\n{source.read_text()}\n````\n"
