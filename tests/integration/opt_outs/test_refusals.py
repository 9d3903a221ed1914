"""Messages to people who have opted out: refused where they come in, ended where they wait."""

import asyncio
from uuid import UUID

import pytest

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.events import DispatchMessage, Lane, SmsOptions
from app.domain.messages.handover import Handover, Verdict
from app.domain.opt_outs.classes import ChannelClass, MessageTopic, Topic
from app.domain.opt_outs.lookup import opted_out, topics_of
from app.domain.smpp_accounts.directory import SmppAccountDirectory
from app.domain.smpp_accounts.gateway import SmppGateway, Submission
from app.lib.broker import dispatch_queue, smpp_queue
from app.lib.clock import utc_now
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from tests.integration.opt_outs.conftest import ABEBE, ALMAZ, Desk, refused


async def opt_out(desk: Desk, address: str = ABEBE, topic: str = "all") -> str:
    body = {"address": address, "channel_class": "sms", "topic": topic}
    answer = await desk.call("POST", "/opt-outs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def states(desk: Desk) -> list[tuple[str, str]]:
    return [(each["to"], each["status"]) for each in await desk.outgoing()]


class TestAccepting:
    async def test_a_message_to_somebody_who_opted_out_is_refused(self, desk: Desk) -> None:
        await opt_out(desk)
        answer = await desk.send()
        refused(answer, 422, "invalid_value", "/to")
        assert answer.json()["errors"][0]["code"] == "opted_out"
        assert (await desk.send(to=ALMAZ)).status_code == 201
        assert await states(desk) == [(ALMAZ, "queued")]

    async def test_the_same_number_written_as_it_is_dialled(self, desk: Desk) -> None:
        settings = {"settings": {"default_country": "ET"}}
        assert (await desk.call("PATCH", f"/accounts/{desk.account_id}", json=settings)).status_code == 200
        await opt_out(desk, "0911 00 01 42")
        for to in ("0911000142", "+251911000142"):
            refused(await desk.send(to=to), 422, "invalid_value", "/to")

    @pytest.mark.parametrize(
        ("topic", "passing"),
        [("all", set()), ("marketing", {None, "service"}), ("service", {"marketing"})],
    )
    async def test_topics(self, desk: Desk, topic: str, passing: set[str | None]) -> None:
        await opt_out(desk, topic=topic)
        for about in (None, "service", "marketing"):
            answer = await desk.send(topic=about)
            assert answer.status_code == (201 if about in passing else 422), about
            if about in passing:
                assert answer.json()["topic"] == about
                read = await desk.call("GET", f"/messages/{answer.json()['id']}")
                assert read.json()["topic"] == about

    @pytest.mark.parametrize("topic", ["all", "", "news", 5])
    async def test_a_message_is_about_one_topic(self, desk: Desk, topic: object) -> None:
        refused(await desk.send(topic=topic), 422, "invalid_value", "/topic")

    async def test_a_batch_is_refused_message_by_message(self, desk: Desk) -> None:
        await opt_out(desk)
        await opt_out(desk, ALMAZ, "marketing")
        made = [
            {"to": "+251911000100"},
            {"to": ABEBE},
            {"to": ALMAZ, "topic": "marketing"},
            {"to": ALMAZ},
            {"to": "nobody"},
        ]
        body = {"messages": [{"channel_id": desk.channel, "text": "Hello", **each} for each in made]}
        headers = {"Idempotency-Key": "batch-1"}
        first = await desk.call("POST", "/messages/batch", json=body, headers=headers)
        assert first.status_code == 200, first.text
        document = first.json()
        assert [each["status"] for each in document["items"]] == [201, 422, 422, 201, 422]
        assert (document["accepted"], document["rejected"]) == (2, 3)
        codes = [each["problem"]["errors"][0]["code"] for each in document["items"] if "problem" in each]
        assert codes == ["opted_out", "opted_out", "not_e164"]
        assert await states(desk) == [("+251911000100", "queued"), (ALMAZ, "queued")]
        again = await desk.call("POST", "/messages/batch", json=body, headers=headers)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == document
        assert len(await states(desk)) == 2

    async def test_a_batch_of_which_nothing_is_left(self, desk: Desk) -> None:
        await opt_out(desk)
        body = {"messages": [{"channel_id": desk.channel, "text": "Hello", "to": ABEBE}] * 3}
        for headers in ({}, {"Idempotency-Key": "none"}, {"Idempotency-Key": "none"}):
            answer = await desk.call("POST", "/messages/batch", json=body, headers=headers)
            assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, 3)
        assert answer.headers["idempotency-replayed"] == "true"
        assert await states(desk) == []

    async def test_a_refusal_is_kept_under_its_key_like_any_other(self, desk: Desk) -> None:
        opt_out_id = await opt_out(desk)
        key = {"Idempotency-Key": "once"}
        refused(await desk.send(headers=key), 422, "invalid_value", "/to")
        assert (await desk.call("DELETE", f"/opt-outs/{opt_out_id}")).status_code == 204
        again = await desk.send(headers=key)
        refused(again, 422, "invalid_value", "/to")
        assert again.headers["idempotency-replayed"] == "true"
        assert (await desk.send()).status_code == 201

    async def test_what_was_accepted_is_answered_again_after_an_opt_out(self, desk: Desk) -> None:
        key = {"Idempotency-Key": "before"}
        first = await desk.send(headers=key)
        await opt_out(desk)
        again = await desk.send(headers=key)
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])

    async def test_one_transaction_of_many_accounts(self, desk: Desk, elsewhere: Desk) -> None:
        await opt_out(desk)
        await opt_out(elsewhere, ALMAZ)
        sent = [(one, to) for to in (ABEBE, ALMAZ) for one in (desk, elsewhere)] * 8
        answers = await asyncio.gather(*(one.send(to=to) for one, to in sent))
        for (one, to), answer in zip(sent, answers, strict=True):
            wanted = (one is desk) != (to == ABEBE)
            assert answer.status_code == (201 if wanted else 422), answer.text
        assert await states(desk) == [(ALMAZ, "queued")] * 8
        assert await states(elsewhere) == [(ABEBE, "queued")] * 8


