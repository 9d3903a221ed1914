"""Rendering a template for one recipient after another, in one process: renders a second.

Each render does what sending does: the values of the names are looked up in the request, the contact's fields and its
attributes, and the compiled plan of the version is filled with them. Contacts differ, and every tenth one lacks the
name, so that the fallback is part of it. The reference is `str.format_map` over values that are ready: what no template
language with fallbacks can be faster than.
"""

import time
from collections.abc import Callable
from typing import Any

from app.domain.templates.checks import checked_content
from app.domain.templates.content import Kind
from app.domain.templates.language.plan import Failed, Skipped
from app.domain.templates.rendering import MessagePlan, RenderedMessage
from bench.harness import emit, say

CONTACTS = 10_000
ROUNDS = 5
RENDERS = 200_000

SIMPLE: dict[str, Any] = {
    "body": "Hi {FIRST_NAME}, your code is {CODE}",
    "fallback": {"strategy": "default", "values": {"FIRST_NAME": "friend"}},
}
FILTERED: dict[str, Any] = {
    "body": (
        "Dear {FIRST_NAME|title|default:'customer'}, your order {CODE} of {AMOUNT|number:2} ETB is in {CITY|upper} on "
        "{DAY|date:'%A %-d %B'}. Thank you, {LAST_NAME|trim|truncate:20}!"
    ),
    "fallback": {"strategy": "empty"},
}

Contact = dict[str, Any]


def contacts() -> list[Contact]:
    return [
        {
            "first_name": f"abebe{number}" if number % 10 else None,
            "last_name": f"Kebede {number}",
            "phone": f"+2519{number:08}",
            "email": None,
            "language": "en",
            "timezone": "Africa/Addis_Ababa",
            "attributes": {"city": "Adama", "day": "2026-11-26", "plan": "gold"},
        }
        for number in range(CONTACTS)
    ]


def sending(content: dict[str, Any], people: list[Contact]) -> Callable[[], None]:
    plan = MessagePlan(checked_content(content), Kind.SMS, "en")

    def run() -> None:
        for number in range(RENDERS):
            contact = people[number % CONTACTS]
            outcome = plan.render(plan.values({"CODE": "4711", "AMOUNT": 1234.5}, contact))
            if isinstance(outcome, Skipped | Failed):
                raise SystemExit(f"unexpected: {outcome}")

    return run


def filling(people: list[Contact]) -> Callable[[], None]:
    """The plan alone, over values that are ready."""
    plan = MessagePlan(checked_content(SIMPLE), Kind.SMS, "en")
    ready = [plan.values({"CODE": "4711", "AMOUNT": 1234.5}, contact) for contact in people]

    def run() -> None:
        for number in range(RENDERS):
            if not isinstance(plan.render(ready[number % CONTACTS]), RenderedMessage):
                raise SystemExit("unexpected")

    return run


def formatting(people: list[Contact]) -> Callable[[], None]:
    ready = [{"FIRST_NAME": contact["first_name"] or "friend", "CODE": "4711"} for contact in people]
    body = SIMPLE["body"]

    def run() -> None:
        for number in range(RENDERS):
            body.format_map(ready[number % CONTACTS])

    return run


def rate(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return RENDERS / (time.perf_counter() - started)


def measure() -> None:
    people = contacts()
    runs = {
        "sending": sending(SIMPLE, people),
        "filtered": sending(FILTERED, people),
        "plan": filling(people),
        "format_map": formatting(people),
    }
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        # In turn, so that whatever else the machine does falls on all of them; the first round warms up.
        for name, run in runs.items():
            value = rate(run)
            if number:
                samples[name].append(value)
        if number:
            say(f"round {number}: " + ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in samples.items()))
    median = {name: sorted(values)[ROUNDS // 2] for name, values in samples.items()}
    emit(
        "templates",
        samples["sending"],
        "renders/s",
        higher_is_better=True,
        reference={"name": "str.format_map over ready values", "value": round(median["format_map"])},
        filtered_value=round(median["filtered"]),
        plan_value=round(median["plan"]),
        params={"rounds": ROUNDS, "renders": RENDERS, "contacts": CONTACTS, "processes": 1},
    )


if __name__ == "__main__":
    measure()
