"""Where the roads meet: `gaps` measures and bounds the distance, `verdict` names the cause, `certificate` holds the outcome."""

from squarely.certification.certificate import Certificate
from squarely.certification.verdict import certify

__all__ = ["Certificate", "certify"]
