"""HTTP requests of a benchmark: one connection each, whole bodies, no redirects, no cookies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class RequestFailed(ConnectionError):
    """The answer wasn't what a benchmark can go on with."""


async def request(method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Response:
    """Ask and read the answer to its end."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {"Host": parts.netloc, "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields.items()) + "\r\n"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    try:
        writer.write(head.encode("latin-1") + body)
        return await _read_response(reader)
    finally:
        writer.close()


async def get(url: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A GET that must be answered with 200, or with 202 by a shell."""
    response = await request("GET", url, headers=headers)
    if response.status not in (200, 202):
        raise RequestFailed(f"GET {url} was answered with {response.status}: {response.text[:200]!r}")
    return response


async def _read_response(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
    if fields.get("transfer-encoding") == "chunked":
        return Response(status, await _read_chunks(reader))
    if "content-length" in fields:
        return Response(status, await reader.readexactly(int(fields["content-length"])))
    return Response(status, await reader.read())


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    return b"".join(chunks)
