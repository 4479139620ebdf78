"""A LiteLLM proxy's administration API, as documented, with what it does besides.

- It keeps to its own file what it did not get over the API: 400 for a change of that.
- A null in a change is not heard, so a limit cannot be taken away.
- GET /fallback of a model without any of its own tells those of `*`; DELETE takes away its own only.
- GET and DELETE /fallback know no name with a slash: 404, as of a route that there is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from tests.doubles.server import Double

KEY: Final = "sk-of-an-administrator"


class LiteLLMDouble(Double):
    """Models by the id of a deployment, and fallbacks by the name of a model."""

    def __init__(self, *, stores_models: bool = True) -> None:
        super().__init__()
        self.stores_models = stores_models
        self.deployments: dict[str, dict[str, Any]] = {}
        self.fallbacks: dict[str, list[str]] = {}
        self._app.router.add_get("/model/info", self._info)
        self._app.router.add_patch("/model/{id}/update", self._update)
        self._app.router.add_post("/fallback", self._set_fallbacks)
        self._app.router.add_get("/fallback/{model}", self._get_fallbacks)
        self._app.router.add_delete("/fallback/{model}", self._delete_fallbacks)

    def add(self, name: str, deployment: str, rpm: int | None = None, *, in_database: bool = True) -> None:
        """Of the group `name`."""
        params = {"model": f"openai/{name}", "api_base": "http://gpu", "rpm": rpm}
        self.deployments[deployment] = {
            "model_name": name,
            "litellm_params": {key: value for key, value in params.items() if value is not None},
            "model_info": {"id": deployment, "db_model": in_database, "mode": "chat"},
        }

    @property
    def rpm(self) -> dict[str, int | None]:
        return {name: each["litellm_params"].get("rpm") for name, each in self.deployments.items()}

    def refusal(self, request: web.Request) -> web.Response | None:
        """The proxy repeats what it was given, masked in part; this one does not even mask it."""
        given = request.headers.get("authorization", "")
        if given == f"Bearer {KEY}":
            return None
        return _error(401, f"Authentication Error, Invalid proxy server token passed. Received API Key = {given}")

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": list(self.deployments.values())})

    async def _update(self, request: web.Request) -> web.Response:
        deployment = self.deployments.get(request.match_info["id"])
        if not self.stores_models:
            return _error(400, "Model updates only supported for DB-stored models")
        if deployment is None:
            return _error(404, f"Model {request.match_info['id']} not found on proxy.")
        if not deployment["model_info"]["db_model"]:
            return _error(400, "Cannot edit config-based model. Store model in DB via /model/new first.")
        params: Mapping[str, Any] = (await request.json()).get("litellm_params") or {}
        heard = {key: value for key, value in params.items() if value is not None}
        deployment["litellm_params"].update(heard)
        self.changes.append(f"{request.match_info['id']} {heard}")
        return web.json_response(deployment)

    async def _set_fallbacks(self, request: web.Request) -> web.Response:
        given = await request.json()
        name, targets = given["model"], given["fallback_models"]
        known = {each["model_name"] for each in self.deployments.values()}
        if not targets or len(set(targets)) < len(targets):
            return _detail(422, "fallback_models must contain at least one model, and no duplicates")
        if name not in known:
            return _detail(404, f"Model '{name}' not found in router")
        if not set(targets) <= known:
            return _detail(400, f"Invalid fallback models: {sorted(set(targets) - known)}")
        if name in targets:
            return _detail(400, f"Model '{name}' cannot be its own fallback")
        if not self.stores_models:
            return _detail(400, "Database storage not enabled. Set 'STORE_MODEL_IN_DB=True' in your environment")
        self.fallbacks[name] = targets
        self.changes.append(f"{name} falls back to {targets}")
        return web.json_response({**given, "fallback_type": "general", "message": "Fallback configuration created"})

    async def _get_fallbacks(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if "/" in name:
            return web.json_response({"detail": "Not Found"}, status=404)
        targets = self.fallbacks.get(name) or self.fallbacks.get("*")
        if not targets:
            return _detail(404, f"No general fallbacks configured for model '{name}'")
        return web.json_response({"model": name, "fallback_models": targets, "fallback_type": "general"})

    async def _delete_fallbacks(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if "/" in name:
            return web.json_response({"detail": "Not Found"}, status=404)
        if name not in self.fallbacks:
            return _detail(404, f"No general fallbacks configured for model '{name}'")
        del self.fallbacks[name]
        self.changes.append(f"{name} has no fallbacks")
        return web.json_response({"model": name, "fallback_type": "general", "message": "deleted"})


def _error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "validation_error", "param": None, "code": str(status)}
    return web.json_response({"error": error}, status=status)


def _detail(status: int, message: str) -> web.Response:
    return web.json_response({"detail": {"error": message}}, status=status)
