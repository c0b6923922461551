"""Whose profile is shown after a change, when the account went elsewhere and came back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain import members, merges
from domain.access import Role, actor
from domain.members import Lookup, Profile
from storage.memory import Memory
from tests.schema.test_late_reads import ADA, MANAGER, PROGRAM, ask

NOW = datetime(2030, 1, 10, 16, tzinfo=UTC)
CHANGE = """mutation($input: MemberUpdateInput!) {
  memberUpdate(input: $input) { member { name } replayed userErrors { code } }
}"""


def test_a_retry_after_an_undone_merge_shows_members_themselves_and_nobody_else() -> None:
    store = Memory()
    for subject, name in ((ADA, "Ada"), (actor(Role.MEMBER, issuer=ADA.issuer, subject="bob"), "Bob")):
        profile = Profile(NOW, name=name, external_id=name)
        members.enroll(
            store, PROGRAM, actor=subject, idempotency_key=name, profile=profile, account=name.upper(), now=NOW
        )
    pair = {"duplicate": Lookup("external", "Ada"), "survivor": Lookup("external", "Bob")}
    by = {"actor": MANAGER, "reason": "MISTAKE", "note": None, "now": NOW}
    merges.merge(store, PROGRAM, idempotency_key="merge", **pair, **by)  # type: ignore[arg-type]
    change = {"idempotencyKey": "k", "name": "Ours"}
    assert ask(store, ADA, CHANGE, input=change)["memberUpdate"]["member"] == {"name": "Ours"}
    by["now"] = NOW + timedelta(minutes=1)
    merges.unmerge(store, PROGRAM, idempotency_key="undo", duplicate=pair["duplicate"], **by)  # type: ignore[arg-type]

    again = ask(store, ADA, CHANGE, input=change)["memberUpdate"]

    assert again == {"member": {"name": "Ada"}, "replayed": True, "userErrors": []}
