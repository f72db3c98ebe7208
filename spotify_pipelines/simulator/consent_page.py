"""The consent page: what a person sees who is sent to ``/authorize`` with a browser.

What belongs here: one page of plain, escaped HTML. What does not: what follows from the answer (``oauth``). Unlike
Spotify's it asks who the person is instead of having them log in, and can leave out one scope, so that an app can be
seen to notice it.
"""

from collections.abc import Iterable, Mapping
from html import escape

from spotify_pipelines.simulator.people import Client, User

__all__ = ["consent_page"]


def consent_page(client: Client, users: Iterable[User], query: Mapping[str, str]) -> str:
    """The page that asks one of ``users`` to agree to what ``query`` asks for; its form comes back to itself."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in query.items()
    )
    people = "".join(
        f'<option value="{escape(user.user_id)}">{escape(user.display_name or user.user_id)}</option>'
        for user in users
    )
    scopes = query.get("scope", "").split()
    asked = "".join(f"<li>{escape(scope)}</li>" for scope in scopes)
    refusals = "".join(
        f'<option value="{escape(scope)}">all but {escape(scope)}</option>' for scope in scopes
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Spotify (simulated): {escape(client.name)}</title>
<h1>{escape(client.name)} asks for access</h1>
<ul>{asked}</ul>
<form method="get" action="/authorize">{hidden}
<p><label>You are <select name="user">{people}</select></label></p>
<p><label>You agree to <select name="refuse"><option value="">everything</option>{refusals}</select></label></p>
<p><button name="decision" value="agree">Agree</button> <button name="decision" value="deny">Cancel</button></p>
</form></html>
"""
