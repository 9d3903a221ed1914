"""STOP, START and HELP as contacts write them, stored and heeded in one transaction."""

from typing import Any

import pytest

from app.domain.opt_outs.inbound import Heard, hear_keywords
from app.domain.opt_outs.listeners import OptState
from app.lib.broker import dispatch_queue
from app.lib.db import Database
from app.lib.ids import new_id
from tests.integration.opt_outs.conftest import ABEBE, ALMAZ, Desk, inbound

OUT = [("sms", ABEBE, "all")]


async def metadata(desk: Desk) -> list[tuple[str, Any]]:
    rows = await desk.rows(
        "SELECT body, metadata FROM messages WHERE account_id = :account AND direction = 'inbound' ORDER BY id"
    )
    return [(row.body, row.metadata) for row in rows]


@pytest.mark.parametrize(
    "said", ["STOP", " stop! ", "“Stop.”", "\U0001f6d1 STOP \U0001f6d1", "ＳＴＯＰ", "Opt-Out", "አቁም", "unsubscribe"]
)
async def test_stop_is_heard_however_it_is_written(desk: Desk, said: str) -> None:
    await desk.hear(said)
    assert await desk.opt_outs() == OUT
    (opt_out,) = await desk.items("/opt-outs")
    (message,) = await desk.items("/messages?direction=inbound")
    assert message["metadata"] == {"keyword": "stop"}
    assert (opt_out["source"], opt_out["text"], opt_out["message_id"]) == ("keyword", said, message["id"])
    assert (opt_out["channel_id"], opt_out["actor"], opt_out["detail"]) == (desk.channel, None, None)


@pytest.mark.parametrize(
    "said", ["please stop", "stop it", "s t o p", "STOP NEWS", "stopwatch", "", "\U0001f6d1", "yes", "STOP " * 50]
)
async def test_only_the_whole_message_counts(desk: Desk, said: str) -> None:
    await desk.hear(said)
    assert await desk.opt_outs() == []
    assert [what for _, what in await metadata(desk)] == [{}]


async def test_start_ends_every_opt_out_and_the_ledger_keeps_all(desk: Desk) -> None:
    await desk.keywords(action="stop", words=["STOP NEWS"], topic="marketing")
    await desk.hear("Stop news", "STOP", "stop")
    assert sorted(await desk.opt_outs()) == [("sms", ABEBE, "all"), ("sms", ABEBE, "marketing")]
    await desk.hear("Start")
    assert await desk.opt_outs() == []
    events = await desk.ledger()
    assert events[:2] == [
        ("opted_out", ABEBE, "marketing", "keyword"),
        ("opted_out", ABEBE, "all", "keyword"),
    ]
    assert sorted(events[2:]) == [
        ("opted_in", ABEBE, "all", "keyword"),
        ("opted_in", ABEBE, "marketing", "keyword"),
    ]
    assert [what["keyword"] for _, what in await metadata(desk)] == ["stop", "stop", "stop", "start"]
    types = [each["type"] for each in await desk.items("/events?type[startswith]=contact.opted")]
    assert types == ["contact.opted_out"] * 2 + ["contact.opted_in"] * 2


async def test_what_is_said_last_in_a_batch_counts(desk: Desk) -> None:
    await desk.hear("stop", "start", "stop", "start")
    assert await desk.opt_outs() == []
    assert [change for change, *_ in await desk.ledger()] == ["opted_out", "opted_in"] * 2
    await desk.hear("start", "stop")
    assert await desk.opt_outs() == OUT
    (opt_out,) = await desk.items("/opt-outs")
    ledger = await desk.items("/consent-events")
    assert (ledger[0]["opt_out_id"], ledger[0]["change"]) == (opt_out["id"], "opted_out")


async def test_help_changes_nothing(desk: Desk) -> None:
    await desk.hear("HELP")
    assert not await desk.opt_outs() and not await desk.ledger()
    assert await metadata(desk) == [("HELP", {"keyword": "help"})]


async def test_a_repeated_delivery_changes_nothing(desk: Desk) -> None:
    stop = inbound("STOP", key="the-same")
    await desk.bench.apply(inbound=[stop])
    await desk.hear("START")
    await desk.bench.apply(inbound=[stop])
    assert await desk.opt_outs() == []
    assert len(await desk.ledger()) == 2


async def test_a_sender_without_a_plus_is_one_of_the_accounts_country(desk: Desk) -> None:
    settings = {"settings": {"default_country": "ET"}}
    assert (await desk.call("PATCH", f"/accounts/{desk.account_id}", json=settings)).status_code == 200
    await desk.hear("STOP", sender="0911000142")
    await desk.hear("STOP", sender="251911000143")
    assert sorted(await desk.opt_outs()) == [("sms", ABEBE, "all"), ("sms", ALMAZ, "all")]


async def test_a_short_number_cannot_opt_out(desk: Desk) -> None:
    await desk.keywords(action="stop", words=["stop"], reply="Bye.")
    await desk.hear("STOP", sender="8181")
    assert await desk.opt_outs() == []
    assert await metadata(desk) == [("STOP", {"keyword": "stop"})]
    assert await desk.outgoing() == []


async def test_languages_follow_the_number_and_the_account(desk: Desk) -> None:
    await desk.hear("Acha", sender=ABEBE)
    assert await desk.opt_outs() == [], "Swahili is not spoken in Ethiopia"
    await desk.hear("Acha", sender="+254722000142")
    assert await desk.opt_outs() == [("sms", "+254722000142", "all")]
    settings = {"settings": {"language": "sw-KE"}}
    assert (await desk.call("PATCH", f"/accounts/{desk.account_id}", json=settings)).status_code == 200
    await desk.hear("Acha", sender=ABEBE)
    assert ("sms", ABEBE, "all") in await desk.opt_outs()


