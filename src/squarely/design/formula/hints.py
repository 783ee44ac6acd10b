"""Advice for syntax of R, SQL, Python and word processors that formulas do not have.

The messages of the parsers are about parsing; this module translates them for the author of the formula.
"""

from __future__ import annotations

import keyword
import re
import unicodedata

from squarely.design.formula.source_text import SourceText, Span

EXAMPLE = "Write it like 'mpg ~ displacement + weight'."
ARITHMETIC = "Arithmetic goes into I(...), such as I(2 * x); 0 and 1 stand alone in a sum."
_ROWS = "Conditions on rows go into where=."
ADVICE = {
    "|": "Effects to absorb come last, as in y ~ x | firm + year; random effects are not supported.",
    "in": "Write b:a for b %in% a.",
    "%": f"Write b:a for b %in% a. {ARITHMETIC}",
    "//": "Write a/b for groups b within a.",
    ",": "Terms are joined by +, as in a + b; options go outside the formula.",
    ";": "Terms are joined by +, as in a + b.",
    "#": "Comments are not read. Leave it out.",
    "$": "Write the name of the column alone: x in place of df$x.",
    "&": "Terms are joined by + or, for their product, by a colon: a + b + a:b.",
    "=": f"{_ROWS} A ~ goes between the response and the predictors.",
} | dict.fromkeys("<>!", _ROWS)
_KEYWORDS = set(keyword.kwlist) - {"True", "False", "None", "and", "or", "not", "in", "as"}
_MISTAKES = {
    r"^as\.factor\(": "Write factor(...) or C(...).",
    r"\$": ADVICE["$"],
    r"^\w+\([^)]*$": "A bracket is opened and not closed; a formula is written alone, without a call around it.",
    r";": "One condition or expression is read, and nothing after a ';'.",
    r"<>": "Unequal is written !=.",
    r"=[<>]": "These comparisons are written <= and >=.",
    r"(?i)\b(is (not )?null|between|like)\b": "That is SQL. Rows with gaps are left out anyway; a range is written 1 <= x <= 3.",
    r"\b(AND|OR|NOT|IN)\b": "The words and, or, not and in are written in small letters.",
    r"(?<![=!<>])=(?!=)": "Equality is written ==.",
    r"(^|\W)(and|or|not|in)$": "Something is missing after the last word.",
    r"[^\W\d]\w* +[^\W\d]\w*": "A name with spaces goes into backticks, like `model year`.",
}


def explain_syntax_error(source: SourceText, message: str, at: Span | None) -> str:
    """Explain an error of the parser of terms, from its message and the place."""
    text = source.text[slice(*at)].strip() if at else ""
    if "context marker" in message:
        what = "closed but not opened" if text in {")", "]"} else "opened but not closed"
        return f"This bracket is {what}. Add the other one, or remove it."
    closing = re.search(r"Expected: (.)", message)
    if closing and closing[1] != "%":
        return f"The formula ends before this is closed: a {closing[1]} is missing. Add it where it belongs."
    if "Missing operator" in message:
        return _missing_operator_hint(text)
    unknown = closing or re.search(r"Unknown operator '(.)", message, re.DOTALL)
    sign = unknown[1] if unknown else text
    if unknown or sign in ADVICE:
        return f"{sign!r} is not understood in a formula. {ADVICE.get(sign) or _character_hint(sign)}"
    if sign:
        return f"The sign {sign!r} has no operand on one of its sides. Write what is missing, or remove the sign."
    return f"The formula cannot be read. {EXAMPLE}"


def syntax_hint(text: str) -> str:
    """Explain a text that Python's grammar refuses."""
    if text.count("(") > text.count(")") and not re.match(r"\w+\([^)]*$", text):
        return "A bracket is opened and not closed."
    if word := next((word for word in re.findall(r"[A-Za-z]+", text) if word in _KEYWORDS), ""):
        return f"{word!r} is a reserved word; a column of that name goes into backticks: `{word}`."
    hints = (advice for pattern, advice in _MISTAKES.items() if re.search(pattern, text))
    return next(hints, "Look for a sign, a bracket or a quote that is missing or too many.")


def _missing_operator_hint(text: str) -> str:
    if re.search(r"[\])'\"`]\s*\.", text):
        return "The text after the dot would be Python, and nothing is evaluated as Python. Make such a column in your data."
    return (
        f"There is no operator such as + between the words of {text!r}. A name with spaces goes into backticks, like `model year`."
    )


def _character_hint(sign: str) -> str:
    if not sign.isprintable():
        return "It is invisible. Remove it; a name that really has it goes into backticks."
    if unicodedata.category(sign) in {"Pd", "Sm", "Pi", "Pf", "Sk"}:
        return "It looks like a sign from a word processor. Type the plain one: ~ + - * / : ' or \"."
    return f"A name that has it goes into backticks. {EXAMPLE}"
