"""`vcov=` and its companions: which covariance a user asks for, checked and in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, get_args

from squarely.data import Source, require_columns
from squarely.errors import DataError, OptionError, show_value, suggest_name
from squarely.types import Correction

HC = ("HC0", "HC1", "HC2", "HC3", "HC4")
CLUSTERED = ("CR0", "CR1", "CR2", "CR3")
KINDS = ("nonrobust", *HC, *CLUSTERED, "HAC", "DK")
_SYNONYMS = {"iid": "nonrobust", "classical": "nonrobust", "nw": "HAC", "newey-west": "HAC", "driscoll-kraay": "DK"}
_AMBIGUOUS = ("robust", "hetero", "white", "stata")
_PYFIXEST = {"CRV1": "CR1", "CRV3": "CR3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CovarianceOptions:
    """Which covariance of the coefficients to estimate. The docstring of `squarely.ols` describes the fields.

    `cluster` has no, one or two columns. `lags` None means automatic.
    """

    kind: str = "nonrobust"
    cluster: tuple[str, ...] = ()
    time: str | None = None
    lags: int | None = None
    correction: str = "usual"
    use_t: bool = True
    df: float | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns of labels that it reads."""
        return (*self.cluster, *((self.time,) if self.time else ()))

    def describe_df(self, usual: str) -> str:
        """Say which distributions tests use; `usual` says it for the usual degrees of freedom."""
        if not self.use_t:
            return "tests use the normal and the chi-squared distribution"
        return usual if self.df is None else f"t and F have {self.df:,g} degrees of freedom"


CLASSICAL = CovarianceOptions()


def require_group_columns(options: CovarianceOptions, source: Source) -> None:
    """Raise a DataError that names the option whose column does not exist."""
    for option, names in {"cluster": options.cluster, "time": (options.time,) if options.time else ()}.items():
        for name in names:
            try:
                require_columns(source, [name])
            except DataError as error:
                raise DataError(f"{option}={str(name)!r} is not a column. {error}") from None


def require_order(options: CovarianceOptions, source: Source, *, has_frequencies: bool) -> None:
    """Raise an OptionError if HAC or Driscoll-Kraay is asked for and the rows have no order in time."""
    if options.kind in ("HAC", "DK") and has_frequencies:
        instead = "vcov='HC1'" if options.kind == "HAC" else f"cluster={options.time!r}"
        raise OptionError(
            f"vcov={options.kind!r} and frequencies= do not go together, because the copies of a row have no order. Use {instead}, "
            "or leave frequencies out."
        )
    if options.kind == "HAC" and not source.ordered:
        raise OptionError(
            f"vcov='HAC' needs rows in their order in time, and {source.label} has no order. Give ols order_by= with a column that "
            "sorts them, such as order_by='time'."
        )


def read_covariance_options(
    vcov: object = None,
    *,
    cluster: object = None,
    time: object = None,
    lags: object = None,
    correction: object = "usual",
    use_t: object = True,
    df: object = None,
) -> CovarianceOptions:
    """Check and normalize the options.

    Raises
    ------
    OptionError : a value is wrong, or two options do not go together. The message names both.
    """
    if isinstance(vcov, Mapping):
        vcov, cluster = _read_mapping(vcov, cluster)
    columns = _read_cluster(cluster)
    kind = _read_kind(vcov, columns)
    if columns and kind not in CLUSTERED:
        raise OptionError(f"vcov={kind!r} and cluster={_format_columns(columns)} do not go together. Leave one of them out.")
    if kind in CLUSTERED and not columns:
        raise OptionError(f"vcov={kind!r} needs clusters. Name their column, such as cluster='firm'.")
    if kind in ("CR2", "CR3") and len(columns) == 2:
        raise OptionError(f"vcov={kind!r} is defined for one column of clusters, not two. Use vcov='CR1', or one column.")
    if time is not None and kind != "DK":
        raise OptionError(
            f"time={show_value(time)} is for vcov='DK' (Driscoll-Kraay), and vcov is {kind!r}. Leave one of them out."
        )
    if kind == "DK" and not (isinstance(time, str) and time):
        raise OptionError("vcov='DK' (Driscoll-Kraay) needs the periods. Name their column, such as time='year'.")
    if lags is not None and kind not in ("HAC", "DK"):
        raise OptionError(f"lags={show_value(lags)} is for vcov='HAC' and vcov='DK', and vcov is {kind!r}. Leave one of them out.")
    if use_t is False and df is not None:
        raise OptionError(
            f"use_t=False is the normal distribution, which has no degrees of freedom, and df={show_value(df)}. Leave one out."
        )
    return CovarianceOptions(
        kind=kind,
        cluster=columns,
        time=time if isinstance(time, str) else None,
        lags=_read_lags(lags),
        correction=_read_correction(correction, kind, columns),
        use_t=_read_use_t(use_t),
        df=_read_df(df),
    )


