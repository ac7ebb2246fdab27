"""How often something is asked of the hub, and what is said when that was not enough."""

from __future__ import annotations

from vsearch.embed import hub
from vsearch.embed.download.failures import ADVICE, Again, HubError, failure_of
from vsearch.embed.download.patience import Patience
from vsearch.errors import EncoderUnavailable


class Tries:
    """Counts failures in a row."""

    def __init__(self, repo: str, name: str, patience: Patience, *, underway: bool) -> None:
        """name: of the file, or empty.  underway: the hub has answered before, so a lost network may come back."""
        self._repo = repo
        self._what = f"{name} of {repo}" if name else repo
        self._patience = patience
        self._underway = underway
        self._failures = 0

    def succeed(self) -> None:
        """Something new came: earlier failures do not count any more."""
        self._failures = 0

    def fail(self, error: HubError) -> None:
        """Wait for the next try.  Raises EncoderUnavailable when there is no use in one, or there were enough."""
        failure = failure_of(error, hub.endpoint(), self._repo, self._patience.seconds)
        self._failures += 1
        lost = failure.again == Again.UNDERWAY and not self._underway
        once_more = failure.again != Again.NEVER and not (lost and self._failures > 1)
        if not once_more or not self._patience.wait(self._failures, failure.wait):
            times = f", {self._failures} times in a row" if self._failures > 2 else ""
            raise EncoderUnavailable(
                f"{self._what} cannot be fetched from {hub.endpoint()}: {failure.what}{times}. {failure.next} {ADVICE}."
            ) from error
