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
from app.lib.networks import parse_networks, parse_origins

PREFIX = "TURUMBA_"
IGNORED_PREFIXES = ("TURUMBA_LOCAL_", "TURUMBA_TEST_", "TURUMBA_PYTHON")
"""Variables of the local stack and the tests, which the product processes neither read nor refuse."""

SECRETS = (
    "TURUMBA_DATABASE_URL",
    "TURUMBA_API_DATABASE_URL",
    "TURUMBA_BROKER_URL",
    "TURUMBA_ENCRYPTION_KEYS",
    "TURUMBA_COGNITO_CLIENT_SECRET",
    "TURUMBA_MAIL_SMTP_PASSWORD",
    "TURUMBA_CONTACTS_URL",
)
"""May be given as a file instead, `<name>_FILE`: what systemd's credentials and containers' secrets are."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000)]

_SAFE_URL = r"^(https://.+|http://(127\.0\.0\.1|localhost|\[::1\])([:/].*)?)?$"
"""Where passwords go or keys come from: over TLS, or within this machine."""


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
    """Where the API listens; `workers` are processes; `body_limit_kibibytes` bounds a request's body.

    `database_url` logs in as a member of the role `turumba_api`, which row-level security holds to the accounts of each
    request; empty means the common database URL, whose user then takes that role. `cors_origins` are the web origins
    (`https://app.example.com`, comma separated, or `*`) whose pages may call the API. `trusted_proxies` are the
    networks (comma separated) whose `X-Forwarded-For` is believed, or whose `Forwarded` when that is all they send.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Count = 1
    body_limit_kibibytes: Count = 4096
    database_url: Annotated[str, Meta(pattern=r"^(postgres(ql)?://.*)?$")] = ""
    cors_origins: str = ""
    trusted_proxies: str = ""

    def problems(self) -> list[str]:
        """What cannot be read in the lists, a line each."""
        problems = []
        for name, parse, text in (
            ("TURUMBA_API_CORS_ORIGINS", parse_origins, self.cors_origins),
            ("TURUMBA_API_TRUSTED_PROXIES", parse_networks, self.trusted_proxies),
        ):
            try:
                parse(text)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        return problems


class LimitSettings(msgspec.Struct, frozen=True):
    """How many requests a minute one API key or session, one account, and one address without either may send.

    All API processes share the allowances, which refill steadily; `burst_seconds` is how much of them may be used at
    once. 0 is no limit.
    """

    credential_per_minute: Annotated[int, Meta(ge=0, le=100_000_000)] = 120_000
    account_per_minute: Annotated[int, Meta(ge=0, le=100_000_000)] = 240_000
    address_per_minute: Annotated[int, Meta(ge=0, le=100_000_000)] = 1_200
    burst_seconds: Annotated[int, Meta(ge=1, le=60)] = 10


class IdentitySettings(msgspec.Struct, frozen=True):
    """Lifetimes in seconds, and how long a resolved token and its memberships may be remembered.

    `account_grace_days` is how long a deleted account can still be restored. `password_memory_mebibytes` is what one
    password hash (Argon2id, three passes) costs whoever makes it: raise it where there is memory to spare.
    """

    access_token_seconds: Count = 900
    refresh_token_seconds: Annotated[int, Meta(ge=60, le=31_536_000)] = 2_592_000
    context_cache_seconds: float = 2.0
    email_code_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 1_800
    invitation_seconds: Annotated[int, Meta(ge=60, le=31_536_000)] = 604_800
    password_memory_mebibytes: Annotated[int, Meta(ge=1, le=4096)] = 64
    account_grace_days: Annotated[int, Meta(ge=0, le=365)] = 30


class CognitoSettings(msgspec.Struct, frozen=True):
    """AWS Cognito as the place where people log in; off while `user_pool_id` is empty.

    `region`, `user_pool_id` and `client_ids` come together. `client_ids` are comma separated; the first one, with
    `client_secret` when it has one, is used for logging in, and access tokens of all of them are accepted. `endpoint`
    and `jwks_url` stand in for AWS's own addresses, for private links and tests: https, or http on this machine.
    """

    region: Annotated[str, Meta(pattern=r"^([a-z]{2}(-[a-z]+)+-[0-9]+)?$")] = ""
    user_pool_id: Annotated[str, Meta(pattern=r"^([A-Za-z0-9_-]+)?$", max_length=55)] = ""
    client_ids: str = ""
    client_secret: str = ""
    endpoint: Annotated[str, Meta(pattern=_SAFE_URL)] = ""
    jwks_url: Annotated[str, Meta(pattern=_SAFE_URL)] = ""

    def problems(self) -> list[str]:
        """What is wrong with the settings together, a line each."""
        names = {
            "TURUMBA_COGNITO_REGION": self.region,
            "TURUMBA_COGNITO_USER_POOL_ID": self.user_pool_id,
            "TURUMBA_COGNITO_CLIENT_IDS": self.client_ids,
        }
        missing = [name for name, value in names.items() if not value]
        if len(missing) == len(names):
            return []
        found = [f"{name}: required with the other settings of Cognito, but not set" for name in missing]
        if self.region and self.user_pool_id and not self.user_pool_id.startswith(self.region + "_"):
            found.append("TURUMBA_COGNITO_USER_POOL_ID: begins with the region and an underscore")
        if self.client_ids and not all(each.strip() for each in self.client_ids.split(",")):
            found.append("TURUMBA_COGNITO_CLIENT_IDS: an id is empty")
        return found


class MailSettings(msgspec.Struct, frozen=True):
    """The SMTP server for codes and invitations; without `smtp_host` nothing is sent.

    `smtp_security` is starttls, tls or none. `outbox_page` shows what was or would be sent at `/local/outbox`, to
    anybody who can reach the API: only for a machine of your own.
    """

    smtp_host: str = ""
    smtp_port: Port = 587
    smtp_username: str = ""
    smtp_password: str = ""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = "Turumba <no-reply@localhost>"
    outbox_page: bool = False


class ContactSettings(msgspec.Struct, frozen=True):
    """Where contacts are kept: `url` of a MongoDB (`mongodb://…`), or beside everything else while it is empty."""

    url: Annotated[str, Meta(pattern=r"^(mongodb(\+srv)?://.+)?$")] = ""

    def problems(self) -> list[str]:
        """What is wrong with the URL, a line each; its text, which holds a password, is not repeated."""
        if not self.url.startswith("mongodb://"):
            return []  # what mongodb+srv:// stands for is known to the DNS only
        from pymongo.errors import PyMongoError
        from pymongo.uri_parser import parse_uri

        try:
            parse_uri(self.url)
        except (PyMongoError, ValueError):
            return ["TURUMBA_CONTACTS_URL: not a URL of MongoDB. Are its user and password percent-encoded?"]
        return []


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
    limits: LimitSettings = LimitSettings()
    identity: IdentitySettings = IdentitySettings()
    cognito: CognitoSettings = CognitoSettings()
    mail: MailSettings = MailSettings()
    contacts: ContactSettings = ContactSettings()
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
    problems += settings.api.problems() + settings.cognito.problems() + settings.contacts.problems()
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
