"""URLs that the user typed: the rows of the file behind them, and an error for what a server may do. The servers are local."""

import gzip
import http.server
import io
import pathlib
import re
import socket
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app
from squarely.data import open_source
from squarely.data.files.staging import remote, temporary_copy
from squarely.errors import DataError
from tests.support.checks import need

RNG = np.random.default_rng(19)
TABLE = pd.DataFrame({"x": RNG.normal(size=500), "g": np.tile(["a", "b b", "ü", "d"], 125)})
TABLE["y"] = 3 * TABLE["x"] + RNG.normal(size=500)
CSV = TABLE.to_csv(index=False).encode()
EXPECTED = sq.ols("y ~ x + g", io.BytesIO(CSV)).params.to_dict()


def parquet():
    out = io.BytesIO()
    TABLE.to_parquet(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def web():
    """Serve `answers`, path -> (status, headers, content), and log what was asked for."""
    answers, log = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            log.append(SimpleNamespace(path=self.path, headers=dict(self.headers)))
            status, headers, content = answers.get(self.path.partition("?")[0], (404, {}, b"no"))
            if "WWW-Authenticate" in headers and "Authorization" in self.headers:
                status = 200
            self.send_response(status)
            for name, value in ({"Content-Length": len(content)} | headers).items():
                if value is not None:
                    self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", port=server.server_port, answers=answers, log=log)
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/cars.csv", CSV),
        ("/cars.csv?raw=true&x=a.parquet", CSV),
        ("/cars.csv.gz", gzip.compress(CSV)),
        ("/download", CSV),
        ("/download?id=7#top", parquet()),
        ("/cars.csv?format=parquet", parquet()),
        ("/my%20cars.csv", CSV),
        ("/träume.csv", CSV),
    ],
)
def test_the_rows_are_those_of_the_file(path, content, web):
    served = urlsplit(path).path.replace("ä", "%C3%A4")
    web.answers[served] = (
        200,
        {"Content-Disposition": 'attachment; filename="../../etc/x.parquet"', "Content-Type": "text/html"},
        content,
    )
    source = open_source(web.url + path)
    fit = sq.ols("y ~ x + g", web.url + path)
    assert fit.params.to_dict() == EXPECTED
    assert "/" not in source.label
    assert "?" not in source.label


def test_a_list_has_urls_and_paths(web, tmp_path):
    web.answers["/a.csv"] = web.answers["/b.csv"] = (200, {}, CSV)
    (tmp_path / "c.csv").write_bytes(CSV)
    assert sq.ols("y ~ x", [f"{web.url}/a.csv", tmp_path / "c.csv", f"{web.url}/b.csv"]).nobs == 1500
    with pytest.raises(DataError, match=r"'a.csv' is given twice"):
        open_source([f"{web.url}/a.csv", f"{web.url}/a.csv"])


def test_content_that_the_server_has_compressed(web):
    web.answers["/cars.csv"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(CSV))
    assert sq.ols("y ~ x + g", f"{web.url}/cars.csv").params.to_dict() == EXPECTED


def test_certify_downloads_once(web):
    need("torch")
    web.answers["/cars.csv"] = (200, {}, CSV)
    asked = len(web.log)
    done = CliRunner().invoke(app, ["certify", "y ~ x + g", f"{web.url}/cars.csv"])
    assert (done.exit_code, len(web.log) - asked) == (0, 1)


def test_without_a_length(web):
    web.answers["/cars.csv"] = (200, {"Content-Length": None}, CSV)
    assert sq.ols("y ~ x + g", f"{web.url}/cars.csv").params.to_dict() == EXPECTED


def test_redirects_lead_to_http_only(web, tmp_path):
    web.answers["/cars.csv"] = (200, {}, CSV)
    (tmp_path / "secret.csv").write_bytes(CSV)
    web.answers["/moved"] = (302, {"Location": "/cars.csv"}, b"")
    assert sq.ols("y ~ x + g", f"{web.url}/moved").params.to_dict() == EXPECTED
    for target in (f"file://{tmp_path}/secret.csv", f"ftp://127.0.0.1:{web.port}/cars.csv", "data:text/csv,x"):
        web.answers["/moved"] = (302, {"Location": target}, b"")
        with pytest.raises(
            DataError, match=r"cannot be downloaded: the server redirects in a circle, or to an address that is not http"
        ):
            open_source(f"{web.url}/moved")
    web.answers["/loop"] = (302, {"Location": "/loop"}, b"")
    with pytest.raises(DataError, match="redirects in a circle"):
        open_source(f"{web.url}/loop")


