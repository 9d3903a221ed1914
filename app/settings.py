"""Every setting of every process, read once from `TURUMBA_*` environment variables."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.lib.environment import BadEnvironment, read_environment
from app.lib.logging import configure_logging

PREFIX = "TURUMBA_"
IGNORED_PREFIXES = ("TURUMBA_LOCAL_", "TURUMBA_TEST_", "TURUMBA_PYTHON")
"""Variables of the local stack and the tests, which the product processes neither read nor refuse."""

SECRETS = ("TURUMBA_DATABASE_URL", "TURUMBA_BROKER_URL", "TURUMBA_ENCRYPTION_KEYS")
"""May be given as a file instead, `<name>_FILE`: what systemd's credentials and containers' secrets are."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000)]


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url` is `postgresql://user:password@host:port/database`; `pool_size` is connections per process."""

    url: Annotated[str, Meta(pattern=r"^postgres(ql)?://")]
    pool_size: Count = 8
    connect_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 30.0


class BrokerSettings(msgspec.Struct, frozen=True):
    """`url` is `amqp://user:password@host:port/vhost`; `queue_max_mebibytes` bounds each channel's queue."""

    url: Annotated[str, Meta(pattern=r"^amqps?://")]
    confirm_timeout_seconds: float = 10.0
    queue_max_mebibytes: Count = 512


class ApiSettings(msgspec.Struct, frozen=True):
    """Where the API listens; `workers` are processes; `body_limit_kibibytes` bounds a request's body."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Count = 1
    body_limit_kibibytes: Count = 4096


class IdentitySettings(msgspec.Struct, frozen=True):
    """Lifetimes of tokens in seconds, and how long a resolved token and its memberships may be remembered."""

    access_token_seconds: Count = 900
    refresh_token_seconds: Annotated[int, Meta(ge=60, le=31_536_000)] = 2_592_000
    context_cache_seconds: float = 2.0


class LogSettings(msgspec.Struct, frozen=True):
    """`format` console is for people at a terminal, json for machines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class MetricsSettings(msgspec.Struct, frozen=True):
    """`port` serves Prometheus metrics of the processes that are not the API; 0 turns it off."""

    host: str = "127.0.0.1"
    port: Port = 0


class SmppdSettings(msgspec.Struct, frozen=True):
    """The SMPP daemon: `admin_socket` is the path `smppctl` talks to; drain is how long SIGTERM waits for answers.

    `binds_per_second` is how many tries to connect the process begins in a second, to all operators together.

    `listen` (`host:port`, e.g. 0.0.0.0:2775) is where applications of tenants bind to us, `listen_tls` where they do so
    over TLS with `listen_certificate` and `listen_key` (paths of PEM files); both are off when they are empty.
    `listen_enquire_link_seconds` is the silence after which such a bind is probed, `listen_response_seconds` how long
    it may take to answer, `listen_inactivity_seconds` ends binds without any message (0: never).
    """

    admin_socket: str = "/run/turumba/smppd.sock"
    drain_seconds: float = 15.0
    poll_seconds: float = 5.0
    binds_per_second: Count = 10
    listen: str = ""
    listen_tls: str = ""
    listen_certificate: str = ""
    listen_key: str = ""
    listen_enquire_link_seconds: float = 30.0
    listen_response_seconds: float = 30.0
    listen_inactivity_seconds: float = 0.0


class Settings(msgspec.Struct, frozen=True):
    """The whole configuration.

    `encryption_keys` is `id:base64key[,id:base64key…]`, 32 bytes each; the first encrypts, all decrypt.
    `public_url` is what clients see: it is the issuer of access tokens and the base of problem types.
    """

    database: DatabaseSettings
    broker: BrokerSettings
    encryption_keys: str
    api: ApiSettings = ApiSettings()
    identity: IdentitySettings = IdentitySettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    smppd: SmppdSettings = SmppdSettings()
    public_url: Annotated[str, Meta(pattern=r"^https?://")] = "http://localhost:8080"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process; raises `app.lib.environment.BadEnvironment` listing every mistake."""
    values, problems = _open_files(os.environ if environ is None else environ)
    try:
        settings = read_environment(Settings, values, prefix=PREFIX, ignored_prefixes=IGNORED_PREFIXES)
    except BadEnvironment as error:
        raise BadEnvironment(problems + error.problems) from error
    if problems:
        raise BadEnvironment(problems)
    return settings


def _open_files(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The variables with the files of `SECRETS` read, and what was wrong with them."""
    values, problems = dict(environ), []
    for name in SECRETS:
        path = values.pop(f"{name}_FILE", "")
        if not path:
            continue
        if values.get(name):
            problems.append(f"{name} and {name}_FILE are both set")
        try:
            values[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}_FILE: {path} cannot be read ({getattr(error, 'strerror', None) or 'not text'})")
    return values, problems


def settings_for(process: str) -> Settings:
    """The settings of a process that starts now, with its logs set up; ends it with a list of every mistake."""
    try:
        settings = read_settings()
    except BadEnvironment as error:
        sys.exit(str(error))
    configure_logging(settings.log.level, settings.log.format, process)
    return settings
