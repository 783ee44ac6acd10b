"""Download a URL that the user typed to a temporary file: http and https by the standard library, buckets by Arrow."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pyarrow as pa

from squarely._version import __version__
from squarely.data.files.local_file import LocalFile
from squarely.data.files.staging.temporary_copy import TemporaryCopy, read_pieces, require_disk_space
from squarely.errors import DataError, first_line

_BUCKETS = {  # what pyarrow.fs opens, and the program that copies a file from there
    "s3": "aws s3 cp", "gs": "gcloud storage cp", "gcs": "gcloud storage cp", "abfs": "azcopy copy", "abfss": "azcopy copy",
    "hdfs": "hdfs dfs -get", "viewfs": "hdfs dfs -get",
}  # fmt: skip
_TIMEOUT = 30.0  # seconds without a byte
_REDIRECTIONS = (301, 302, 303, 307, 308)
_PATTERN_SIGNS = "*?["


def download(url: str) -> LocalFile:
    """Download a URL to a temporary file, which is deleted with the source.

    Raises
    ------
    DataError : the server does not answer, does not have it, or ends too early, or the disk is full.
    """
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https", *_BUCKETS):
        raise DataError(
            f"{_strip_secrets(url)!r} begins with {scheme}://, which is not supported. Give a path, or an https or s3 URL."
        )
    try:
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        pieces = _read_http(url) if scheme in ("http", "https") else _read_bucket(url)
        copy = TemporaryCopy(pieces, _strip_secrets(url))
    except DataError:
        raise
    except (OSError, http.client.HTTPException, ValueError, pa.ArrowException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise _download_error(url, error) from error
    return LocalFile.of_copy(copy, name or _strip_secrets(url), name)


def _strip_secrets(url: str) -> str:
    """Return a URL for messages, without a password and what follows the path, which may be a secret."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return url.partition("?")[0]


def _download_error(url: str, error: Exception) -> DataError:
    reason = getattr(error, "reason", None)
    if isinstance(error, urllib.error.HTTPError) and error.code in _REDIRECTIONS:
        what, advice = "the server redirects in a circle, or to an address that is not http", "Give the address that it leads to"
    elif isinstance(error, urllib.error.HTTPError):
        what, advice = f"the server answers {error.code} {error.reason}", "Check the address, and whether it needs a login"
    elif isinstance(error, TimeoutError) or isinstance(reason, TimeoutError):
        what, advice = f"the server has sent nothing for {_TIMEOUT:g} seconds", "Try again later, or download the file"
    else:
        cause = reason if isinstance(reason, Exception) else error
        what, advice = getattr(cause, "strerror", None) or first_line(cause), "Check the address and the connection"
        if command := _BUCKETS.get(url.partition(":")[0].lower()):
            advice = f"Check the address and the credentials, or copy the file here first, as with {command}"
    return DataError(f"{_strip_secrets(url)!r} cannot be downloaded: {what}. {advice}.")


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to another http or https address, and to nothing else."""

    def redirect_request(  # noqa: PLR0917  # as the library calls it
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request for the new address."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read_http(url: str) -> Iterator[bytes]:
    parts = urlsplit(url)
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    address = re.sub(r"[^!-~]", lambda sign: quote(sign[0]), address)  # blanks and letters beyond ASCII
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:  # sent only if this server asks for it
        passwords.add_password(None, address, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPBasicAuthHandler(passwords),
        _HttpOnly(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(address, headers={"User-Agent": f"squarely/{__version__}"})  # noqa: S310  # http alone is opened
    with closing(opener.open(request, timeout=_TIMEOUT)) as answer:
        expected = answer.headers.get("Content-Length")
        if expected is not None:
            require_disk_space(int(expected), _strip_secrets(url))
        yield from _read_all(answer, None if expected is None else int(expected))


def _read_bucket(url: str) -> Iterator[bytes]:
    from pyarrow import fs  # it takes a tenth of a second

    if any(sign in urlsplit(url).path for sign in _PATTERN_SIGNS):
        raise DataError(f"{_strip_secrets(url)!r} is a pattern, and URLs are read one by one. Give a list of URLs.")
    is_google = url.lower().startswith(("gs:", "gcs:")) and not urlsplit(url).query  # Arrow tries for 15 minutes
    system, path = fs.FileSystem.from_uri(f"{url}?retry_limit_seconds={_TIMEOUT:g}" if is_google else url)
    info = system.get_file_info(path)
    if info.type != fs.FileType.File:
        what = "is a folder" if info.type == fs.FileType.Directory else "does not exist, or may not be read"
        raise DataError(f"{_strip_secrets(url)!r} {what}. Give the URL of a file, or a list of them.")
    require_disk_space(info.size, _strip_secrets(url))
    with system.open_input_stream(path, compression=None) as opened:
        yield from _read_all(opened, info.size)


def _read_all(opened: Any, expected: int | None) -> Iterator[bytes]:
    received = 0
    for piece in read_pieces(opened):
        received += len(piece)
        yield piece
    if expected is not None and received != expected:
        raise OSError(f"it ended after {received:,} of {expected:,} bytes")
