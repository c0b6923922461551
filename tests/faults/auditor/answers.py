"""What callers were told, against what was found, and what only the whole table can show."""

import hashlib
import hmac
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.faults.auditor.facts import (
    Asked,
    Heard,
    Item,
    require,
)
from tests.faults.auditor.logs import Auditor


def check_answers(auditor: Auditor) -> None:
    """What callers were told is what is there, and they were all told the same."""
    for key, rivals in auditor.asked.items():
        decided = [asked for asked in rivals if any(heard.is_decided for heard in asked.heard)]
        require(len(decided) <= 1, f"two requests with the key {key} were both answered", key)
        for asked in rivals:
            _check_told(auditor, asked, rivals)
    _check_returns(auditor)
    _check_order(auditor)


def _check_told(auditor: Auditor, asked: Asked, rivals: Sequence[Asked]) -> None:
    key = asked.key
    answers = [heard for heard in asked.heard if heard.is_decided]
    told = {heard.told for heard in answers}
    require(len(told) <= 1, f"{asked.name} was answered in {len(told)} ways: {told}", key)
    for heard in asked.heard:
        if heard.code == "IDEMPOTENCY_KEY_REUSED":
            require(len(rivals) > 1, f"{key} was used once, and is said to be used before", key)
            require(not answers, f"{key} belongs to whoever was answered", key)
        elif not heard.is_decided:
            before = [each for each in answers if each.ended <= heard.started]
            require(not before, f"{asked.name} was answered, and later heard {heard}", key)
    if not answers:
        return
    answer = answers[0]
    require(auditor.owners.get(key, asked) is asked, f"{key} is another request's, and this one was told {answer}", key)
    place = auditor.places.get(key)
    if answer.place is None:
        _check_refused(auditor, asked, answer)
        return
    require(place == answer.place, f"{asked.name} was told {answer.place}, and stands at {place}", key)
    account, seq, index = answer.place
    entry = auditor.found.logs[account][seq - 1].entries[index]
    require(not entry.code, f"{asked.name} was told yes, and {entry.code} stands there", key)
    if asked.what != "memberEnroll":
        there = (entry.points, entry.balance)
        require(
            there == (answer.points, answer.balance),
            f"{asked.name} was told {answer}, and {there} stands there",
            key,
        )


def _check_refused(auditor: Auditor, asked: Asked, answer: Heard) -> None:
    """Whoever was told no stays without: only the refusal itself is remembered."""
    code = ""
    if asked.key in auditor.places:
        account, seq, index = auditor.places[asked.key]
        entry = auditor.found.logs[account][seq - 1].entries[index]
        require(
            entry.kind == "REFUSED",
            f"{asked.name} was refused ({answer.code}), and is booked as {entry}",
            asked.key,
        )
        code = entry.code
    remembered = auditor.found.claims if asked.what != "purchaseReturn" else auditor.found.returns
    item = remembered.get(asked.key, {})
    codes = {code, item["r"]["L"][0]["S"] if "r" in item else ""} - {""}
    require(codes == {answer.code}, f"{asked.name} was refused ({answer.code}), and {codes} is remembered", asked.key)


def _check_order(auditor: Auditor) -> None:
    """Whoever was asked after somebody else was answered comes after them, and a no is said in view of all that."""
    answered: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for asked in _all(auditor):
        ended = [heard.ended for heard in asked.heard if heard.place]
        if ended and asked.key in auditor.places:
            account, seq, _ = auditor.places[asked.key]
            answered[account].append((min(ended), seq))
    for key, owner in auditor.owners.items():
        if owner.began is None:
            continue
        if key in auditor.places:
            account, place, _ = auditor.places[key]
            # The record that was there when it was decided.
            seen = place - 1
        elif key in auditor.found.claims and "s" in auditor.found.claims[key]:
            claim = auditor.found.claims[key]
            account, seen = claim["a"]["S"], int(claim["s"]["N"])
        else:
            continue
        known = max((seq for ended, seq in answered[account] if ended <= owner.began), default=0)
        is_own = key in auditor.places and known == auditor.places[key][1]
        require(known <= seen or is_own, f"{key} was decided at {account} {seen}, and {known} was answered before", key)


def _all(auditor: Auditor) -> Iterable[Asked]:
    return (asked for rivals in auditor.asked.values() for asked in rivals)


