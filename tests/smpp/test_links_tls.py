"""TLS to operators: what is checked, what is said when it fails, and what is known of certificates that end."""

import gc
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.smpp.config import SmppConfig, SmppCredentials, SmppHost, TlsVerify
from smpp_daemon.bind import BindKeeper
from smpp_daemon.bind_health import BindState
from smpp_daemon.bind_settings import bind_settings
from smpp_daemon.health_reports import warn
from smpp_daemon.tls import TlsClients, TlsError, days_left, expiry_warning, read_certificate, tls_settings
from tests.smpp.certificates import Authority, Signed, server_context
from tests.smpp.daemon_harness import eventually
from tests.smpp.smsc import Holder, Smsc

AUTHORITY = Authority()
STRANGER = Authority("Somebody else")
OPERATOR = AUTHORITY.sign("smpp.operator.example", "backup.operator.example")
CLIENT = AUTHORITY.sign("tester", days=12)


def channel(port: int, *, own: Signed | None = None, **more: Any) -> tuple[SmppConfig, SmppCredentials]:
    config = SmppConfig(hosts=(SmppHost(host="127.0.0.1", port=port),), tls=True, **more)
    login = SmppCredentials(
        system_id="tester",
        password="secret",
        client_certificate=own.certificate if own else None,
        client_key=own.key if own else None,
    )
    return config, login


@asynccontextmanager
async def link(smsc: Smsc, *, own: Signed | None = None, **more: Any) -> AsyncIterator[BindKeeper]:
    config, login = channel(smsc.port, own=own, **more)
    async with Holder(bind_settings(config, login, "test")[0]) as keeper:
        yield keeper


async def failed(keeper: BindKeeper) -> None:
    await eventually(lambda: keeper.state is BindState.ERROR)


async def test_the_chain_and_the_name_are_checked_by_default(tmp_path: Path) -> None:
    names: list[str | None] = []
    context = server_context(OPERATOR, tmp_path)
    context.sni_callback = lambda _, name, __: names.append(name)
    async with Smsc(context=context) as smsc:
        async with link(smsc, tls_ca=AUTHORITY.certificate, tls_server_name="smpp.operator.example") as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            health = keeper.health()
            assert health.tls
            assert health.certificate_days == 364
            assert (health.client_certificate_days, health.warning) == (None, None)
        assert names == ["smpp.operator.example"]
        # Both failures are told apart, and nothing was said to a peer that is not who he should be.
        cases: list[tuple[dict[str, Any], str]] = [
            ({"tls_ca": AUTHORITY.certificate}, "hostname mismatch: certificate is for smpp.operator.example, backup"),
            ({}, "certificate is signed by an authority (Test authority) that this channel does not trust"),
            ({"tls_ca": STRANGER.certificate}, "that this channel does not trust"),
        ]
        for settings, words in cases:
            said = len(smsc.binds)
            async with link(smsc, **settings) as keeper:
                await failed(keeper)
                assert keeper.last_error is not None
                assert words in keeper.last_error
                assert f"TLS with 127.0.0.1:{smsc.port} failed" in keeper.last_error
            assert len(smsc.binds) == said


async def test_the_check_can_be_limited_to_the_chain_or_left_out(tmp_path: Path) -> None:
    async with Smsc(context=server_context(OPERATOR, tmp_path)) as smsc:
        async with link(smsc, tls_ca=AUTHORITY.certificate, tls_verify=TlsVerify.CHAIN) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
        async with link(smsc, tls_ca=STRANGER.certificate, tls_verify=TlsVerify.CHAIN) as keeper:
            await eventually(lambda: keeper.state is BindState.ERROR)
        async with link(smsc, tls_verify=TlsVerify.NONE) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            assert keeper.health().certificate_days == 364


async def test_the_operators_own_certificate_can_be_pinned(tmp_path: Path) -> None:
    async with Smsc(context=server_context(OPERATOR, tmp_path)) as smsc:
        async with link(smsc, tls_ca=OPERATOR.certificate, tls_server_name="smpp.operator.example") as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
        other = AUTHORITY.sign("smpp.operator.example")
        async with link(smsc, tls_ca=other.certificate, tls_server_name="smpp.operator.example") as keeper:
            await eventually(lambda: keeper.state is BindState.ERROR)


async def test_an_expired_certificate_is_called_that(tmp_path: Path) -> None:
    expired = AUTHORITY.sign("smpp.operator.example", days=-3.5)
    async with Smsc(context=server_context(expired, tmp_path)) as smsc:
        async with link(smsc, tls_ca=AUTHORITY.certificate, tls_verify=TlsVerify.CHAIN) as keeper:
            await eventually(lambda: keeper.state is BindState.ERROR)
            assert keeper.last_error is not None
            assert "certificate has expired (on 20" in keeper.last_error
        async with link(smsc, tls_verify=TlsVerify.NONE) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            assert keeper.health().certificate_days == -4
            assert keeper.health().warning == "The operator's certificate has expired."


