"""The description of the API (OpenAPI 3.1), made from the same table and schemas that answer."""

from __future__ import annotations

from typing import Any

import msgspec

from vsearch.server import schemas
from vsearch.server.endpoints import ENDPOINTS, MOST_ID, Endpoint

_REF = "#/components/schemas/{name}"
_FAULTS = {
    "400": "No HTTP/1.1, or the head of the request is too long.",
    "401": "No token, or a wrong one.",
    "403": "Not from here: the Host or Origin is another, or the server only reads.",
    "404": "There is no such picture or collection.",
    "408": "The request did not arrive in time.",
    "409": "The collection cannot be changed now.",
    "410": "The cursor is no longer known.",
    "413": "The request is too large.",
    "415": "The body is not JSON.",
    "422": "The request is not what the route takes; the message says why.",
    "429": "Too many wrong tokens.",
    "501": "A collection of shards cannot do this.",
    "503": "Too much to do; try again.",
}


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    structs: set[type] = {schemas.Problem, *(e.asks for e in ENDPOINTS), *(e.takes for e in ENDPOINTS if e.takes)}
    structs |= {e.gives for e in ENDPOINTS if isinstance(e.gives, type)}
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "vsearch", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": (endpoint.answer.__doc__ or endpoint.summary).strip(),
        "operationId": endpoint.answer.__name__.strip("_"),
        "parameters": _parameters(endpoint, components),
        "responses": {str(endpoint.status): _content(endpoint)} | _problems(),
    }
    if endpoint.takes is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(endpoint.takes)}},
        }
    if endpoint.public:
        told["security"] = []
    return told


def _parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    if endpoint.has_id:
        schema = {"type": "integer", "minimum": 0, "maximum": MOST_ID}
        told.append({"name": "id", "in": "path", "required": True, "schema": schema})
    properties = components[endpoint.asks.__name__]["properties"]
    return told + [
        {"name": name, "in": "query", "required": False, "schema": _given(schema)}
        for name, schema in properties.items()
    ]


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null: a parameter that is not given is left out."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _content(endpoint: Endpoint) -> dict[str, Any]:
    if isinstance(endpoint.gives, type):
        return {"description": "OK", "content": {"application/json": {"schema": _reference(endpoint.gives)}}}
    return {"description": "OK", "content": {media_type: {} for media_type in endpoint.gives}}


def _problems() -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(schemas.Problem)}}
    return {status: {"description": words, "content": content} for status, words in _FAULTS.items()}


def _reference(struct: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=struct.__name__)}
