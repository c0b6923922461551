"""Jurisdictions: what the law of some places asks of a program, as far as a program file shows it.

Rules are data: each says what it looks for and whether a program is refused for it or only warned. They are an aid to whoever
writes a program, and not legal advice; docs/lifecycle.md names the sources.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from domain.documents import InvalidProgram
from domain.expiry import Expiry, Policy
from domain.moments import Moment, On
from domain.notices import Consent

if TYPE_CHECKING:
    from domain.programs import Program


class Jurisdiction(Enum):
    """A place whose rules a program can be held to."""

    # Consumer Protection Act, 2002, S.O. 2002, c. 30, Sched. A, s. 47.1.
    ONTARIO = "ontario"
    # Consumer Protection Act, CQLR c. P-40.1, s. 187.8; its Regulation, r. 3, s. 79.6.3.
    QUEBEC = "quebec"


@dataclass(frozen=True, slots=True)
class Rule:
    """Something a jurisdiction asks. `broken` tells whether a program breaks it; `path` is where it does in the document."""

    jurisdiction: Jurisdiction
    broken: Callable[["Program"], bool]
    message: str
    path: tuple[str, ...]
    is_refused: bool = True


def _expires_by_time(program: "Program") -> bool:
    return not (program.terms.expiry.is_rolling or _never_expires(program.terms.expiry))


def _never_expires(policy: Expiry) -> bool:
    return policy.policy is Policy.NEVER or (policy.policy is Policy.FIXED and not (policy.months or policy.days))


def _giving(program: "Program") -> list[Moment]:
    """The moments that give points, be it by a tier: what tiers give for a birthday comes with the first moment on birthdays."""
    tiers = program.ladder.tiers if program.ladder else ()
    by_tier = None
    if any(tier.benefits.birthday_points for tier in tiers):
        by_tier = next((moment for moment in program.moments if moment.on is On.BIRTHDAY), None)
    return [moment for moment in program.moments if moment.points or moment == by_tier]


def _has_dated_moments(program: "Program") -> bool:
    return any(moment.valid_days for moment in _giving(program))


def _has_dated_gifts(program: "Program") -> bool:
    """Whether points that come without an activity of the member have a day of their own, which no activity moves."""
    return program.terms.expiry.is_rolling and bool(_giving(program))


def _is_short(program: "Program") -> bool:
    # A silence is measured from its last activity on; twelve months are a year, however many days they have. Fewer of them
    # count as days, each as the shortest.
    policy = program.terms.expiry
    return policy.is_rolling and policy.months < 12 and policy.months * 28 + policy.days < 366


def _has_no_stage(program: "Program") -> bool:
    return program.terms.expiry.is_rolling and not any(30 <= stage <= 60 for stage in program.notices.stages)


def _misses_activities(*needed: str) -> Callable[["Program"], bool]:
    # By their names: the enum stands in domain.programs, which reads this module.
    def is_broken(program: "Program") -> bool:
        return program.terms.expiry.is_rolling and not {activity.value for activity in program.activities} >= {*needed}

    return is_broken


def _reminds_on_request(program: "Program") -> bool:
    return program.terms.expiry.is_rolling and Consent.REMINDERS not in program.notices.defaults


_TIME_ALONE = (
    (
        _expires_by_time,
        "points must not expire by time alone: use the policy never or inactivity.",
        ("expiry", "policy"),
    ),
    (_has_dated_moments, "points of a moment must not expire by time alone: leave valid_days out.", ("moments",)),
)
RULES: tuple[Rule, ...] = (
    *(
        Rule(place, broken, message, path)
        for place in (Jurisdiction.ONTARIO, Jurisdiction.QUEBEC)
        for broken, message, path in _TIME_ALONE
    ),
    *(
        Rule(
            place,
            _has_dated_gifts,
            "points of moments that come by themselves, such as a birthday, have a day of their own, which no activity moves.",
            ("moments",),
            is_refused=False,
        )
        for place in (Jurisdiction.ONTARIO, Jurisdiction.QUEBEC)
    ),
    Rule(
        Jurisdiction.ONTARIO,
        _misses_activities("purchase"),
        "points of a purchase that is no activity expire by time alone: list purchase.",
        ("activities",),
    ),
    Rule(
        Jurisdiction.QUEBEC,
        _is_short,
        "points may expire after a year without activity, not earlier: set months to 12 at least.",
        ("expiry", "months"),
    ),
    Rule(
        Jurisdiction.QUEBEC,
        _misses_activities("purchase", "redemption"),
        "receiving and exchanging points both count as activity: list purchase and redemption.",
        ("activities",),
    ),
    Rule(
        Jurisdiction.QUEBEC,
        _has_no_stage,
        "members have to be told 30 to 60 days before their points expire: add such a stage.",
        ("notices", "stages"),
    ),
    Rule(
        Jurisdiction.QUEBEC,
        _reminds_on_request,
        "whoever does not answer is not reminded, and has to be told otherwise before their points expire.",
        ("notices", "defaults"),
        is_refused=False,
    ),
)


def broken(program: "Program", *, is_refused: bool) -> list[Rule]:
    """The rules of its jurisdictions that a program breaks, those it is refused for or those it is warned of."""
    return [
        rule
        for rule in RULES
        if rule.jurisdiction in program.jurisdictions and rule.is_refused is is_refused and rule.broken(program)
    ]


def require(program: "Program") -> None:
    """Refuses `InvalidProgram` for the first rule that a program breaks."""
    for rule in broken(program, is_refused=True):
        raise InvalidProgram(f"{'.'.join(rule.path)}: in {rule.jurisdiction.value}, {rule.message}", field=rule.path)


def warnings(program: "Program") -> list[str]:
    """What whoever publishes a program should know, a sentence each."""
    return [
        f"In {rule.jurisdiction.value}, {rule.message} ({'.'.join(rule.path)})"
        for rule in broken(program, is_refused=False)
    ]
