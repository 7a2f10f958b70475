"""A service of plain Starlette."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route


async def item(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.path_params["number"])


app = Starlette(
    routes=[
        Route("/items/{number}", item),
        Mount("/v1", routes=[Route("/fast/{name}", lambda _: PlainTextResponse("fast"))]),
    ]
)
