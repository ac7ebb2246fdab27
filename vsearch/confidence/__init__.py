"""How sure it is that a hit has to do with its query: a score alone does not say.

A cosine of 0.28 can be perfect for one encoder and nothing for another, long sentences score lower than short ones, and
pictures score higher with pictures than texts do.  So a score is compared with what queries that mean nothing reach in
the same collection:

    lift(q, x)  =  q.x - q.m  for a text or a mixture q     m: mean of the stored vectors
                =  q.x        for a picture q
    a, b        =  mean and standard deviation of the best lift of 128 meaningless queries of the same kind
    confidence  =  1 / (1 + exp(-ln 9 * (lift - a - b) / b))

The wording of a text shifts its scores with all pictures, which is no evidence, so it is taken out.  For a picture it
is evidence: it tells how much the collection is of its kind (measured: benchmarks/run.py confidence).
0.1 is what a query about nothing finds on average, and two standard deviations above it are 0.9.

The meaningless queries are surrogate data (Theiler et al. 1992, Physica D 58, 77): the coordinates of real queries
along their principal axes, shuffled among them.  They lie where queries of that kind lie, with the same mean and
covariance, and stand for no text or picture.  Texts are bundled phrases, pictures are those of the collection, and
mixtures are half the one and half the other.
"""

from __future__ import annotations

from vsearch.confidence.background import Background, Null, Rating
from vsearch.confidence.backgrounds import FEWEST, Backgrounds, unknown

NOTHING = 0.05
"""Below this confidence of the best hit, the collection seems to know nothing about the query."""

__all__ = ["FEWEST", "NOTHING", "Background", "Backgrounds", "Null", "Rating", "unknown"]