class TestWaiting:
    async def test_what_is_queued_ends_when_its_recipient_opts_out(self, desk: Desk) -> None:
        waiting = (await desk.send()).json()["id"]
        assert (await desk.send(to=ALMAZ)).status_code == 201
        await desk.hear("STOP")
        assert await states(desk) == [(ABEBE, "failed"), (ALMAZ, "queued")]
        message = (await desk.call("GET", f"/messages/{waiting}")).json()
        assert (message["error"]["class"], message["error"]["code"]) == ("opted_out", "opted_out")
        assert [each["status"] for each in message["events"]] == ["queued", "failed"]
        assert [each["outcome"] for each in message["attempts"]] == ["failed"]
        assert await desk.bench.claim(UUID(waiting)) is Verdict.SETTLED

    async def test_by_hand_and_by_topic(self, desk: Desk) -> None:
        for topic in ("marketing", "service", None):
            await desk.send(topic=topic)
        await opt_out(desk, topic="marketing")
        assert [status for _, status in await states(desk)] == ["failed", "queued", "queued"]
        await opt_out(desk, topic="service")
        assert [status for _, status in await states(desk)] == ["failed"] * 3

    async def test_what_a_sender_has_claimed_is_the_senders(self, desk: Desk) -> None:
        waiting = (await desk.send()).json()["id"]
        assert await desk.bench.claim(UUID(waiting)) is Verdict.CLAIMED
        await desk.hear("STOP")
        assert await states(desk) == [(ABEBE, "queued")]

    async def test_a_claim_and_an_opt_out_at_once(self, desk: Desk) -> None:
        made = [(await desk.send(text=str(n))).json()["id"] for n in range(20)]
        wanted = [DispatchMessage(UUID(each).bytes, 1, ABEBE, None, "x") for each in made]

        async def claim() -> set[UUID]:
            claims = await Handover(desk.database).claim(desk.account_id, desk.bench.channel_id, wanted)
            return {UUID(bytes=each.message.id) for each in claims if each.verdict is Verdict.CLAIMED}

        claimed, _ = await asyncio.gather(claim(), desk.hear("STOP"))
        failed = {UUID(each["id"]) for each in await desk.items("/messages?status=failed")}
        assert not claimed & failed
        assert len(claimed | failed) == 20

    async def test_another_accounts_messages_wait_on(self, desk: Desk, elsewhere: Desk) -> None:
        await elsewhere.send()
        await desk.hear("STOP")
        assert await states(elsewhere) == [(ABEBE, "queued")]