def _check_returns(auditor: Auditor) -> None:
    """Returns in all: none beyond its purchase, and whatever waited for a purchase came with it."""
    for key, item in auditor.found.returns.items():
        require(key in auditor.asked, f"nobody has asked for {key}", key)
        asked = auditor.owners.get(key, auditor.asked[key][0])
        if "r" in item:
            code = item["r"]["L"][0]["S"]
            require(key not in auditor.places, f"{key} was refused, and is booked", key)
            is_right = any(auditor.was_ever(each, code) for each in auditor.asked[key])
            require(is_right, f"{key} was refused with {code}, which was never so", key)
            continue
        is_booked = key in auditor.places
        purchase = auditor.places.get(asked.of)
        waits = "s" not in item
        where = auditor.places[key][:2] if is_booked else None
        if not waits:
            require(where == (item["a"]["S"], int(item["s"]["N"])), f"{key} is said to be at {item}, not {where}", key)
        elif purchase is not None and asked.of in auditor.purchases:
            require(where == purchase[:2], f"{key} has waited for {asked.of}, and did not come with it", key)
    for key, bought in auditor.purchases.items():
        require(bought.returned <= bought.asked.amount, f"more of {key} came back than was bought", key)
    for asked in _all(auditor):
        if asked.what != "purchaseReturn":
            continue
        is_kept = asked.key in auditor.found.returns or not (any(each.parked or each.place for each in asked.heard))
        require(is_kept, f"{asked.key} was accepted, and is not kept", asked.key)


# --- the rest ---------------------------------------------------------------------------------------------------------


def check_whole(auditor: Auditor) -> None:
    """What only all accounts and all items together can show."""
    worth = sum(books.worth for books in auditor.books.values())
    require(worth == auditor.came, f"the accounts are worth {worth}, and {auditor.came} points came and went")
    ended = set(auditor.found.ends)
    require(ended == auditor.cancelled, f"ends {ended ^ auditor.cancelled} and cancellations differ")
    for key, place in auditor.places.items():
        if key.startswith("~r."):
            continue
        claim = auditor.found.claims.get(key)
        require(claim is not None, f"{key} is booked, and nothing remembers it", key)
        assert claim is not None
        require("r" not in claim, f"{key} was refused for good, and is booked at {place}", key)
        seen = int(claim["s"]["N"]) if "s" in claim else 0
        is_behind = claim["a"]["S"] != place[0] or place[1] > seen
        require(is_behind, f"{key} stands at {place}, before its claim", key)
    for key, item in auditor.found.claims.items():
        require(
            "f" in item or any(each["PK"]["S"] == f"K#{key}" for each in auditor.found.returns.values()),
            f"{key} is parked, and nothing waits",
            key,
        )
    found = auditor.found
    require(found.directory == set(found.logs), f"the directory has {found.directory ^ set(found.logs)} wrong")
    astray = [
        (name, shard) for name, shard in found.shards if zlib.crc32(name.encode()) % auditor.rules.shards != shard
    ]
    require(not astray, f"in the wrong shard: {astray}")
    _check_people(auditor)


def _check_people(auditor: Auditor) -> None:
    """Every way to find a member leads to whoever has it in their profile, and to nobody else."""
    expected: dict[str, str] = {}
    for account, phone in auditor.phones.items():
        profile = auditor.found.profiles[account]
        said = _text(profile, "ph")
        require(said == phone, f"the phone of {account} is {said}, not {phone}", account)
        if auditor.books[account].status != "CLOSED":
            found_by = {"phone": phone, "external": _text(profile, "x"), "subject": _text(profile, "lg")}
            expected |= {_lookup(auditor, *each): account for each in found_by.items() if each[1] is not None}
    differ = dict(expected.items() ^ auditor.found.lookups.items())
    require(not differ, f"look-ups lead elsewhere: {differ}", *differ.values())


def _lookup(auditor: Auditor, kind: str, value: str | None) -> str:
    digest = hmac.new(auditor.rules.pepper, f"{kind}#{value}".encode(), hashlib.sha256).hexdigest()
    return f"{kind}#{digest}"


def _text(item: Item, name: str) -> str | None:
    return str(item[name]["S"]) if name in item else None
