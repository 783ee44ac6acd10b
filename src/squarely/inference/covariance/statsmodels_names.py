"""`get_robustcov_results`: the covariances by the words of statsmodels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from squarely.errors import OptionError, short_traceback, show_value, suggest_name

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = {"cluster": "CR1", "cluster-crv3": "CR3", "hac-groupsum": "DK"}
_OPTIONS = {
    "groups": ("cluster", "cluster-crv3"),
    "maxlags": ("HAC", "hac-groupsum"),
    "time": ("hac-groupsum",),
    "use_correction": ("cluster", "HAC", "hac-groupsum"),
}
_EXAMPLES = {"groups": "firm", "time": "year"}  # of options that are needed
_SAME = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "HAC")
_MISSING = {
    "cluster-jk": "It is a jackknife about the mean of the coefficients. Use 'cluster-crv3', which is about the estimate.",
    "hac-panel": "Use 'hac-groupsum' with time='year' (Driscoll-Kraay), or 'cluster' with groups='firm'.",
    "fixed scale": "Use 'nonrobust', or one of the robust ones.",
}


class StatsmodelsCovariance:
    """The method of statsmodels for a robust covariance; it calls `vcov`."""

    __slots__ = ()

    if TYPE_CHECKING:
        vcov: Callable[..., Any]

    @short_traceback
    def get_robustcov_results(
        self,
        cov_type: str = "HC1",
        use_t: bool | None = None,
        *,
        groups: str | Sequence[str] | None = None,
        maxlags: int | None = None,
        time: str | None = None,
        use_correction: bool | None = None,
    ) -> Any:
        """Return the fit with a covariance named as in statsmodels; `vcov` has squarely's own words for more of them.

        Parameters
        ----------
        cov_type : "nonrobust", "HC0" to "HC3", "HAC", "cluster", "cluster-crv3" or "hac-groupsum" (Driscoll-Kraay).
        use_t : whether tests and limits use the t distribution; by default they do.
        groups : the column of clusters, or two columns. An array has no rows to stay aligned with, so name a column.
        maxlags : the lags of "HAC" and "hac-groupsum"; by default chosen from the data.
        time : the column of periods for "hac-groupsum".
        use_correction : whether "cluster", "HAC" and "hac-groupsum" use the small-sample factor. By default "HAC" does not, as in
            statsmodels.

        Raises
        ------
        OptionError : a word is unknown, or the options do not go together.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0], "firm": ["a", "a", "b", "b"]})
        >>> fit.get_robustcov_results("cluster", groups="firm").cov_type
        'CR1'
        """
        _require_names(groups)
        kind = _read_cov_type(cov_type)
        _require_options_of(cov_type, kind, {"groups": groups, "maxlags": maxlags, "time": time, "use_correction": use_correction})
        correction = "none" if not (kind != "HAC" if use_correction is None else use_correction) else "usual"
        return self.vcov(
            kind, cluster=groups, time=time, lags=maxlags, correction=correction, use_t=True if use_t is None else use_t
        )


def _require_names(groups: object) -> None:
    names = groups if isinstance(groups, list | tuple) else [groups]
    if groups is not None and not all(isinstance(name, str) for name in names):
        raise OptionError(
            f"groups={show_value(groups)} is not the name of a column, and only a column is read with its rows, so that it stays "
            "aligned when rows are left out. Put the labels into the data and name them, such as groups='firm'."
        )


def _require_options_of(cov_type: str, kind: str, options: Mapping[str, object]) -> None:
    """Raise an OptionError, in the words of statsmodels, for an option that a covariance does not have, or needs."""
    for name, words in _OPTIONS.items():
        value, takes_it = options[name], kind in [_KINDS.get(word, word) for word in words]
        if value is not None and not takes_it:
            raise OptionError(
                f"{name}={show_value(value)} is for cov_type={' and '.join(map(repr, words))}, and cov_type is {cov_type!r}. "
                "Leave it out."
            )
        if value is None and takes_it and name in _EXAMPLES:
            raise OptionError(f"cov_type={cov_type!r} needs {name}=. Name the column, such as {name}={_EXAMPLES[name]!r}.")
    if not isinstance(options["use_correction"], bool | None):
        raise OptionError(f"use_correction={show_value(options['use_correction'])} is not a boolean. Give True or False.")


def _read_cov_type(cov_type: object) -> str:
    words = [*_SAME, *_KINDS]
    known = {word.casefold(): word for word in _SAME} | _KINDS
    word = cov_type.casefold() if isinstance(cov_type, str) else ""
    if word in known:
        return known[word]
    if word in _MISSING:
        raise OptionError(f"cov_type={cov_type!r} of statsmodels is not available. {_MISSING[word]}")
    advice = suggest_name(cov_type, words, f"Use one of {', '.join(words)}.")
    raise OptionError(f"cov_type={show_value(cov_type)} is not a covariance of statsmodels. {advice}")
