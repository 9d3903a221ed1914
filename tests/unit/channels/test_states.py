from typing import Literal

import pytest

from app.domain.channels.states import REPORTABLE, ChannelStatus, after_change, after_resume, ready_status


@pytest.mark.parametrize(("sent_by", "ready"), [("smppd", ChannelStatus.CONNECTING), ("worker", ChannelStatus.ACTIVE)])
class TestBySender:
    def test_a_new_channel(self, sent_by: Literal["worker", "smppd"], ready: ChannelStatus) -> None:
        assert ready_status(sent_by) is ready

    def test_resume_ends_a_pause(self, sent_by: Literal["worker", "smppd"], ready: ChannelStatus) -> None:
        assert after_resume(ChannelStatus.PAUSED, sent_by) is ready

    @pytest.mark.parametrize("status", sorted(set(ChannelStatus) - {ChannelStatus.PAUSED}))
    def test_resume_changes_nothing_else(
        self, sent_by: Literal["worker", "smppd"], ready: ChannelStatus, status: ChannelStatus
    ) -> None:
        assert after_resume(status, sent_by) is status

    @pytest.mark.parametrize("status", sorted(set(ChannelStatus) - {ChannelStatus.PAUSED}))
    def test_a_change_starts_again(
        self, sent_by: Literal["worker", "smppd"], ready: ChannelStatus, status: ChannelStatus
    ) -> None:
        assert after_change(status, sent_by) is ready

    def test_a_change_does_not_end_a_pause(self, sent_by: Literal["worker", "smppd"], ready: ChannelStatus) -> None:
        assert after_change(ChannelStatus.PAUSED, sent_by) is ChannelStatus.PAUSED


def test_a_sender_reports_neither_the_owners_wish_nor_a_draft() -> None:
    assert {ChannelStatus.PAUSED, ChannelStatus.DRAFT}.isdisjoint(REPORTABLE)
