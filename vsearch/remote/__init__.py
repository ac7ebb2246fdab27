"""Object stores and web servers, through fsspec.  Nothing else of vsearch asks the network for pictures."""

from vsearch.remote.copying import FetchReport, fetch

__all__ = ["FetchReport", "fetch"]