def _read_kind(vcov: object, columns: tuple[str, ...]) -> str:
    if vcov is None:
        return "CR1" if columns else "nonrobust"
    if not isinstance(vcov, str):
        raise OptionError(f"vcov={show_value(vcov)} is not the name of a covariance. Use one of {', '.join(KINDS)}.")
    if vcov.casefold() in _AMBIGUOUS:
        raise OptionError(f"vcov={vcov!r} is HC1 in Stata and HC3 in R's sandwich. Write 'HC1' or 'HC3'.")
    known = {kind.casefold(): kind for kind in KINDS} | _SYNONYMS
    if vcov.casefold() not in known:
        hint = suggest_name(vcov, KINDS, f"Use one of {', '.join(KINDS)}.")
        raise OptionError(f"vcov={show_value(vcov)} is not a covariance. {hint}")
    return known[vcov.casefold()]


def _read_mapping(vcov: Mapping[Any, Any], cluster: object) -> tuple[str, object]:
    """Read pyfixest's form, such as {"CRV1": "firm + year"}."""
    kind, columns = next(iter(vcov.items()), ("", ""))
    if len(vcov) != 1 or kind not in _PYFIXEST or not isinstance(columns, str) or cluster is not None:
        raise OptionError(f"vcov={show_value(vcov)} is not understood. Write vcov='CR1', cluster='firm'.")
    return _PYFIXEST[kind], [name.strip() for name in columns.split("+")]


def _read_cluster(cluster: object) -> tuple[str, ...]:
    if cluster is None:
        return ()
    columns = (cluster,) if isinstance(cluster, str) else tuple(cluster) if isinstance(cluster, list | tuple) else ()
    if not columns or not all(isinstance(name, str) and name for name in columns):
        raise OptionError(
            f"cluster={show_value(cluster)} is not the name of a column. Give names, such as cluster='firm' or "
            "cluster=['firm', 'year']: a column is read with its rows, so it stays aligned when rows are left out."
        )
    if len(set(columns)) < len(columns):
        raise OptionError(f"cluster={_format_columns(columns)} names a column twice. Name each once.")
    if len(columns) > 2:
        raise OptionError(
            f"cluster={_format_columns(columns)} has {len(columns)} columns. Clusters are one-way or two-way: give one or two."
        )
    return columns


def _format_columns(columns: Sequence[str]) -> str:
    return repr(columns[0] if len(columns) == 1 else list(columns))


def _read_lags(lags: object) -> int | None:
    if lags is None:
        return None
    if isinstance(lags, bool) or not isinstance(lags, Real) or not float(lags).is_integer() or float(lags) < 0:
        raise OptionError(f"lags={show_value(lags)} is not a whole number of at least 0. Leave it out for an automatic choice.")
    return int(float(lags))


def _read_correction(correction: object, kind: str, columns: tuple[str, ...]) -> str:
    if not isinstance(correction, str) or correction not in get_args(Correction):
        raise OptionError(f"correction={show_value(correction)} is not one of {', '.join(map(repr, get_args(Correction)))}.")
    if correction == "min" and (len(columns) != 2 or kind == "CR0"):
        raise OptionError("correction='min' is for vcov='CR1' with clusters by two columns. Leave it out.")
    if correction == "none" and kind not in ("CR1", "HAC", "DK"):
        raise OptionError(f"correction='none' is for CR1, HAC and DK, and vcov is {kind!r}. Leave it out.")
    return correction


def _read_use_t(use_t: object) -> bool:
    if not isinstance(use_t, bool):
        raise OptionError(f"use_t={show_value(use_t)} is not a boolean. Give True for the t distribution, False for the normal.")
    return use_t


def _read_df(df: object) -> float | None:
    if df is None:
        return None
    if isinstance(df, bool) or not isinstance(df, Real) or not 0 < float(df) < float("inf"):
        raise OptionError(f"df={show_value(df)} is not a positive number. Leave it out for the usual degrees of freedom.")
    return float(df)