async def test_a_part_that_says_stop_is_no_stop(desk: Desk) -> None:
    await desk.bench.apply(inbound=[inbound("stop", reference=7, total=2, number=2)])
    assert await desk.opt_outs() == []
    await desk.bench.apply(inbound=[inbound("Do not ", reference=7, total=2, number=1)])
    assert await desk.opt_outs() == []
    assert await metadata(desk) == [("Do not stop", {})]
    await desk.bench.apply(inbound=[inbound("73746f70", encoding="binary")])
    assert (await metadata(desk))[-1] == ("73746f70", {})


async def test_a_set_of_the_channel_comes_before_one_of_its_class(desk: Desk) -> None:
    await desk.keywords(action="help", words=["news"], reply="Everywhere.")
    await desk.keywords(action="help", words=["news"], channel_class="sms", reply="By SMS.")
    await desk.keywords(action="help", words=["news"], channel_class="telegram", reply="On Telegram.")
    await desk.keywords(action="start", words=["news"], channel_id=desk.channel, topic="marketing", reply="Here.")
    await desk.hear("News")
    assert [each["text"] for each in await desk.outgoing()] == ["Here."]
    assert await metadata(desk) == [("News", {"keyword": "start"})]


async def test_start_of_a_topic_leaves_an_opt_out_of_everything(desk: Desk) -> None:
    await desk.keywords(action="start", words=["news"], topic="marketing")
    await desk.keywords(action="stop", words=["no news"], topic="marketing")
    await desk.hear("no news", "stop", "news")
    assert await desk.opt_outs() == OUT


async def test_built_in_start_and_help_can_be_switched_off(desk: Desk) -> None:
    await desk.keywords(action="start", words=["bring it back"], replaces_built_in=True)
    await desk.keywords(action="help", replaces_built_in=True, channel_class="sms")
    await desk.hear("stop", "start", "help")
    assert await desk.opt_outs() == OUT
    assert [what for _, what in await metadata(desk)] == [{"keyword": "stop"}, {}, {}]
    await desk.hear("Bring it back!")
    assert await desk.opt_outs() == []


async def test_an_answer_goes_to_who_opted_out_once_a_day(desk: Desk) -> None:
    made = await desk.keywords(action="stop", words=["stop"], reply="You are out. Write START to come back.")
    await desk.hear("STOP", "stop", to="8080")
    await desk.hear("stop", to="8080")
    (answer,) = await desk.outgoing()
    assert (answer["to"], answer["from"], answer["text"]) == (ABEBE, "8080", made["reply"])
    assert (answer["status"], answer["metadata"]) == ("queued", {"keyword_reply": "stop"})
    queue = dispatch_queue(desk.bench.channel_id, "high")
    assert len(await desk.rows("SELECT id FROM outbox WHERE queue = :queue", queue=queue)) == 1
    await desk.hear("stop", sender=ALMAZ)
    assert [each["to"] for each in await desk.outgoing()] == [ABEBE, ALMAZ]
    await desk.run("UPDATE opt_out_replies SET replied_at = now() - interval '25 hours' WHERE account_id = :account")
    await desk.hear("stop")
    assert len(await desk.outgoing()) == 3


async def test_a_channel_that_ended_still_hears_and_does_not_answer(desk: Desk) -> None:
    await desk.keywords(action="stop", words=["stop"], reply="Bye.")
    assert (await desk.call("DELETE", f"/channels/{desk.channel}")).status_code == 204
    await desk.hear("stop")
    assert await desk.opt_outs() == OUT
    assert await desk.outgoing() == []


async def test_other_accounts_and_classes_are_not_touched(desk: Desk, elsewhere: Desk) -> None:
    await elsewhere.keywords(action="stop", words=["no news"], reply="Bye.")
    await desk.hear("no news", "stop")
    assert await desk.opt_outs() == OUT
    for found in (await elsewhere.opt_outs(), await elsewhere.ledger(), await elsewhere.outgoing()):
        assert not found
    assert (await elsewhere.send()).status_code == 201


async def test_a_listener_is_told_in_the_transaction(desk: Desk) -> None:
    told: list[OptState] = []

    class Copy:
        async def changed(self, session: Any, account_id: Any, states: Any) -> None:
            assert account_id == desk.account_id
            told.extend(states)

    async with desk.database.unit_of_work() as session:
        said = [Heard(new_id(), ABEBE, "8080", word) for word in ("stop", "start", "help")]
        said.append(Heard(new_id(), ALMAZ, "8080", "stop"))
        await hear_keywords(session, desk.account_id, desk.bench.channel_id, said, new_id, Copy())
    assert [(each.address, sorted(each.topics)) for each in told] == [(ABEBE, []), (ALMAZ, ["all"])]


async def test_texts_that_are_no_keyword_ask_nothing_of_the_database(desk: Desk) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing", process="test", connect_timeout=1)
    said = [Heard(new_id(), ABEBE, "8080", each) for each in ("stop " * 40, "?!", "", "\U0001f6d1")]
    async with nowhere.reading() as session:
        assert await hear_keywords(session, desk.account_id, desk.bench.channel_id, said, new_id) == {}
    await nowhere.close()
