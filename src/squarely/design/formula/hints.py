"""What people write that formulas do not have, from R, SQL, Python and word processors, and what to write instead.

The parsers' own words are about parsing, so they are read here and said again for whoever wrote the formula.
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
    "|": "Instruments and groups behind '|' are not known. Leave them out.",
    "in": "Write b:a for b %in% a.",
    "//": "Write a/b for groups b within a.",
    ",": "Terms are joined by +, as in a + b; options stand outside the formula.",
    ";": "Terms are joined by +, as in a + b.",
    "#": "Comments are not read. Take it out.",
    "$": "Write the name of the column alone: x in place of df$x.",
    "&": "Terms are joined by + or, for their product, by a colon: a + b + a:b.",
    "=": f"{_ROWS} The response and the predictors are parted by ~.",
} | dict.fromkeys("<>!", _ROWS)
_KEYWORDS = set(keyword.kwlist) - {"True", "False", "None", "and", "or", "not", "in", "as"}
_SLIPS = {
    r"^as\.factor\(": "Write factor(...) or C(...).",
    r"\$": ADVICE["$"],
    r"^\w+\([^)]*$": "A bracket is opened and not closed; a formula is written alone, without a call around it.",
    r";": "One condition or expression is read, and nothing behind a ';'.",
    r"<>": "Unequal is written !=.",
    r"=[<>]": "These comparisons are written <= and >=.",
    r"(?i)\b(is (not )?null|between|like)\b": "That is SQL. Rows with gaps are left out anyway; a range is written 1 <= x <= 3.",
    r"\b(AND|OR|NOT|IN)\b": "The words and, or, not and in are written in small letters.",
    r"(?<![=!<>])=(?!=)": "Equality is written ==.",
    r"(^|\W)(and|or|not|in)$": "Something is missing after the last word.",
    r"[^\W\d]\w* +[^\W\d]\w*": "A name with spaces goes into backticks, like `model year`.",
}


def explain_syntax_error(read: SourceText, said: str, at: Span | None) -> str:
    """Say what the parser of sums and products stumbled over, from its message and the place."""
    here = read.text[slice(*at)].strip() if at else ""
    if "context marker" in said:
        what = "closed but not opened" if here in {")", "]"} else "opened but not closed"
        return f"This bracket is {what}. Add the other one, or take it out."
    if closing := re.search(r"Expected: (.)", said):
        return _unclosed_hint(closing[1])
    if "Missing operator" in said:
        return _missing_operator_hint(here)
    unknown = re.search(r"Unknown operator '(.)", said, re.DOTALL)
    sign = unknown[1] if unknown else here
    if unknown or sign in ADVICE:
        return f"{sign!r} is not understood in a formula. {_advice(sign)}"
    if sign:
        return f"The sign {sign!r} has nothing to join on one of its sides. Write what is missing, or take the sign out."
    return f"The formula cannot be read. {EXAMPLE}"


def syntax_hint(text: str) -> str:
    """Say what may be meant by a text that Python's grammar refuses."""
    if text.count("(") > text.count(")") and not re.match(r"\w+\([^)]*$", text):
        return "A bracket is opened and not closed."
    reserved = [word for word in re.findall(r"[A-Za-z]+", text) if word in _KEYWORDS]
    if reserved:
        return f"{reserved[0]!r} is a word with a meaning of its own; a column of that name goes into backticks: `{reserved[0]}`."
    fitting = (advice for pattern, advice in _SLIPS.items() if re.search(pattern, text))
    return next(fitting, "Look for a sign, a bracket or a quote that is missing or too many.")


def _unclosed_hint(closing: str) -> str:
    if closing == "%":
        return f"'%' is not understood in a formula. {ADVICE['in']} {ARITHMETIC}"
    return f"The formula ends before this is closed: a {closing} is missing. Add it where it belongs."


def _missing_operator_hint(here: str) -> str:
    if re.search(r"[\])'\"`]\s*\.", here):
        return "What stands after the dot would be Python, and nothing is evaluated as Python. Make such a column in your data."
    return f"There is no sign such as + between the words of {here!r}. A name with spaces goes into backticks, like `model year`."


def _advice(sign: str) -> str:
    if sign in ADVICE:
        return ADVICE[sign]
    if not sign.isprintable():
        return "It cannot be seen. Take it out; a name that really has it goes into backticks."
    if unicodedata.category(sign) in {"Pd", "Sm", "Pi", "Pf", "Sk"}:
        return "It looks like a sign that a word processor has put in. Type the plain one: ~ + - * / : ' or \"."
    return f"A name that has it goes into backticks. {EXAMPLE}"
