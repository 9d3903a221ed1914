"""The `TURUMBA_*` variables that the product's processes of one installation run with."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.ports import LOOPBACK

_PREFIX = "TURUMBA_"
_NOT_THE_PRODUCTS = ("TURUMBA_LOCAL_", "TURUMBA_TEST_", "TURUMBA_PYTHON")
_SOCKET_PATH_BYTES = 100  # sun_path holds 108 with its NUL (unix(7)); a margin for temporary names beside it
DEFAULT_API_PORT = 8080


def settings_given(environ: Mapping[str, str]) -> dict[str, str]:
    """The product's settings that a person set; an empty one counts as not set."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(_PREFIX) and not name.startswith(_NOT_THE_PRODUCTS) and value
    }


def product_environment(
    installation: Installation, servers: Mapping[str, str], api_port: int, given: Mapping[str, str]
) -> dict[str, str]:
    """Every variable the product needs; `given` ones win. `servers` names the database and the broker."""
    ours = {
        "TURUMBA_ENCRYPTION_KEYS": installation.encryption_keys(),
        "TURUMBA_API_HOST": LOOPBACK,
        "TURUMBA_API_PORT": str(api_port),
        "TURUMBA_PUBLIC_URL": f"http://localhost:{api_port}",
        "TURUMBA_LOG_LEVEL": "info",
        "TURUMBA_LOG_FORMAT": "json",
        "TURUMBA_SMPPD_ADMIN_SOCKET": str(_admin_socket(installation)),
    }
    if given.get("TURUMBA_API_HOST", LOOPBACK) == LOOPBACK:
        # Codes and invitations can be read without an SMTP server, by whoever is on this machine.
        ours["TURUMBA_MAIL_OUTBOX_PAGE"] = "true"
    return {**ours, **servers, **given}


def process_environment(product: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a product process: this process's own, with `product` instead of its settings."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    return {**rest, "PYTHONUNBUFFERED": "1", **product}


def _admin_socket(installation: Installation) -> Path:
    path = installation.root / "smppd.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(installation.root)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"turumba-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise LocalError(f"{folder} belongs to another user; smppd's admin socket was to go there. Remove it.")
    return folder / "smppd.sock"