@pytest.mark.parametrize(
    ("status", "message"), [(404, "404 Not Found"), (403, "403 Forbidden"), (500, "500 Internal Server Error")]
)
def test_a_refusal_is_an_error(status, message, web):
    web.answers["/cars.csv"] = (status, {}, b"x,y\n1,2\n")
    with pytest.raises(DataError, match=f"/cars.csv' cannot be downloaded: the server answers {message}. Check the address"):
        open_source(f"{web.url}/cars.csv?token=secret")


def test_a_download_that_is_cut_is_an_error(web):
    web.answers["/cars.csv"] = (200, {"Content-Length": len(CSV) + 1000}, CSV)
    with pytest.raises(DataError, match=f"it ended after {len(CSV):,} of {len(CSV) + 1000:,} bytes"):
        open_source(f"{web.url}/cars.csv")
    web.answers["/cars.csv"] = (200, {"Transfer-Encoding": "chunked", "Content-Length": None}, b"1000\r\n" + CSV[:0x800])
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_source(f"{web.url}/cars.csv")


def test_a_login_page_is_no_table(web):
    web.answers["/cars.csv"] = (200, {}, b"\n<!DOCTYPE html><html><body>Sign in</body></html>")
    with pytest.raises(DataError, match=r"is a web page \(HTML\).* maybe after a login"):
        open_source(f"{web.url}/cars.csv")


def test_an_empty_answer(web):
    web.answers["/cars.csv"] = (200, {}, b"")
    with pytest.raises(DataError, match=r"There are no bytes in cars.csv"):
        open_source(f"{web.url}/cars.csv")


def test_a_file_that_does_not_fit_on_the_disk_is_not_begun(web, monkeypatch):
    web.answers["/cars.csv"] = (200, {}, CSV)
    usage = temporary_copy.shutil.disk_usage(".")
    monkeypatch.setattr(temporary_copy.shutil, "disk_usage", lambda path: usage._replace(free=2**26 + 100))
    with pytest.raises(DataError, match=rf"The temporary copy of .* cannot be written .* it takes {len(CSV):,} bytes, and"):
        open_source(f"{web.url}/cars.csv")


