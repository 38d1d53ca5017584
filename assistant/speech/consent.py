"""What whoever asks "shall I?" takes as a yes. The recognisers hold such words to a higher bar than any others."""

from __future__ import annotations

from .phrases import TYPED_YES, YES
from .spoken import spoken

# Left out by those who compare answers ("yes please", "to send it" are a yes too). Here all of them are left out
# wherever they stand: what is taken for a yes by mistake is only asked for again.
_SAID_BESIDE = "to the my our all of in everyone everybody mister missus mr mrs ms miss dr group list please"
_FILLERS = frozenset(_SAID_BESIDE.split())


def says_yes(text: str) -> bool:
    """Whether these words could be taken as consent."""
    return _bare(text) in _YES


def _bare(text: str) -> str:
    return " ".join(word for word in spoken(text).split() if word not in _FILLERS)


_YES = frozenset(map(_bare, (*YES, *TYPED_YES)))
