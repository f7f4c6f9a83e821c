"""Hand-written text of a generated page, between marks that name its section."""

import re

from mukoe.errors import UserError

_NOTES = re.compile(r"<!-- notes:([^\n]+?) -->\n?(.*?)<!-- /notes -->", re.DOTALL)
_NOTES_START = re.compile(r"<!-- notes:([^\n]+?) -->")


def hand_written(page: str) -> dict[str, str]:
    """Returns the text between the marks of a page, by the name of its section.

    Raises:
      UserError: a mark is not closed, or a name occurs twice.
    """
    names = _NOTES_START.findall(page)
    found = _NOTES.findall(page)
    if len(found) != page.count("<!-- /notes -->") or [name for name, _ in found] != names:
        raise UserError(
            "the page has a '<!-- notes:NAME -->' without its '<!-- /notes -->', or one too "
            "many; correct it by hand, so that no text is lost"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"the page has '<!-- notes:{twice[0]} -->' twice; leave one")
    return dict(found)


def take_notes(name: str, notes: dict[str, str]) -> str:
    """Returns the marks with the text of a section, and removes it from `notes`."""
    return f"<!-- notes:{name} -->\n{notes.pop(name, '')}<!-- /notes -->"
