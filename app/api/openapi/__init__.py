"""The OpenAPI document, made from the application itself."""

from app.api.openapi.document import build_document
from app.api.openapi.routes import Operation, operations

__all__ = ["Operation", "build_document", "operations"]
