"""Which ids of a text each forward pass reads and scores, where the text is longer than a model
reads.

A text that is cut off counts bytes that were never scored (6.94 instead of 8 bits per byte for a
model that knows nothing). So windows slide over the whole: each event (a symbol, or the end) is
scored once, by the first window that comes to it.

The first window reads the context and as many symbols as fit, and scores all of them. Each later
one reads as many ids, half of them (rounded up) before the first event that it scores: nothing
there is predicted from less. The stride is thus half a window. A longer one saves passes and lets
events be predicted from next to nothing; a shorter one costs twice the passes for a third less of
the loss. How much more than in one piece a text costs (40 stories of 256 to 510 tokens under a real
model of 260k parameters, 0.853 bits per byte in one piece, windows of 128):

    stride, of a window      1/4      1/2      3/4      all but one id
    passes                   335      199      150      132
    bits per byte            +1.4 %   +1.9 %   +3.0 %   +6.3 %
    start symbol repeated    +3.2 %   +4.2 %   +6.0 %   +13.8 %

The last line is why later windows do not begin with the start symbol: with it they say that a text
begins where none does, and a model expects what stories begin with. That was worse for each of four
models, also for students that had read nothing but texts behind a start symbol (1M parameters,
windows of 48, half a window: +0.5 against +0.3 %, and +0.2 against 0.0 %; SmolLM2 135M, windows of
96: +6.2 against +5.9 %). A long context, as a prompt, slides out of later windows likewise.

The last window is moved back to be full, so the end symbol is predicted from as much as anything.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """One window: it reads the ids [read_from, read_to) of context and symbols, and scores the
    events [scored_from, scored_to); event t is symbol t, and the end symbol behind the last one.
    """

    read_from: int
    read_to: int
    scored_from: int
    scored_to: int

    @property
    def num_read(self) -> int:
        """Ids that are read; the last event is only predicted."""
        return self.read_to - self.read_from


def spans_of(num_context: int, num_symbols: int, num_positions: int | None) -> list[Span]:
    """The windows of a text, in its order, for a model that reads num_positions ids at once (None:
    any number); one window if the text fits.

    Needs num_positions > num_context unless the text fits.
    """
    num_ids, num_events = num_context + num_symbols, num_symbols + 1
    if num_positions is None or num_ids <= num_positions:
        return [Span(0, num_ids, 0, num_events)]
    assert num_positions > num_context, "whoever asks for windows has checked the context"
    stride = num_positions // 2 + 1
    spans = [Span(0, num_positions, 0, num_positions - num_context + 1)]
    while (begin := spans[-1].scored_to) < num_events:
        end = min(begin + stride, num_events)
        read_to = num_context + end - 1
        spans.append(Span(read_to - num_positions, read_to, begin, end))
    return spans
