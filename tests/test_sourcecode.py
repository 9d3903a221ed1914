"""The house rules that a machine can check."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "connectors", "smpp_daemon", "scheduler", "migrations", "deploy")
ALL = (*PACKAGES, "tests", "bench")
MAX_LINES = 500

# Who may import whom, by the longest matching prefix. What is not listed may import only itself and libraries.
LIB = ("app.lib", "app.settings")
SENDER_VIEW = ("app.domain.messages.events", "app.domain.messages.handover", "app.domain.channels")
SERVER_VIEW = ("app.domain.smpp_accounts", "app.domain.identity.passwords")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "app.lib": ("app.lib", "migrations"),
    "app.settings": ("app.lib",),
    "app.domain": (*LIB, "app.domain", "connectors"),
    "app.api": (*LIB, "app.domain", "app.api", "connectors"),
    "app.workers": (*LIB, "app.domain", "app.workers", "connectors"),
    "app.main": ("app",),
    "app.cli": ("app.commands",),
    "app.commands": (*LIB, "app.domain", "app.commands"),
    "app.commands.worker": (*LIB, "app.workers"),
    "scheduler": (*LIB, "app.domain", "scheduler"),
    "connectors": ("connectors",),
    "smpp_daemon": (*LIB, *SENDER_VIEW, "connectors.contract", "connectors.sms_text", "connectors.smpp", "smpp_daemon"),
    # What people ask about receipts that match no message is answered through the daemon too.
    "smpp_daemon.verbs": (*LIB, *SENDER_VIEW, "app.domain.messages.orphans", "connectors.smpp", "smpp_daemon"),
    "smpp_daemon.server": (*LIB, *SENDER_VIEW, *SERVER_VIEW, "connectors.sms_text", "smpp_daemon"),
    "smpp_daemon.protocol": ("smpp_daemon.protocol",),
    "migrations": ("migrations",),
    "deploy": ("deploy", *LIB),
}
PURE_LIBRARIES = {"msgspec", "aiosmpplib"}
FREE_OF = {
    "app.lib": {"litestar", "faststream"},
    "app.domain": {"litestar", "faststream", "aio_pika", "aiosmpplib"},
    "connectors": {"litestar", "faststream", "sqlalchemy", "asyncpg", "aio_pika"},
}


def sources(*folders: str) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT).with_suffix("")
            yield ".".join(part for part in relative.parts if part != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def rule_for(module: str) -> str:
    return max((prefix for prefix in MAY_IMPORT if within(module, prefix)), key=len)


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in sources(*PACKAGES)
        if module != "app"
        for imported in imports(path)
        if imported.partition(".")[0] in PACKAGES
        and not any(within(imported, allowed) for allowed in MAY_IMPORT[rule_for(module)])
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_imports_a_main() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in sources(*PACKAGES)
        if module not in ("app.commands.worker", "smpp_daemon.smppctl.__main__")
        for imported in imports(path)
        if imported.partition(".")[0] in PACKAGES and imported.endswith(".main")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_knows_no_framework() -> None:
    wrong = [
        f"{module} imports {imported}"
        for prefix, forbidden in FREE_OF.items()
        for module, path in sources(prefix.replace(".", "/"))
        for imported in imports(path)
        if imported.partition(".")[0] in forbidden and module != "app.lib.broker"
    ]
    assert not wrong, "\n".join(wrong)


def test_the_protocol_core_has_no_io() -> None:
    allowed = set(sys.stdlib_module_names) - {"asyncio", "socket", "selectors", "threading", "ssl", "time"}
    wrong = [
        f"{module} imports {imported}"
        for module, path in sources("smpp_daemon/protocol")
        for imported in imports(path)
        if not within(imported, "smpp_daemon.protocol") and imported.partition(".")[0] not in allowed | PURE_LIBRARIES
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): length
        for _, path in sources(*ALL)
        if (length := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


TENANT_MODELS = {
    "Message",
    "Channel",
    "SmppAccount",
    "Event",
    "Invitation",
    "ApiKey",
    "AuditEntry",
    "Template",
    "TemplateVersion",
    "ContactGroup",
    "Segment",
    "ContactAttribute",
    "ContactMerge",
    "Job",
    "GroupMessage",
    "OptOut",
    "ConsentEvent",
    "KeywordSet",
}
UNSCOPED_ON_PURPOSE = {
    # Daemons serve every account; each record they get carries the account it belongs to.
    "app.domain.channels.directory",
    # Who is asking is what is being found out: by the digest of a secret, or by the caller's own key.
    "app.domain.identity.accounts.reach",
    "app.domain.identity.api_keys.repository",
    "app.domain.identity.invitations.repository",
    # Re-encrypts every account's credentials under the new key.
    "app.domain.channels.rewrap",
}


def test_tenant_data_is_reached_through_the_scope() -> None:
    wrong = [
        f"{module}:{node.lineno} {node.func.id}() without Scope"
        for module, path in sources("app", "scheduler")
        if module not in UNSCOPED_ON_PURPOSE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"select", "update", "delete"}
        and any(getattr(name, "id", None) in TENANT_MODELS for arg in node.args for name in ast.walk(arg))
    ]
    assert not wrong, "\n".join(wrong)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check")], ids=["lint", "format"])
def test_ruff(command: tuple[str, ...]) -> None:
    result = run(*command, ".")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.timeout(600)
def test_types() -> None:
    result = run("mypy", *ALL)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_lock_file_names_a_registry() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