def test_no_answer(monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(DataError, match=rf"'http://127.0.0.1:{port}/cars.csv' cannot be downloaded: .*Connection refused"):
            open_source(f"http://127.0.0.1:{port}/cars.csv")
        silent.listen()
        monkeypatch.setattr(remote, "_TIMEOUT", 0.3)
        with pytest.raises(DataError, match=r"the server has sent nothing for 0.3 seconds"):
            open_source(f"http://127.0.0.1:{port}/cars.csv")
    with pytest.raises(DataError, match=r"'https://nowhere.invalid/cars.csv' cannot be downloaded"):
        open_source("https://nowhere.invalid/cars.csv")


def test_passwords_and_tokens_are_not_shown(web):
    web.answers["/private.csv"] = (401, {"WWW-Authenticate": 'Basic realm="x"'}, CSV)
    url = f"http://me:s3cret@127.0.0.1:{web.port}/private.csv?token=t0ken"
    fit = sq.ols("y ~ x", url)
    assert web.log[-1].headers["Authorization"] == "Basic bWU6czNjcmV0"
    assert not re.search("s3cret|t0ken", str(fit.summary()) + repr(fit.as_dict()))
    web.answers["/private.csv"] = (403, {}, b"")
    with pytest.raises(DataError) as caught:
        open_source(url)
    assert not re.search("s3cret|t0ken", str(caught.value))


def test_other_schemes(tmp_path):
    (tmp_path / "my cars.csv").write_bytes(CSV)
    assert sq.ols("y ~ x + g", f"file://{tmp_path}/my%20cars.csv").params.to_dict() == EXPECTED
    for url in ("ftp://127.0.0.1/cars.csv", "jdbc://x", "javascript://x"):
        with pytest.raises(DataError, match=r"begins with .*://, which is not supported. Give a path, or an https or s3 URL."):
            open_source(url)


def test_a_path_object_is_no_url():
    with pytest.raises(DataError, match=r"is a URL with one slash too few, as Path makes it. Give the URL as text"):
        open_source(pathlib.Path("https://example.invalid/cars.csv"))


def test_only_what_the_user_typed_is_fetched(web, tmp_path):
    """A saved fit names its data, and a file may hold URLs: neither is asked for."""
    web.answers["/cars.csv"] = (200, {}, CSV)
    fit = sq.ols("y ~ x", f"{web.url}/cars.csv")
    fit.save(tmp_path / "fit.json")
    text = (tmp_path / "fit.json").read_text().replace('"cars.csv"', f'"{web.url}/cars.csv"')
    (tmp_path / "fit.json").write_text(text)
    (tmp_path / "t.csv").write_text(f"x,y,{web.url}/cars.csv\n1,2,{web.url}/cars.csv\n2,4,a\n3,5,b\n")
    before = len(web.log)
    loaded = sq.load(tmp_path / "fit.json")
    assert loaded.predict({"x": [1.0]}).shape == (1,)
    assert sq.ols("y ~ x", tmp_path / "t.csv").nobs == 3
    with pytest.raises(DataError):
        loaded.resid  # noqa: B018
    assert len(web.log) == before


@pytest.fixture(scope="module")
def s3():
    """Serve the part of S3's interface that reading one object takes, from `objects`, path -> content."""
    objects, log = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self._answer(with_body=False)

        def do_GET(self):
            self._answer(with_body=True)

        def _answer(self, *, with_body):
            log.append(SimpleNamespace(path=self.path, headers=dict(self.headers)))
            content = objects.get(self.path.partition("?")[0])
            status, body = (200, content) if content is not None else (404, b"")
            if "?" in self.path and "list-type=2" in self.path:
                status, body = 200, b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
            if status == 200 and (span := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))):
                first, last = int(span[1]), min(int(span[2]), len(body) - 1)
                status, body = 206, body[first : last + 1]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Mon, 30 Nov 2026 11:00:00 GMT")
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    query = f"?scheme=http&endpoint_override=127.0.0.1:{server.server_port}&region=us-east-1"
    yield SimpleNamespace(objects=objects, query=query, log=log)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("gs://bucket/a.csv", "gcloud storage cp"),
        ("abfss://c@account.dfs.core.windows.net/a.csv", "azcopy copy"),
        ("hdfs://host/a.csv", "hdfs dfs -get"),
    ],
)
def test_a_bucket_that_cannot_be_opened_names_the_program_that_copies(url, command, monkeypatch):
    from pyarrow import fs

    asked = []

    def refuse(uri):
        asked.append(uri)
        raise OSError("no credentials")

    monkeypatch.setattr(fs, "FileSystem", SimpleNamespace(from_uri=refuse))
    with pytest.raises(DataError, match=f"no credentials. Check the address and the credentials, or copy .* as with {command}"):
        open_source(url)
    assert asked == [f"{url}?retry_limit_seconds=30" if url.startswith("gs") else url]


def test_an_object_of_s3(s3, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3.objects["/bucket/data/cars.csv.gz"] = gzip.compress(CSV)
    s3.objects["/bucket/data/cars.parquet"] = parquet()
    for name in ("cars.csv.gz", "cars.parquet"):
        fit = sq.ols("y ~ x + g", f"s3://key:s3cret@bucket/data/{name}{s3.query}")
        assert fit.params.to_dict() == EXPECTED
        assert "s3cret" not in str(fit.summary())
    with pytest.raises(DataError, match=r"'s3://bucket/data/none.csv' does not exist, or may not be read"):
        open_source(f"s3://key:s3cret@bucket/data/none.csv{s3.query}")
    with pytest.raises(DataError, match=r"'s3://bucket/data/\*.csv' is a pattern, and URLs are read one by one"):
        open_source("s3://bucket/data/*.csv")