async def test_our_certificate_is_shown_and_its_end_is_known(tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("smppd-*"))
    context = server_context(OPERATOR, tmp_path, clients_of=AUTHORITY)
    shared: dict[str, Any] = {"tls_ca": AUTHORITY.certificate, "tls_server_name": "smpp.operator.example"}
    async with Smsc(context=context) as smsc:
        async with link(smsc, own=CLIENT, **shared) as keeper:
            await eventually(lambda: keeper.state is BindState.BOUND)
            assert keeper.health().client_certificate_days == 11
            assert keeper.health().warning == "Our client certificate expires in 11 days."
            told: dict[int, str] = {}
            warn("channel", [keeper.health()], told)
            assert told == {0: "Our client certificate expires in 11 days."}
        async with link(smsc, own=None, **shared) as keeper:
            await eventually(lambda: keeper.last_error)
            assert keeper.last_error is not None
            assert "client certificate" in keeper.last_error
        # What is not even signed by somebody the operator knows does not get in either.
        async with link(smsc, own=STRANGER.sign("tester"), **shared) as keeper:
            await eventually(lambda: keeper.last_error)
        assert len(smsc.binds) == 1
    assert set(Path(tempfile.gettempdir()).glob("smppd-*")) == before


ENCRYPTED = AUTHORITY.sign("tester", passphrase=b"hidden")


@pytest.mark.parametrize(
    ("config", "login", "words"),
    [
        ({"tls_ca": "not PEM"}, {}, "tls_ca holds no certificate that can be read"),
        ({"tls_ca": CLIENT.key}, {}, "tls_ca holds no certificate that can be read"),
        ({}, {"client_certificate": "nonsense"}, "client_certificate holds no certificate"),
        ({}, {"client_key": CLIENT.key}, "client_key is stored without a client_certificate"),
        ({}, {"client_certificate": CLIENT.certificate}, "comes without client_key"),
        ({}, {"client_certificate": CLIENT.certificate, "client_key": "nonsense"}, "client_key holds no private key"),
        ({}, {"client_certificate": CLIENT.certificate, "client_key": OPERATOR.key}, "does not belong to"),
        ({}, {"client_certificate": ENCRYPTED.certificate, "client_key": ENCRYPTED.key}, "client_key is encrypted"),
    ],
)
async def test_bad_pem_is_a_state_in_words_and_never_a_crash(
    config: dict[str, Any], login: dict[str, Any], words: str
) -> None:
    async with Smsc() as smsc:
        made, credentials = channel(smsc.port, **config)
        credentials = msgspec.structs.replace(credentials, **login)
        async with Holder(bind_settings(made, credentials, "test")[0]) as keeper:
            await eventually(lambda: keeper.state is BindState.ERROR)
            assert keeper.last_error is not None
            assert words in keeper.last_error
        assert smsc.connections == 0


async def test_a_peer_without_tls_is_told_apart() -> None:
    async with Smsc() as smsc, link(smsc, tls_verify=TlsVerify.NONE) as keeper:
        # The plain SMSC answers a ClientHello with a generic_nack.
        await eventually(lambda: keeper.last_error)
        assert keeper.state is not BindState.BOUND
        assert keeper.last_error is not None
        assert "does not speak TLS" in keeper.last_error


async def test_contexts_are_shared_by_equal_settings_and_go_with_their_last_user() -> None:
    clients = TlsClients()
    settings = tls_settings(*channel(1, own=CLIENT, tls_ca=AUTHORITY.certificate))
    again = tls_settings(*channel(2, own=CLIENT, tls_ca=AUTHORITY.certificate))
    other = tls_settings(*channel(1, tls_ca=AUTHORITY.certificate))
    assert settings is not None
    assert again is not None
    assert other is not None
    first, second, third = await clients.get(settings), await clients.get(again), await clients.get(other)
    assert first is second
    assert first is not third
    assert len(clients) == 2
    assert first.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert CLIENT.key not in repr(settings)
    del first, second, third
    await eventually(lambda: gc.collect() >= 0 and len(clients) == 0)
    with pytest.raises(TlsError):
        await clients.get(msgspec.structs.replace(settings, ca="nonsense"))
    assert len(clients) == 0
    assert tls_settings(SmppConfig(hosts=(SmppHost(host="a", port=1),)), SmppCredentials(system_id="a")) is None


def test_certificates_that_end_are_announced() -> None:
    certificate = read_certificate(ssl.PEM_cert_to_DER_cert(CLIENT.certificate))
    assert certificate is not None
    assert (certificate.names, certificate.issuer) == (("tester",), "Test authority")
    end = certificate.ends.timestamp()
    day = 86400
    for left, words in (
        (31 * day, None),
        (29.5 * day, "Ours expires in 29 days."),
        (6.5 * day, "Ours expires in 6 days; renew it now."),
        (1.5 * day, "Ours expires in 1 day; renew it now."),
        (0.5 * day, "Ours expires today; renew it now."),
        (-0.5 * day, "Ours has expired."),
    ):
        warning = expiry_warning("Ours", days_left(certificate.ends, end - left))
        assert warning == (words and words.replace("Ours", "Ours certificate"))
    assert expiry_warning("Ours", None) is None
    assert read_certificate(b"garbage") is None
