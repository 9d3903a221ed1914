"""The interactive API pages, served by ourselves: no script of anybody else's server runs in an operator's browser."""

from importlib.util import find_spec
from pathlib import Path

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.router import Router
from litestar.static_files import create_static_files_router

from app.api.openapi import build_document
from app.api.requests import ApiRequest

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
<script src="/v1/docs/start.js"></script>
</body>
</html>
"""

# A file of its own, so that no inline script has to be allowed.
_START = 'SwaggerUIBundle({url: "/v1/openapi.json", dom_id: "#api", deepLinking: true, persistAuthorization: true});\n'

# Swagger UI puts style attributes into what it renders, and icons as data: URLs into its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'"
    " data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class DocsController(Controller):
    """`/v1/docs`, and the document behind it."""

    path = "/v1"
    opt = {"public": True, "unlimited": True}
    include_in_schema = False

    @get("/docs")
    async def docs(self) -> Response[str]:
        """The page."""
        return Response(_PAGE, media_type=MediaType.HTML, headers={"Content-Security-Policy": _POLICY})

    @get("/docs/start.js")
    async def start(self) -> Response[str]:
        """What the page runs."""
        return Response(_START, media_type="text/javascript")

    @get("/openapi.json")
    async def document(self, request: ApiRequest) -> Response[bytes]:
        """OpenAPI 3.1."""
        app = request.app
        if (encoded := app.state.get("openapi")) is None:
            # Nothing in it changes while the process lives.
            document = build_document(app, app.state.container.settings.public_url)
            encoded = app.state.openapi = msgspec.json.encode(document)
        return Response(encoded, media_type=MediaType.JSON)


def docs_assets() -> Router:
    """Script and style of the page, from the `swagger-ui-py` package."""
    spec = find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package swagger-ui-py is not installed")
    return create_static_files_router(
        "/v1/docs/assets",
        directories=[Path(spec.submodule_search_locations[0]) / "static"],
        opt={"public": True, "unlimited": True},
        include_in_schema=False,
    )
