# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog in a directory is shown to other hosts by a small server, or that is ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from .._catalog.reference import DIRECTORY, parse_reference, parse_repository
from .._errors import Conflict, InvalidOption
from .._files import fingerprint
from .._plan import Plan, Step
from .._registry.layout import LayoutStore
from .._registry.layout_index import NAME
from .claims import claim_name
from .long_work import bandwidth_of
from .operation import Operation, Tools
from .serve import ServeRequest, is_same, server_job, server_state, start_server, stop_server

STARTED, STOPPED = "started", "stopped"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LEAST_TOKEN = 16


def plan_serve(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan for one server; raises InvalidOption, Conflict."""
    claim_name(str(_port(params)), tools, option="port")
    started = params["state"] == STARTED
    request = _request(params) if started else ServeRequest(_port(params))
    job = server_job(request, tools)
    state = server_state(job, tools)
    same = is_same(job, state) if started else state is None
    before = {"port": request.port, "state": STOPPED if state is None else STARTED}
    after = {"port": request.port, "state": params["state"]}
    if started:
        before["repository"] = _served(same, state is not None, params)
        after["repository"] = params["repository"]
    steps = () if same else (Step(_title(params, state is not None), _act(started, job, tools)),)
    told = {"job": job.id, "url": _url(request), "digests": _digests(params, tools)} if started else {}

    def observe() -> dict[str, Any]:
        found = {"port": request.port, "state": STOPPED if server_state(job, tools) is None else STARTED}
        return {**after, **found, **told}

    return Plan(str(request.port), before, after, observe, steps, foretell=lambda: {**after, **told})


def _served(same: bool, runs: bool, params: dict[str, Any]) -> str | None:
    if same:
        return str(params["repository"])
    return "(another server, or other options)" if runs else None


def _title(params: dict[str, Any], runs: bool) -> str:
    if params["state"] == STOPPED:
        return f"end the server on port {params['port']}"
    again = ", in place of the one that runs there" if runs else ""
    return f"serve {params['repository']} on port {params['port']}{again}"


def _act(started: bool, job: Any, tools: Tools) -> Any:
    def act() -> None:
        if started:
            start_server(job, tools)
        else:
            stop_server(job, tools)

    return act


def _port(params: dict[str, Any]) -> int:
    port = int(params["port"])
    if not 1 <= port <= 65535:
        raise InvalidOption(f"port: {port} is no port; give 1 to 65535.")
    return port


def _request(params: dict[str, Any]) -> ServeRequest:
    """Check what a server is asked for."""
    if params["linger"] < 0:
        raise InvalidOption(f"linger: {params['linger']} seconds can't be waited; give 0 for ever, or more.")
    if not params["address"]:
        raise InvalidOption("address: an empty text is no address; give one, or 0.0.0.0 for all of this host.")
    return ServeRequest(
        port=_port(params),
        address=params["address"],
        layout=_layout(params),
        token=_token(params),
        certificate=_readable(params, "certificate"),
        key=_readable(params, "key"),
        linger=params["linger"],
        bandwidth=bandwidth_of(params) or 0,
    )


def _layout(params: dict[str, Any]) -> str:
    if not params["repository"]:
        raise InvalidOption("repository: none is given; give the catalog to serve, as dir:/PATH.")
    reference = parse_repository(params["repository"], option="repository")
    if reference.home != DIRECTORY:
        raise InvalidOption(
            f"repository: {params['repository']} is no directory of this host; only those are served, as dir:/PATH."
        )
    if fingerprint(os.path.join(reference.place, NAME)) is None:
        raise Conflict(
            f"repository: {reference.place} holds no OCI image layout; publish an image to {params['repository']} first."
        )
    return reference.place


def _digests(params: dict[str, Any], tools: Tools) -> dict[str, str]:
    """What the option `images` names now: digest by reference."""
    asked = [(text, parse_reference(text, option="images")) for text in params["images"] or ()]
    served = parse_repository(params["repository"], option="repository")
    for text, reference in asked:
        if reference.catalog != served.catalog:
            raise InvalidOption(
                f"images: {text} is no image of {served}, which is served; give references of that repository."
            )
    with contextlib.closing(LayoutStore(served.place, clock=tools.clock)) as store:
        return {text: store.resolve(reference.version).digest for text, reference in asked}


def _token(params: dict[str, Any]) -> str:
    token = params["token"] or ""
    if not token and not params["public"] and params["address"] not in _LOOPBACK:
        raise InvalidOption(
            f"token: without one everybody who reaches {params['address']} may read the images; give one, or public: true."
        )
    if token and (len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise InvalidOption(f"token: give {_LEAST_TOKEN} or more ASCII characters without spaces.")
    return token


def _readable(params: dict[str, Any], option: str) -> str:
    path = params[option] or ""
    if path and not os.path.isfile(path):
        raise InvalidOption(f"{option}: {path} is no file on this host.")
    if option == "key" and path and not params["certificate"]:
        raise InvalidOption("key: a key without a certificate can't be used; give both.")
    return path


def _url(request: ServeRequest) -> str:
    """Where others find it; which of the host's names they use isn't known here, unless it listens on one address only."""
    scheme = "https" if request.certificate else "http"
    host = f"[{request.address}]" if ":" in request.address else request.address
    return f"{scheme}://{host}:{request.port}"


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks never work on one port at once."""
    return [f"serve:{params['port']}"]


OPERATION = Operation(plan=plan_serve, result="servers", locks=locks)