class TestAtTheSameMoment:
    async def test_stop_and_a_message_never_pass_each_other_by(self, desk: Desk) -> None:
        """When both have ended, nothing is left in the queue for somebody who opted out."""
        for _ in range(10):
            answers, _ = await asyncio.gather(asyncio.gather(*(desk.send() for _ in range(5))), desk.hear("STOP"))
            assert {answer.status_code for answer in answers} <= {201, 422}
            assert "queued" not in {status for _, status in await states(desk)}
            await desk.hear("START")

    async def test_two_stops_are_one_opt_out(self, desk: Desk, database: Database) -> None:
        other = await desk.call("POST", "/channels", json={"name": "Second", "type": "sandbox"})
        second = Desk(
            desk.client,
            {"headers": desk.headers, "account": {"id": str(desk.account_id)}},
            other.json()["id"],
            database,
        )
        body = {"address": ABEBE, "channel_class": "sms"}
        by_hand = asyncio.gather(*(desk.call("POST", "/opt-outs", json=body) for _ in range(4)))
        answers, _, _ = await asyncio.gather(by_hand, desk.hear("STOP"), second.hear("STOP"))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert await desk.opt_outs() == [("sms", ABEBE, "all")]
        assert [change for change, *_ in await desk.ledger()] == ["opted_out"]
        assert len(await desk.items("/events?type=contact.opted_out")) == 1


class TestSmpp:
    async def test_an_applications_message_fails_and_it_gets_its_receipt(
        self, desk: Desk, envelope: Envelope, database: Database
    ) -> None:
        await opt_out(desk)
        body = {"name": "App", "system_id": f"a{new_id().hex[-10:]}", "channel_id": desk.channel}
        made = (await desk.call("POST", "/smpp-accounts", json=body)).json()
        await desk.run("UPDATE smpp_accounts SET last_bound_at = now() WHERE account_id = :account")
        account = await SmppAccountDirectory(database).find(made["system_id"])
        assert account is not None
        gateway = SmppGateway(database, ChannelDirectory(database, envelope), utc_now, new_id)
        gateway.start()
        try:
            route = await gateway.route(account)
            assert route is not None
            sent = [Submission(to, None, "Hello", "gsm7", 1, SmsOptions(), None, Lane.HIGH, 1) for to in (ABEBE, ALMAZ)]
            ids = await gateway.accept(account, route, sent)
            seen = [await gateway.query(account, each) for each in ids]
        finally:
            await gateway.stop()
        assert [each.status for each in seen if each is not None] == ["failed", "queued"]
        message = (await desk.call("GET", f"/messages/{UUID(hex=ids[0])}")).json()
        assert (message["error"]["class"], message["attempts"]) == ("opted_out", [])
        assert [each["status"] for each in message["events"]] == ["queued", "failed"]
        receipts = await desk.rows("SELECT body FROM outbox WHERE queue = :q", q=smpp_queue(UUID(made["id"])))
        assert len(receipts) == 1
        assert UUID(hex=ids[0]).bytes in receipts[0].body
        batches = await desk.rows(
            "SELECT body FROM outbox WHERE queue = :q", q=dispatch_queue(desk.bench.channel_id, "high")
        )
        assert len(batches) == 1
        assert UUID(hex=ids[0]).bytes not in batches[0].body


class TestLookingUp:
    async def test_sets_of_addresses(self, desk: Desk, elsewhere: Desk) -> None:
        await opt_out(desk)
        await opt_out(desk, ALMAZ, "marketing")
        await opt_out(elsewhere, "+251911000144")
        sms = [(ChannelClass.SMS, each) for each in (ABEBE, ALMAZ, "+251911000144")]
        chat = (ChannelClass.WHATSAPP, ABEBE)
        async with desk.database.unit_of_work() as session:
            for topic, expected in (
                (None, {sms[0]}),
                (MessageTopic.SERVICE, {sms[0]}),
                (MessageTopic.MARKETING, {sms[0], sms[1]}),
            ):
                assert await opted_out(session, desk.account_id, [*sms, chat], topic) == expected
            assert await opted_out(session, desk.account_id, [], None) == set()
            assert await topics_of(session, desk.account_id, [*sms, chat]) == {
                sms[0]: frozenset({Topic.ALL}),
                sms[1]: frozenset({Topic.MARKETING}),
            }

    async def test_many_are_found_by_index(self, desk: Desk) -> None:
        await desk.run(
            "INSERT INTO opt_outs (id, account_id, channel_class, address, topic, source)"
            " SELECT gen_random_uuid(), :account, 'sms', '+2519' || to_char(n, 'FM00000000'), 'all', 'import'"
            " FROM generate_series(1, 20000) AS n"
        )
        await desk.run("ANALYZE opt_outs")
        pairs = [(ChannelClass.SMS, f"+2519{n:08d}") for n in range(19_501, 20_501)]
        async with desk.database.unit_of_work() as session:
            assert len(await opted_out(session, desk.account_id, pairs, None)) == 500
