"""The interactive API pages, served by ourselves: no script of anybody else's server runs in an operator's browser."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Controller, MediaType, Request, get
from litestar.datastructures import State
from litestar.router import Router
from litestar.static_files import create_static_files_router

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Turumba API</title>
<link rel="stylesheet" href="/v1/docs/assets/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/v1/docs/assets/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "/v1/openapi.json", dom_id: "#api", deepLinking: true, persistAuthorization: true});
</script>
</body>
</html>
"""


class DocsController(Controller):
    """`/v1/docs`, and the document behind it."""

    path = "/v1"
    opt = {"public": True}
    include_in_schema = False

    @get("/docs", media_type=MediaType.HTML)
    async def docs(self) -> str:
        """The page."""
        return _PAGE

    @get("/openapi.json")
    async def document(self, request: Request[Any, Any, State]) -> dict[str, Any]:
        """OpenAPI 3.1."""
        return request.app.openapi_schema.to_schema()


def docs_assets() -> Router:
    """Script and style of the page, from the `swagger-ui-py` package."""
    spec = find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package swagger-ui-py is not installed")
    return create_static_files_router(
        "/v1/docs/assets",
        directories=[Path(spec.submodule_search_locations[0]) / "static"],
        opt={"public": True},
        include_in_schema=False,
    )
