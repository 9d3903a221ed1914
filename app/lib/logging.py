"""Structured logs: one JSON object a line, with the request and the account of whatever was being done."""

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.typing import EventDict, FilteringBoundLogger, Processor

bind_context = bind_contextvars
"""Add keys (request_id, account_id …) to every line logged from here on in this task."""

clear_context = clear_contextvars

_SECRETS = frozenset({"password", "token", "secret", "credentials", "authorization", "refresh_token", "access_token"})


def _mask_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    for key in event.keys() & _SECRETS:
        event[key] = "[hidden]"
    return event


def configure_logging(
    level: Literal["debug", "info", "warning", "error"], style: Literal["json", "console"], process: str
) -> None:
    """Set up logging once for this process. Libraries that use `logging` come out in the same form, from warning up."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _mask_secrets,
    ]
    if style == "json":
        shared.append(structlog.processors.format_exc_info)
    # Plain tracebacks: the pretty ones print local variables, and with them secrets.
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    bind_contextvars(process=process)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger; `name` is the module."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger
