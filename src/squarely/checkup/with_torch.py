"""The names of `squarely.checkup` that need PyTorch."""

from squarely.checkup.examination import examine as examine
